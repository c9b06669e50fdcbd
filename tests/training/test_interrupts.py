"""Signals and failed output as a run sees them, in this process; tests/programs/test_signals.py sends real ones."""

import errno
import os
import signal

import click
import pytest

from charrnn_port.training import interrupts
from charrnn_port.training.interrupts import ENDING, SAVING, Interrupts

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that the test sets: `clock.now` in seconds."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(interrupts.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def killed(monkeypatch):
    """Return the signals that the process sends to itself, instead of sending them."""
    sent = []
    monkeypatch.setattr(interrupts.os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


@pytest.fixture
def handlers():
    """Set a handler for all signals, and return it; restore the former ones afterwards."""

    def handler(number, frame):
        raise AssertionError(f"{number} reached the program")

    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in (*ENDING, SAVING)}
    for number in before:
        signal.signal(number, handler)
    yield handler
    for number, its_own in before.items():
        signal.signal(number, its_own)


@pytest.mark.parametrize("name", ENDING)
def test_the_first_ending_signal_is_kept_and_acknowledged(handlers, clock, capfd, name):
    with Interrupts() as caught:
        assert (caught.received, caught.stopping()) == (None, False)
        signal.raise_signal(getattr(signal, name))
        assert (caught.received, caught.stopping(), caught.save_wanted) == (getattr(signal, name), True, False)
    line = f"{name}: finishing the iteration, then saving; a second signal stops at once without saving\n"
    assert capfd.readouterr() == ("", line)


def test_a_request_to_save_does_not_end_the_run(handlers, clock, capfd):
    with Interrupts() as caught:
        signal.raise_signal(signal.SIGUSR1)
        assert (caught.received, caught.stopping(), caught.save_wanted) == (None, False, True)
    assert capfd.readouterr() == ("", "SIGUSR1: saving after this iteration\n")
    assert all(signal.getsignal(getattr(signal, name)) is handlers for name in (*ENDING, SAVING))


def test_quiet_acknowledges_nothing(handlers, clock, capfd):
    with Interrupts(quiet=True) as caught:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
    assert (caught.received, caught.save_wanted) == (signal.SIGTERM, True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("patient", "seconds", "ends"), [(False, 1.0, False), (False, 1.01, True), (True, 60, False)])
def test_another_signal_ends_the_process_after_a_second(handlers, clock, killed, patient, seconds, ends):
    """By its default action. Under torchrun, which repeats signals, it never does."""
    with Interrupts(patient) as caught:
        signal.raise_signal(signal.SIGINT)
        clock.now += seconds
        signal.raise_signal(signal.SIGTERM)
        assert caught.received == signal.SIGINT
        assert killed == ([(os.getpid(), signal.SIGTERM)] if ends else [])
        assert (signal.getsignal(signal.SIGTERM) is signal.SIG_DFL) == ends


def test_the_bar_is_erased_first(handlers, clock, killed, monkeypatch, capfd):
    """Before a line, and before the process ends and leaves the terminal to others."""
    monkeypatch.setattr(interrupts.progress, "erase", lambda: "<erased>")
    with Interrupts():
        signal.raise_signal(signal.SIGTERM)
        assert capfd.readouterr().err.startswith("<erased>SIGTERM: finishing")
        clock.now += 2
        signal.raise_signal(signal.SIGTERM)
        assert capfd.readouterr().err == "<erased>"


def test_ignored_signals_stay_ignored(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts() as caught:
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert caught.received is None
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_after_an_ending_signal_all_are_ignored(handlers, clock):
    """The work is saved, and another signal must not change the exit status."""
    with Interrupts():
        signal.raise_signal(signal.SIGTERM)
    assert {signal.getsignal(getattr(signal, name)) for name in (*ENDING, SAVING)} == {signal.SIG_IGN}


def test_patient_ones_stay_in_place(handlers):
    with Interrupts(patient=True) as caught:
        pass
    signal.raise_signal(signal.SIGTERM)
    assert caught.received == signal.SIGTERM


def test_a_reader_that_is_gone_ends_the_run_like_sigpipe(handlers, monkeypatch):
    """The signals are as before: this one was none."""
    monkeypatch.setattr(click, "echo", lambda line: (_ for _ in ()).throw(BrokenPipeError))
    with Interrupts() as caught:
        caught.echo("a line")
        assert (caught.received, caught.stopping(), caught.failed) == (signal.SIGPIPE, True, "")
    assert signal.getsignal(signal.SIGTERM) is handlers


def test_after_a_failed_line_none_is_written(handlers, monkeypatch):
    lines = []

    def echo(line):
        lines.append(line)
        if len(lines) == 2:
            raise FULL

    monkeypatch.setattr(click, "echo", echo)
    with Interrupts() as caught:
        caught.echo("one")
        assert not caught.stopping()
        caught.echo("two")
        assert (caught.received, caught.stopping()) == (None, True)
        caught.echo("three")
    assert lines == ["one", "two"]
    assert caught.failed == f"stdout: {FULL.strerror}"


def test_the_first_failure_is_reported():
    caught = Interrupts()
    caught.fail("a.csv", OSError("no more"))
    caught.fail("stdout", FULL)
    assert caught.failed == "a.csv: no more"


def test_a_closed_stderr_does_not_disturb_the_run(handlers, clock, monkeypatch):
    def write(stream, data):
        raise FULL

    monkeypatch.setattr(interrupts.os, "write", write)
    with Interrupts() as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.received == signal.SIGTERM

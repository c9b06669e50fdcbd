"""Tests that signals save a run and end or continue it, and that the first is acknowledged at once."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, full_disk, run_train
from runs import EVERY, SMALL, TEXT, log_lines, saved

import charrnn_port


@pytest.fixture
def start(tmp_path):
    """Return the arguments of a run of a million epochs that evaluates every 20 iterations."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return [*SMALL, *EVERY, "-data_dir", tmp_path / "data", "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 1e6]


def begin(start, *more: object, before: tuple[str, ...] = (), until: str = "30/") -> subprocess.Popen:
    """Start the program and read its output until a line with this beginning; it continues as its output is read."""
    words = [*before, sys.executable, ROOT / "train.py", *start, *more]
    process = subprocess.Popen(
        [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    while not (line := process.stdout.readline()).startswith(until):
        assert line, process.stderr.read()
    return process


def end(process: subprocess.Popen) -> tuple[int, str]:
    """Return the exit status and stderr."""
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.parametrize(
    "name", ["SIGINT", *(pytest.param(name, marks=pytest.mark.long) for name in ("SIGHUP", "SIGXCPU", "SIGUSR2"))]
)
def test_saved_and_reported_at_once(start, name, tmp_path):
    number = getattr(signal, name)
    process = begin(start)
    process.send_signal(number)
    status, stderr = end(process)
    assert status == 128 + number
    assert f"{name}: finishing the iteration, then saving; a second signal stops at once without saving\n" in stderr
    assert charrnn_port.load_checkpoint(tmp_path / "cv/lm_lstm_interrupted.t7.pt").i >= 30


@pytest.mark.long
@pytest.mark.parametrize("gap", [0, 0.005, 0.1])
def test_two_close_together_are_one(start, gap, tmp_path):
    """The checkpoint is not lost, as when Ctrl-C reaches a process group or a scheduler repeats its signal."""
    process = begin(start)
    process.send_signal(signal.SIGTERM)
    time.sleep(gap)
    process.send_signal(signal.SIGTERM)
    status, _ = end(process)
    assert status == 128 + signal.SIGTERM
    assert charrnn_port.load_checkpoint(tmp_path / "cv/lm_lstm_interrupted.t7.pt").i >= 30


STUCK = """
import sys, time
from charrnn_port.training.interrupts import Interrupts
with Interrupts():
    print("ready", flush=True)
    time.sleep(60)
    time.sleep(60)
"""


@pytest.mark.long
def test_a_second_one_later_ends_at_once():
    """A program that hangs can still be ended."""
    process = subprocess.Popen([sys.executable, "-c", STUCK], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == -signal.SIGTERM
    process.communicate()


@pytest.mark.long
def test_a_closed_terminal_is_nothing_under_nohup(start, tmp_path):
    process = begin(start, before=("nohup",))
    process.send_signal(signal.SIGHUP)
    while not process.stdout.readline().startswith("60/"):
        pass
    process.send_signal(signal.SIGTERM)
    assert end(process)[0] == 128 + signal.SIGTERM


def test_save_now_and_go_on(start, tmp_path):
    process = begin(start)
    process.send_signal(signal.SIGUSR1)
    for line in process.stdout:
        if line.startswith("90/"):
            break
    process.send_signal(signal.SIGTERM)
    _, stderr = end(process)
    path = tmp_path / "cv/lm_lstm_snapshot.t7.pt"
    reported = re.search(rf"saved the state after iteration (\d+) to {re.escape(str(path))}\n", stderr)
    assert "SIGUSR1: saving after this iteration\n" in stderr
    snapshot = charrnn_port.load_checkpoint(path)
    assert snapshot.i == int(reported[1]) < 90
    end_of_run = charrnn_port.load_checkpoint(tmp_path / "cv/lm_lstm_interrupted.t7.pt")
    assert end_of_run.train_losses[: snapshot.i] == snapshot.train_losses


@pytest.mark.long
def test_an_evaluation_is_interrupted_and_leaves_no_trace(start, tmp_path):
    """A long evaluation ends within a second; the resumed run prints the lines of an uninterrupted one."""
    (tmp_path / "data/input.txt").write_bytes(TEXT * 100)
    long = ["-train_frac", 0.01, "-val_frac", 0.99, "-rnn_size", 64]
    process = begin(start, *long, until="20/5")  # in its first evaluation
    signalled = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status, _ = end(process)
    assert status == 128 + signal.SIGTERM
    assert time.monotonic() - signalled < 5  # the limit is a second, but the machine may be busy
    path = tmp_path / "cv/lm_lstm_interrupted.t7.pt"
    interrupted = charrnn_port.load_checkpoint(path)
    assert (interrupted.i, interrupted.val_losses) == (20, {})
    resumed = run_train("-resume", path, "-max_epochs", 0.5, "-checkpoint_dir", tmp_path / "rest")
    whole = run_train(*start, *long, "-max_epochs", 0.5, "-checkpoint_dir", tmp_path / "whole")
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[19:]
    ours, theirs = (saved(tmp_path / name) for name in ("rest", "whole"))
    assert ours[20][1].val_losses == theirs[20][1].val_losses


@pytest.mark.long
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_log_on_a_full_disk_ends_the_run_with_its_work_saved(start, tmp_path):
    """The log cannot be written after some line; checkpoints go to another disk."""
    command = [str(word) for word in (sys.executable, ROOT / "train.py", *start)]
    begun = subprocess.run(["sh", "-c", 'exec "$@" > /dev/full', "sh", *command],
                           stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert begun.returncode == 1
    assert begun.stderr == f"Error: stdout: {os.strerror(28)}\n"  # before the first iteration: nothing to save


@pytest.mark.long
def test_a_log_that_fails_later_on(start, tmp_path):
    command = [str(word) for word in (sys.executable, ROOT / "train.py", *start, "-eval_val_every", 10**6)]
    with (tmp_path / "log").open("w") as log:
        log.write("x" * 60_000)
        log.flush()
        with full_disk(64_000):
            ended = subprocess.run(command, stdout=log, stderr=subprocess.PIPE, text=True)
    path = tmp_path / "cv/lm_lstm_interrupted.t7.pt"
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"Error: stdout: {os.strerror(27)}; the run is saved to {path}\n")
    assert charrnn_port.load_checkpoint(path).i > 10

"""Signals, and the end of who read the output: taken note of until the iteration in hand is done and saved."""

import os
import signal
import time
from contextlib import suppress
from types import FrameType

import click

from charrnn_port.util import progress

# What ends a run: Ctrl-C; kill, and Slurm; a closed terminal; and what other schedulers send before they kill.
ENDING = [name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR2") if hasattr(signal, name)]
SAVING = "SIGUSR1"  # save now and go on
SAME_ONE = 1.0  # second: a signal that comes so soon after the first is the same one, sent to a whole group, say


class Interrupts:
    """While entered, signals are only noted: `received` is the one to end by, `save_wanted` that one asked to save.

    The first one is acknowledged on stderr at once. Another one, a second or more later, ends the program as if nobody
    had listened. A closed terminal's SIGHUP is left alone where it is ignored (nohup). With `patient`, all are only
    noted: torchrun sends on what it gets, and has its own way to end who takes too long. `quiet` says nothing.
    """

    def __init__(self, patient: bool = False, quiet: bool = False) -> None:
        self.patient = patient
        self.quiet = quiet
        self.received: int | None = None
        self.save_wanted = False
        self.failed = ""  # what could not be written, and why
        self._since = 0.0

    def __enter__(self) -> "Interrupts":
        self._before = {}
        for name in (*ENDING, SAVING):
            if hasattr(signal, name) and signal.getsignal(number := getattr(signal, name)) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.patient:  # torchrun ends all when one has failed: whoever is to tell why must not be ended before
            return
        for number, handler in self._before.items():  # once the work is saved, a late one changes nothing any more
            signal.signal(number, signal.SIG_IGN if self.received in self._before else handler)

    def stopping(self) -> bool:
        """Whether the run should end now."""
        return self.received is not None or self.failed != ""

    def echo(self, line: str) -> None:
        """Print a line; where nobody reads any more, as after `| head`, or it can't be written, the run should end."""
        if self.failed:
            return
        try:
            with progress.aside():
                click.echo(line)
        except BrokenPipeError:
            self.received = getattr(signal, "SIGPIPE", 13)  # Windows has no name for it
        except OSError as error:  # a full disk, say
            self.fail("stdout", error)

    def fail(self, what: str, error: OSError) -> None:
        """The run should end, since this cannot be written."""
        self.failed = self.failed or f"{what}: {error.strerror or error}"

    def _note(self, number: int, frame: FrameType | None) -> None:
        name, now = signal.Signals(number).name, time.monotonic()
        if name == SAVING:
            self.save_wanted = True
            self._log(f"{name}: saving after this iteration")
        elif self.received is None:
            self.received, self._since = number, now
            self._log(f"{name}: finishing the iteration, then saving; once more, and the program ends at once")
        elif not self.patient and now - self._since > SAME_ONE:
            self._write(progress.erase())
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _log(self, line: str) -> None:
        if not self.quiet:
            self._write(f"{progress.erase()}{line}\n")

    def _write(self, text: str) -> None:
        with suppress(OSError):  # not by sys.stderr, which this may have interrupted in the middle of a line
            os.write(2, text.encode())

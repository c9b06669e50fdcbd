"""Signal and SIGPIPE handling: a run finishes and saves the current iteration before it ends."""

import os
import signal
import time
from contextlib import suppress
from types import FrameType

import click

from charrnn_port.util import progress

# Signals that end a run: from Ctrl-C, kill and Slurm, a closed terminal, other schedulers before they kill, and
# Ctrl-Break on Windows.
ENDING = [name for name in "SIGINT SIGTERM SIGHUP SIGXCPU SIGUSR2 SIGBREAK".split() if hasattr(signal, name)]
SAVING = "SIGUSR1"  # save a checkpoint and continue
SAME_ONE = 1.0  # seconds: a second signal within this time is a duplicate, sent to the whole process group, say


class Interrupts:
    """Context manager that records signals: `received` is one that ends the run, `save_wanted` a request to save.

    The first ending signal is acknowledged on stderr at once. Another one, a second or more later, ends the program
    by the default action. Signals that are ignored at the start, as SIGHUP under nohup, stay ignored. With `patient`,
    later signals are recorded only: torchrun forwards signals and kills processes that take too long. With `quiet`,
    nothing is printed.
    """

    def __init__(self, patient: bool = False, quiet: bool = False) -> None:
        self.patient = patient
        self.quiet = quiet
        self.received: int | None = None
        self.save_wanted = False
        self.failed = ""  # the output that could not be written, and the reason
        self._since = 0.0

    def __enter__(self) -> "Interrupts":
        self._before = {}
        for name in (*ENDING, SAVING):
            if hasattr(signal, name) and signal.getsignal(number := getattr(signal, name)) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.patient:  # torchrun ends all processes after a failure; the failed one must print its error first
            return
        for number, handler in self._before.items():  # the work is saved, so another signal must not change the status
            signal.signal(number, signal.SIG_IGN if self.received in self._before else handler)

    def stopping(self) -> bool:
        """Return whether the run should end now."""
        return self.received is not None or self.failed != ""

    def echo(self, line: str) -> None:
        """Print a line. If the reader is gone, as after `| head`, or writing fails, let the run end."""
        if self.failed:
            return
        try:
            with progress.aside():
                click.echo(line)
        except BrokenPipeError:
            self.received = getattr(signal, "SIGPIPE", 13)  # Windows has no name for it
        except OSError as error:  # for example a full disk
            self.fail("stdout", error)

    def fail(self, what: str, error: OSError) -> None:
        """Let the run end because `what` cannot be written."""
        self.failed = self.failed or f"{what}: {error.strerror or error}"

    def _note(self, number: int, frame: FrameType | None) -> None:
        name, now = signal.Signals(number).name, time.monotonic()
        if name == SAVING:
            self.save_wanted = True
            self._log(f"{name}: saving after this iteration")
        elif self.received is None:
            self.received, self._since = number, now
            self._log(f"{name}: finishing the iteration, then saving; a second signal stops at once without saving")
        elif not self.patient and now - self._since > SAME_ONE:
            self._write(progress.erase())
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _log(self, line: str) -> None:
        if not self.quiet:
            self._write(f"{progress.erase()}{line}\n")

    def _write(self, text: str) -> None:
        with suppress(OSError):  # sys.stderr is not reentrant: the signal may have interrupted a write to it
            os.write(2, text.encode())

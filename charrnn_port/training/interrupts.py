"""Ctrl-C, SIGTERM and the end of who read the output, taken note of until the iteration in hand is done."""

import signal
from types import FrameType

import click


class Interrupts:
    """While entered, the first SIGINT or SIGTERM is only noted, in `received`; a second one ends the program.

    So is the SIGPIPE that others get who write to a pipe that nobody reads any more. With `patient` all are only
    noted: torchrun sends on what it gets, and has its own way to end who takes too long.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, patient: bool = False) -> None:
        self.patient = patient
        self.received: int | None = None

    def __enter__(self) -> "Interrupts":
        self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if not self.patient:
            for each in self.SIGNALS:
                signal.signal(each, signal.SIG_DFL)

    def echo(self, line: str) -> None:
        """Print a line; where nobody reads any more, as after `| head`, that is an interrupt."""
        try:
            click.echo(line)
        except BrokenPipeError:
            self.received = signal.SIGPIPE

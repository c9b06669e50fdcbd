"""The bar itself: tqdm's, on one line of any width, with facts beside it."""

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from tqdm import tqdm

MARGIN = 2  # columns left free, for a terminal's ^C: with that, too, the bar is one line
EVERY = 0.1  # seconds from one look to the next, at least
LEAST = 4  # columns of a bar that is worth drawing


class Bar(tqdm):
    """A line: how much is done, the time left, then facts; as many as there is room for; the rest is the bar.

    It is formatted anew ten times a second at most; `aside` and `draw` put back what was there.
    """

    ERASE = "\r\x1b[J"  # to the left, then all to the end of the screen
    monitor_interval = 0  # no thread of tqdm's
    on_screen = ""  # of all bars: a new one leaves there what is there until it appears itself

    def __init__(self, label: str, total: int, unit: str, done: int, delay: float) -> None:
        self.facts: Callable[[], list[str]] = list
        self.start_t = 0.0  # tqdm sets it after it has drawn for the first time
        super().__init__(
            desc=label, total=total, unit=unit, initial=done, delay=delay, file=sys.stderr, position=0, leave=False,
            mininterval=EVERY, miniters=1, smoothing=0,
        )  # fmt: skip

    def reach(self, done: int, facts: Callable[[], list[str]] = list) -> None:
        """So much is done in all; with these facts beside it."""
        self.facts = facts
        self.update(done - self.n)

    @property
    def format_dict(self) -> dict[str, Any]:
        """tqdm's, with a line made for the terminal's width."""
        values = super().format_dict
        values["ncols"] = max(1, columns() - MARGIN)
        text = fitting(self._parts(values), values["ncols"])
        room = values["ncols"] - len(text) - 1
        values["bar_format"] = text + (" {bar}" if room >= LEAST else "")
        return values

    def _parts(self, values: dict[str, Any]) -> list[str]:
        if self.unit:
            amount = f"{self.format_sizeof(self.n)}/{self.format_sizeof(self.total)}{self.unit}"
        else:
            amount = f"{self.n}/{self.total}"
        parts = [f"{self.desc} {amount}".strip()]
        new = self.n - self.initial
        if new > 0:
            parts.append(f"{self.format_interval((self.total - self.n) * values['elapsed'] / new)} left")
        return [*parts, *self.facts()]

    def status_printer(self, file: TextIO) -> Callable[[str], None]:
        """How tqdm draws."""
        return self.draw

    def draw(self, text: str) -> None:
        """Put a text in the place of what is there, which a terminal that was made narrower has broken into lines."""
        rows = max(0, len(Bar.on_screen) - 1) // columns()
        Bar.on_screen = text
        with suppress(OSError):  # a terminal that is gone
            self.fp.write("\x1b[A" * rows + self.ERASE + text)
            self.fp.flush()


def columns() -> int:
    """How wide the terminal of stderr is now."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return shutil.get_terminal_size().columns


def fitting(parts: list[str], width: int) -> str:
    """As many of the first parts as there is room for, in one line; closer to each other where that is little."""
    line = "  ".join(parts)
    while len(line) > width and len(parts) > 1:
        line = " ".join(parts)
        parts = parts[:-1]
    return line[:width]

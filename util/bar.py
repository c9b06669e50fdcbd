"""A progress bar on one line of any width: a tqdm bar with facts beside it."""

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from tqdm import tqdm

MARGIN = 2  # columns left free, so that the line still fits when the terminal prints ^C behind it
EVERY = 0.1  # seconds between two redraws, at least
LEAST = 4  # columns: a bar narrower than this is not drawn


class Bar(tqdm):
    """A line with the amount done, the time left and as many facts as fit; the bar takes the remaining width.

    The line is formatted ten times a second at most. `progress.aside` and `draw` restore the line that was there.
    """

    ERASE = "\r\x1b[J"  # move to the left, then erase to the end of the screen
    monitor_interval = 0  # turns off tqdm's monitor thread
    on_screen = ""  # shared by all bars: a new bar leaves the line of the previous one until it appears itself

    def __init__(self, label: str, total: int, unit: str, done: int, delay: float) -> None:
        self.facts: Callable[[], list[str]] = list
        self.start_t = 0.0  # tqdm sets it only after the first draw, which already reads it
        super().__init__(
            desc=label, total=total, unit=unit, initial=done, delay=delay, file=sys.stderr, position=0, leave=False,
            mininterval=EVERY, miniters=1, smoothing=0,
        )  # fmt: skip

    def reach(self, done: int, facts: Callable[[], list[str]] = list) -> None:
        """Set the total amount done, and the facts to show beside it."""
        self.facts = facts
        self.update(done - self.n)

    @property
    def format_dict(self) -> dict[str, Any]:
        """Return tqdm's dictionary with a line format that fits the terminal's width."""
        values = super().format_dict
        values["ncols"] = max(1, columns() - MARGIN)
        text = fit_parts(self._parts(values), values["ncols"])
        bar_width = values["ncols"] - len(text) - 1
        values["bar_format"] = text + (" {bar}" if bar_width >= LEAST else "")
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
        """Return the function that tqdm draws with."""
        return self.draw

    def draw(self, text: str) -> None:
        """Replace the line on the screen. A terminal that was made narrower has wrapped it into several rows."""
        rows = max(0, len(Bar.on_screen) - 1) // columns()
        Bar.on_screen = text
        with suppress(OSError):  # the terminal was closed
            self.fp.write("\x1b[A" * rows + self.ERASE + text)
            self.fp.flush()


def columns() -> int:
    """Return the current width of stderr's terminal in columns."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return shutil.get_terminal_size().columns


def fit_parts(parts: list[str], width: int) -> str:
    """Join as many of the first parts as fit into `width` columns, two spaces apart, or one where that is too wide."""
    line = "  ".join(parts)
    while len(line) > width and len(parts) > 1:
        line = " ".join(parts)
        parts = parts[:-1]
    return line[:width]

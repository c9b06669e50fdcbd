"""Progress bars on stderr, below the printed lines. They are shown only within `bars()`, which a program enters.

    with progress.bars():                                        # once in a program
        with progress.bar("preprocessing", size, "B") as bar:    # in code that takes long
            bar.reach(1000)
        with progress.aside():                                   # in code that prints meanwhile
            print("a line")
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from charrnn_port.util.errors import UserError, how_to_install

Facts = Callable[[], list[str]]
Item = TypeVar("Item")

_enabled = False
_shown: list = []  # the open bars; the last one is on the screen


class Progress(Protocol):
    """A display of how much of a task is done."""

    def reach(self, done: int, facts: Facts = list) -> None:
        """Set the total amount done. Of `facts`, as many of the first as fit are shown beside the bar.

        `facts` is called only when the bar is redrawn.
        """


class NoBar:
    """A Progress that shows nothing."""

    def reach(self, done: int, facts: Facts = list) -> None:
        """Discard the update."""


@contextmanager
def bars(log: Callable[[str], None] = lambda line: None, required: bool = False) -> Iterator[None]:
    """Show bars within this context, if stderr is a terminal that can erase lines and tqdm is installed.

    Without tqdm, `log` receives a note on such a terminal. Raises UserError if tqdm is `required` and not installed.
    """
    global _enabled
    possible = bool(sys.stderr and sys.stderr.isatty()) and os.environ.get("TERM") != "dumb"
    try:
        import tqdm  # noqa: F401
    except ImportError as error:
        if required:
            raise UserError(f"-progress 1 needs tqdm: {how_to_install('watch')}") from error
        if possible:
            log(f"no progress bar without tqdm: {how_to_install('watch')}; -progress 0 hides this note")
        yield
        return
    _enabled = possible
    try:
        yield
    finally:
        _enabled = False


@contextmanager
def bar(label: str, total: int, unit: str = "", done: int = 0, delay: float = 0.3) -> Iterator[Progress]:
    """Show a bar in place of the current one. It appears after `delay` seconds, and is erased at the end.

    Amounts are in `unit`; an empty unit means plain counts.
    """
    if not _enabled:
        yield NoBar()
        return
    from charrnn_port.util.bar import Bar

    before, new = Bar.on_screen, Bar(label, total, unit, done, delay)
    _shown.append(new)
    try:
        yield new
    finally:
        new.close()
        _shown.remove(new)
        if _shown:
            _shown[-1].draw(before)


def track(items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
    """Yield the items, of which there are `total`, and show a bar."""
    with bar(label, total) as shown:
        for done, item in enumerate(items, 1):
            yield item
            shown.reach(done)


@contextmanager
def aside() -> Iterator[None]:
    """Hide the bar within this context, and restore it afterwards."""
    if not _shown:
        yield
        return
    bar = _shown[-1]
    text = bar.on_screen
    bar.draw("")
    try:
        yield
    finally:
        bar.draw(text)


def erase() -> str:
    """Return the text that erases the bar, for signal handlers; the bar returns with its next redraw."""
    return _shown[-1].ERASE if _shown else ""

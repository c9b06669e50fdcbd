"""How far a piece of work is: a bar on stderr, under the lines, where a program has asked for bars; else nothing.

    with progress.bars():                                        # a program, once
        with progress.bar("preprocessing", size, "B") as bar:    # whoever works
            bar.reach(1000)
        with progress.aside():                                   # whoever prints meanwhile
            print("a line")
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from charrnn_port.util.errors import UserError

Facts = Callable[[], list[str]]

_asked = False
_shown: list = []  # bars, the one on the screen last


class Progress(Protocol):
    """What shows how far a piece of work is."""

    def reach(self, done: int, facts: Facts = list) -> None:
        """So much is done in all; `facts` are shown beside, as many of the first as there is room for.

        They are asked for only where the bar is drawn anew.
        """


class Unseen:
    """The bar where there is none."""

    def reach(self, done: int, facts: Facts = list) -> None:
        """Nobody looks."""


@contextmanager
def bars(required: bool = False) -> Iterator[None]:
    """Within, there are bars, where stderr is a terminal that can erase and tqdm is installed.

    Raises UserError where tqdm is `required` and missing.
    """
    global _asked
    try:
        import tqdm  # noqa: F401
    except ImportError as error:
        if required:
            raise UserError('-progress 1 needs tqdm: pip install -c constraints.txt -e ".[watch]"') from error
        yield
        return
    _asked = bool(sys.stderr and sys.stderr.isatty()) and os.environ.get("TERM") != "dumb"
    try:
        yield
    finally:
        _asked = False


@contextmanager
def bar(label: str, total: int, unit: str = "", done: int = 0, delay: float = 0.3) -> Iterator[Progress]:
    """A bar in the place of one that is shown; it appears after `delay` seconds and leaves no trace.

    Amounts are in `unit`; nothing is a count.
    """
    if not _asked:
        yield Unseen()
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


@contextmanager
def aside() -> Iterator[None]:
    """Within, the bar is off the screen; afterwards it is back as it was."""
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
    """What to write to take the bar off the screen; it comes back by itself. For signal handlers."""
    return _shown[-1].ERASE if _shown else ""

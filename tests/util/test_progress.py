"""The bar and the printed lines on an emulated terminal."""

import io
import sys
from types import SimpleNamespace

import pytest

from charrnn_port.util import progress

pytest.importorskip("tqdm")


class Screen(io.StringIO):
    """An emulated terminal that knows \\r, \\n, cursor up and erase to the end, and wraps long lines."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.rows, self.x, self.y = width, [""], 0, 0

    def isatty(self) -> bool:
        """Return True: it is a terminal."""
        return True

    def fileno(self) -> int:
        """Return an invalid descriptor."""
        return -1

    def write(self, text: str) -> int:
        """Write text at the cursor."""
        rest = text
        while rest:
            if rest.startswith("\x1b[A"):
                self.y, rest = max(0, self.y - 1), rest[3:]
            elif rest.startswith("\x1b[J"):
                self.rows = [*self.rows[: self.y], self.rows[self.y][: self.x]]
                rest = rest[3:]
            elif rest[0] == "\r":
                self.x, rest = 0, rest[1:]
            elif rest[0] == "\n":
                self.go_down()
                rest = rest[1:]
            else:
                if self.x == self.width:
                    self.go_down()
                row = self.rows[self.y].ljust(self.x)
                self.rows[self.y] = row[: self.x] + rest[0] + row[self.x + 1 :]
                self.x, rest = self.x + 1, rest[1:]
        return len(text)

    def go_down(self) -> None:
        """Move the cursor to the beginning of the next row."""
        self.x, self.y = 0, self.y + 1
        if self.y == len(self.rows):
            self.rows.append("")

    def narrow(self, width: int) -> None:
        """Change the width and rewrap lines; the cursor stays at its character."""
        broken = [row[i : i + width] for row in self.rows for i in range(0, max(len(row), 1), width)]
        self.width, self.rows, self.y, self.x = width, broken, len(broken) - 1, len(broken[-1])


@pytest.fixture(params=[80, 40])
def screen(request, monkeypatch):
    screen = Screen(request.param)
    for module in ("charrnn_port.util.progress", "charrnn_port.util.bar"):
        monkeypatch.setattr(f"{module}.sys", SimpleNamespace(stderr=screen))  # pytest replaces the real stderr itself
    monkeypatch.setattr("charrnn_port.util.bar.columns", lambda: screen.width)
    monkeypatch.setattr("charrnn_port.util.bar.EVERY", 0)  # every update draws
    monkeypatch.setenv("TERM", "xterm")
    return screen


def print_line(screen, line):
    with progress.aside():
        screen.write(line + "\n")


def test_lines_and_bar_do_not_tear_each_other(screen):
    with progress.bars(), progress.bar("", 500, delay=0) as bar:
        for i in range(1, 4):
            facts = [f"loss {4 - i}.000", "val 3.500", "best 3.500", "epoch 0.01", "63k char/s"]
            bar.reach(i, facts.copy)
            print_line(screen, f"line {i}")
        *lines, last = screen.rows
    assert lines == ["line 1", "line 2", "line 3"]
    assert last.startswith("3/500 ")
    assert "left loss 1.000" in last.replace("  ", " ")
    assert ("63k char/s" in last) == (screen.width == 80)
    assert len(last) <= screen.width - 2  # two columns are left for ^C
    assert screen.rows == ["line 1", "line 2", "line 3", ""]


def test_a_terminal_that_is_made_narrower(screen):
    with progress.bars(), progress.bar("", 500, delay=0) as bar:
        bar.reach(1, ["loss 1.000", "val 3.500"].copy)
        print_line(screen, "line 1")
        screen.narrow(screen.width // 2)
        bar.reach(2, ["loss 1.000", "val 3.500"].copy)
        print_line(screen, "line 2")
        assert screen.rows[:2] == ["line 1", "line 2"]
        assert len(screen.rows) == 3
        assert len(screen.rows[2]) < screen.width


def test_a_bar_in_the_place_of_another(screen):
    """The other bar stays until the new one appears, and returns afterwards."""
    with progress.bars(), progress.bar("", 500, delay=0) as outer:
        outer.reach(7, ["loss 1.000"].copy)
        (before,) = screen.rows
        with progress.bar("evaluating", 20, delay=10**6) as inner:
            inner.reach(3)
            assert screen.rows == [before]
        with progress.bar("evaluating", 20, delay=0) as inner:
            inner.reach(3)
            print_line(screen, "line")
            assert screen.rows[0] == "line"
            assert screen.rows[1].startswith("evaluating 3/20  ")
        assert screen.rows == ["line", before]


def test_amounts_of_bytes(screen):
    with progress.bars(), progress.bar("fetching", 1_115_394, "B", delay=0) as bar:
        bar.reach(500_000)
        assert screen.rows[0].startswith("fetching 500k/1.12MB  00:00 left ")


@pytest.mark.parametrize("why", ["nobody asked", "no terminal", "dumb terminal"])
def test_no_bar(why, screen, monkeypatch):
    if why == "no terminal":
        monkeypatch.setattr(screen, "isatty", lambda: False)
    if why == "dumb terminal":
        monkeypatch.setenv("TERM", "dumb")
    if why == "nobody asked":
        with progress.bars():
            pass
        with progress.bar("", 10, delay=0) as bar:
            bar.reach(5)
    else:
        with progress.bars(), progress.bar("", 10, delay=0) as bar:
            bar.reach(5)
    assert progress.erase() == ""
    assert screen.rows == [""]


def test_without_tqdm_a_note_where_a_bar_could_be(screen, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    notes = []
    with progress.bars(notes.append), progress.bar("", 10, delay=0) as bar:
        bar.reach(5)
    (note,) = notes
    assert note.startswith("no progress bar without tqdm: pip install ")
    assert '".[all]"' in note
    assert screen.rows == [""]
    monkeypatch.setenv("TERM", "dumb")  # no bar with tqdm either
    with progress.bars(notes.append):
        assert len(notes) == 1


def test_no_colours(screen, monkeypatch):
    """The bar has no colors, so NO_COLOR is obeyed, and so tqdm's own variables cannot add any."""
    monkeypatch.setenv("TQDM_COLOUR", "green")
    monkeypatch.setenv("NO_COLOR", "1")
    written = []
    monkeypatch.setattr(screen, "write", lambda text: written.append(text) or len(text))
    with progress.bars(), progress.bar("", 10, delay=0) as bar:
        bar.reach(5)
    assert written
    assert not any("\x1b[3" in text for text in written)

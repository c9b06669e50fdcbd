"""Shared by tests of the documentation: the pages, and the code blocks on them."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from conftest import ROOT

PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "data/README.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)


class Block(NamedTuple):
    """A fenced block: its info string, such as `bash` or `python recorder`, its first line number, and its text."""

    info: str
    line: int
    text: str


def blocks(page: Path) -> list[Block]:
    """Return all fenced blocks of a page in order."""
    text = page.read_text()
    found = re.finditer(r"^```(\S[^\n]*)\n(.*?)^```$", text, re.M | re.S)
    return [Block(match[1], text.count("\n", 0, match.start(2)) + 1, match[2]) for match in found]


def module_of(page: str, info: str, folder: Path) -> ModuleType:
    """Write the only block of a page with this info string to a file in `folder`, and import it as a module."""
    (block,) = [block for block in blocks(ROOT / page) if block.info == info]
    path = folder / f"{info.split()[-1]}_of_the_page.py"
    path.write_text(block.text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```\S[^\n]*\n.*?^```$", "", page.read_text(), flags=re.M | re.S)


def quoted(page: Path) -> list[str]:
    """Return the inline code on a page, outside its blocks."""
    lines = [line for line in prose(page).splitlines() if not line.startswith("    ")]
    return re.findall(r"`([^`]+)`", "\n".join(lines))

"""Print a text as a heatmap of surprise: the color of each character shows -log2 of its predicted probability.

The colors are those of cividis (Nuñez et al. 2018). They differ in lightness, so that readers with any color vision
can distinguish them. Both the background and the text have a color, so that they have the same contrast on a light
terminal as on a dark one. High levels are also underlined and bold, with NO_COLOR set too.
"""

import codecs
import math
import os
import sys
from collections.abc import Iterable
from itertools import groupby, pairwise

import click

from charrnn_port.command_line import log_line
from charrnn_port.reports.scoring import CharacterScores
from charrnn_port.reports.text_stream import Block, visible

BITS = (1, 3, 5, 8)  # lower bounds of the levels of surprise above the lowest
COLORS = ("48;5;17;38;5;255", "48;5;60;38;5;231", "48;5;102;38;5;16", "48;5;179;38;5;16", "48;5;227;38;5;16")
SIGNS = ("", "", "", "4", "1;4")  # underlined; bold and underlined
RESET = "\033[0m"


class Heat:
    """Writes a text to stdout as it is read: in color on a terminal, unchanged elsewhere."""

    def __init__(self) -> None:
        self._styles = level_styles()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._bits = 0.0  # sum over the bytes of the current character
        self._begun = False
        if any(self._styles):
            between = [f"{low} to {high}" for low, high in pairwise(BITS)]
            names = [f"below {BITS[0]}", *between, f"{BITS[-1]} and more"]
            legend = "".join(styled(f" {name} ", style) for name, style in zip(names, self._styles, strict=True))
            log_line(f"surprise in bits: {legend}")
            bounds, chances = (", ".join(map(str, each)) for each in (BITS, [f"1/{2**bits}" for bits in BITS]))
            log_line(f"{bounds} bits: probability {chances}; underlined from {BITS[2]}, bold from {BITS[3]}")

    def show(self, block: Block, figures: CharacterScores) -> None:
        """Write a block, after a blank line if it begins another piece.

        The first character of a piece has no context and is shown with a surprise of 0 bits.
        """
        if block.line:
            self._decoder.reset()
            self._bits = 0.0
            click.echo("\n\n" if self._begun else "", nl=False)
            self._begun = True
        bits = [0.0] * (len(block.units) - len(figures.ids)) + (-figures.log_probs / math.log(2)).tolist()
        leveled: list[tuple[int, str]] = []
        for unit, its_bits in zip(block.units, bits, strict=True):
            self._bits += its_bits
            for character in unit if isinstance(unit, str) else self._decoder.decode(bytes([unit])):
                leveled.append((sum(self._bits >= least for least in BITS), character))
                self._bits = 0.0
        click.echo(painted(leveled, self._styles), nl=False)


def level_styles() -> list[str]:
    """Return the terminal's code for each level, "" for none; warn on stderr if stdout is not a terminal."""
    if not sys.stdout.isatty():
        log_line("stdout is not a terminal: no colors")
        return [""] * len(COLORS)
    colors = ("",) * len(COLORS) if os.environ.get("NO_COLOR") else COLORS
    return [";".join(filter(None, style)) for style in zip(colors, SIGNS, strict=True)]


def painted(leveled: Iterable[tuple[int, str]], styles: list[str]) -> str:
    """Return characters, given with their levels, with the codes of these styles and control characters escaped."""
    shown: list[tuple[int | None, str]] = []
    for level, character in leveled:
        if character != "\n":
            shown.append((level, character if character == "\t" else visible(character)))
        else:
            if level and styles[level]:
                shown.append((level, "↵"))
            shown.append((None, "\n"))
    runs = [(level, "".join(text for _, text in run)) for level, run in groupby(shown, key=lambda pair: pair[0])]
    return "".join(text if level is None else styled(text, styles[level]) for level, text in runs)


def styled(text: str, style: str) -> str:
    """Return the text with the codes of a style, "" for none."""
    return f"\033[{style}m{text}{RESET}" if style else text

"""Print a text as a heatmap of surprise: the color of each character shows -log2 of its predicted probability.

The colors are those of cividis (Nuñez et al. 2018). They differ in lightness, so that readers with any color vision
can distinguish them. High levels are also underlined and bold, with NO_COLOR set too.
"""

import codecs
import math
import os
import sys
from itertools import groupby

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
        terminal = sys.stdout.isatty()
        colors = COLORS if terminal and not os.environ.get("NO_COLOR") else ("",) * len(COLORS)
        signs = SIGNS if terminal else ("",) * len(SIGNS)
        self._styles = [";".join(filter(None, style)) for style in zip(colors, signs, strict=True)]
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._bits = 0.0  # sum over the bytes of the current character
        self._begun = False
        if terminal:
            names = ["below 1", *map(str, BITS[:-1]), f"{BITS[-1]} and more"]
            legend = "".join(self._styled(f" {name} ", level) for level, name in enumerate(names))
            log_line(f"bits of surprise: {legend} (underlined from {BITS[2]}, bold from {BITS[3]})")
        else:
            log_line("stdout is not a terminal: no colors")

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
        painted: list[tuple[int | None, str]] = []
        for unit, its_bits in zip(block.units, bits, strict=True):
            self._bits += its_bits
            for character in unit if isinstance(unit, str) else self._decoder.decode(bytes([unit])):
                level = sum(self._bits >= least for least in BITS)
                if character != "\n":
                    painted.append((level, character if character == "\t" else visible(character)))
                else:
                    if level and self._styles[level]:
                        painted.append((level, "↵"))
                    painted.append((None, "\n"))
                self._bits = 0.0
        runs = [(level, "".join(text for _, text in run)) for level, run in groupby(painted, key=lambda pair: pair[0])]
        click.echo("".join(self._styled(text, level) for level, text in runs), nl=False)

    def _styled(self, text: str, level: int | None) -> str:
        style = "" if level is None else self._styles[level]
        return f"\033[{style}m{text}{RESET}" if style else text

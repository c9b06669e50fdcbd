"""Draw a figure of one unit on one passage, for papers."""

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from charrnn_port.command_line import log_line
from charrnn_port.options import LookOptions, OptionError
from charrnn_port.reports.drawing import as_file
from charrnn_port.reports.look.packing import strong
from charrnn_port.reports.look.recording import Recording
from charrnn_port.reports.look.units import Finding
from charrnn_port.util.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = (".svg", ".png")
WIDTH = 80  # characters per line; longer lines are wrapped
SIZE = 0.085, 0.22  # width and height of a character, in inches
HIGH, LOW = (226, 120, 10), (20, 110, 205)  # as on the page
STRONGEST = 0.85
UNDERLINED = 4.5 / 8  # values above this share of the strongest color are underlined


def require(options: LookOptions, wanted: list[tuple[int, int]], parts: list[str], count: int) -> None:
    """Raise OptionError for several units, an unknown part, or an invalid passage of a text of `count` characters.

    This is known before the text is read.
    """
    if len(wanted) > 1:
        raise OptionError(f"-units: a figure shows one unit, got {len(wanted)}")
    if options.part and options.part not in parts:
        raise OptionError(f"-part: unknown part {options.part!r}: this cell has {', '.join(parts)}")
    passage(options.passage, count)


def draw(
    options: LookOptions,
    recording: Recording,
    pieces: list[str],
    wanted: list[tuple[int, int]],
    findings: list[Finding],
    part: str,
) -> bytes:
    """Draw the unit in `wanted`, or else that of the first finding; return the content of the figure's file.

    `part` is the part of the state to draw unless -part or the finding names another. `pieces` is the text shown for
    each character or byte. Raises UserError if there is no unit to show.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    if not wanted and not findings:
        raise UserError("no unit predicts any property above chance: name one with -units")
    chosen = next((each for each in findings if not wanted or (each.layer, each.unit) == wanted[0]), None)
    layer, unit = wanted[0] if wanted else (chosen.layer, chosen.unit)
    part = options.part or (chosen.part if chosen else part)
    begin, end = passage(options.passage, len(pieces))
    seen = [place for place in range(begin, end) if pieces[place]]
    characters = [pieces[place] for place in seen]
    values = recording.layers[layer - 1][part][:, unit]
    title = f"unit {unit} of layer {layer}, its {part}"
    if chosen and part == chosen.part:
        score = f"{chosen.kind} {chosen.figure:.2f} on the text's second half, chance {chosen.chance:.2f}"
        title += f"\n{chosen.property}: {score}"
    places = laid_out(characters)
    lines = int(places[:, 1].max(initial=0)) + 1
    figure = Figure(figsize=(SIZE[0] * (WIDTH + 2), SIZE[1] * lines + 0.75), dpi=110)
    axes = figure.add_axes((0, 0, 1, SIZE[1] * lines / (SIZE[1] * lines + 0.75)))
    figure.text(0.012, 1 - 0.09 / (SIZE[1] * lines + 0.75), title, va="top", fontsize=10)
    paint(axes, characters, (values[seen] / strong(part, values)).clip(-1, 1), places)
    axes.set(xlim=(-1, WIDTH + 1), ylim=(lines, -0.15))
    axes.axis("off")
    kind = Path(options.o).suffix[1:].lower()

    # Text is stored as text in one font, which halves the file.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "charrnn", "font.monospace": ["DejaVu Sans Mono"]}
    with rc_context(settings), warnings.catch_warnings(record=True) as missing:
        warnings.filterwarnings("always", "Glyph .* missing")
        content = as_file(figure, kind, metadata={"Date": None} if kind == "svg" else None)
    if missing and kind == "png":
        log_line("the font lacks characters of this passage; an .svg file shows them with the reader's fonts")
    return content


def passage(text: str, count: int) -> tuple[int, int]:
    """Return the begin and end of -passage, clipped to `count`. Raises OptionError if it is invalid or out of range."""
    numbers = re.fullmatch(r"(\d{1,18})-(\d{1,18})", text)
    begin, end = map(int, numbers.groups()) if numbers else (0, 0)
    if begin >= end:
        raise OptionError(f"-passage: {text!r} is invalid: expected BEGIN-END, such as 0-640")
    if begin >= count:
        raise OptionError(f"-passage: {text} is out of range: only {count} characters were read")
    return begin, min(end, count)


def laid_out(characters: list[str]) -> np.ndarray:
    """Return the column and line of each character, `[n, 2]`."""
    places, column, line = [], 0, 0
    for character in characters:
        if column == WIDTH:
            column, line = 0, line + 1
        places.append((column, line))
        column += 1
        if character == "\n":
            column, line = 0, line + 1
    return np.array(places).reshape(-1, 2)


def paint(axes: "Axes", characters: list[str], shares: np.ndarray, places: np.ndarray) -> None:
    """Draw each character on a background for its value: orange above 0, blue below; strong values are underlined."""
    from matplotlib.collections import PolyCollection

    corners = np.array([(0, 0), (1, 0), (1, 0.94), (0, 0.94)])
    grounds = [(*(part / 255 for part in (HIGH if each > 0 else LOW)), STRONGEST * abs(float(each))) for each in shares]
    axes.add_collection(PolyCollection(places[:, None] + corners, facecolors=grounds, clip_on=False))
    for character, (column, line), each in zip(characters, places, shares, strict=True):
        shown = "↵" if character == "\n" else character
        if not shown.isspace():
            axes.text(
                column + 0.5, line + 0.72, shown, ha="center", va="baseline", fontfamily="monospace", fontsize=9.5,
                color="#999999" if character == "\n" else "black", parse_math=False,
            )  # fmt: skip
        if abs(each) >= UNDERLINED:
            style = "-" if each > 0 else (0, (1.5, 1.5))
            axes.plot([column, column + 1], [line + 0.86] * 2, color="black", linewidth=0.9, linestyle=style)

"""Writes the figures of docs/how_it_works.md: `python docs/figures.py docs`. A test compares them with the files there.

Each figure is a list of SVG elements. Coordinates are in points, from the top left corner. Colors mean the same in all
figures: blue is the input and output of the network, orange its state, green the loss, gray dashed a gradient.
"""

import sys
from collections.abc import Callable
from html import escape
from itertools import pairwise
from pathlib import Path

BLUE, ORANGE, GREEN, GRAY, INK = "#dbe9f6", "#fde3c8", "#d9efd9", "#8a8a8a", "#222222"
HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" \
font-family="Helvetica, Arial, sans-serif" font-size="13" role="img" aria-label="{title}">
<title>{title}</title>
<defs>
<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L8 4 L0 8 z" fill="{ink}"/></marker>
<marker id="back" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L8 4 L0 8 z" fill="{gray}"/></marker>
</defs>
<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>
"""


def box(x: float, y: float, width: float, height: float, text: str, fill: str = "#ffffff") -> str:
    """Return a rectangle with one or several lines of text in its middle."""
    frame = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="{fill}" stroke="{INK}"/>'
    lines = text.split("\n")
    first = y + height / 2 + 4.5 - 8 * (len(lines) - 1)
    words = [label(x + width / 2, first + 16 * number, line) for number, line in enumerate(lines)]
    return "\n".join([frame, *words])


def label(x: float, y: float, text: str, anchor: str = "middle", fill: str = INK, size: int = 13) -> str:
    """Return one line of text; `anchor` is start, middle or end."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{fill}" font-size="{size}">{escape(text)}</text>'


def arrow(*points: tuple[float, float], back: bool = False) -> str:
    """Return an arrow through some points; a gray dashed one for gradients."""
    path = " L".join(f"{x} {y}" for x, y in points)
    style = f'stroke="{GRAY}" stroke-dasharray="5 4"' if back else f'stroke="{INK}"'
    head = "back" if back else "arrow"
    return f'<path d="M{path}" fill="none" {style} stroke-width="1.3" marker-end="url(#{head})"/>'


def svg(title: str, width: int, height: int, elements: list[str]) -> str:
    """Return a whole file."""
    head = HEAD.format(title=escape(title), width=width, height=height, ink=INK, gray=GRAY)
    return head + "\n".join(elements) + "\n</svg>\n"


def network() -> str:
    """Draw the network at one time step: from a character to a prediction of the next."""
    rows = [
        (320, "one-hot input  [65]", BLUE, "the character “h”: a 1 at its id, 0 elsewhere"),
        (240, "layer 1: LSTM cell  [128]", ORANGE, "state h and c, carried to the next time step"),
        (160, "layer 2: LSTM cell  [128]", ORANGE, "its input is h of layer 1"),
        (80, "decoder: linear  [65]", BLUE, "a score for each character"),
        (20, "log-softmax  [65]", BLUE, "log-probabilities of the next character"),
    ]
    elements = [box(60, y, 220, 40, text, fill) for y, text, fill, _ in rows]
    elements += [label(360, y + 25, about, "start", "#555555") for y, _, _, about in rows]
    elements += [arrow((170, below[0]), (170, above[0] + 42)) for below, above in pairwise(rows)]
    for y in (240, 160):
        elements.append(arrow((282, y + 10), (325, y + 10), (325, y + 30), (284, y + 30)))
    return svg("The network at one time step", 700, 380, elements)


def unrolled() -> str:
    """Draw three time steps: predictions, losses, the state between steps, and the way back of the gradients."""
    elements = []
    for number, (character, following) in enumerate(["he", "el", "ll"]):
        x = 130 + 185 * number
        elements += [
            box(x, 270, 90, 34, f"“{character}”", BLUE),
            box(x, 185, 90, 44, "the same\nnetwork", ORANGE),
            box(x, 105, 90, 40, "prediction", BLUE),
            box(x, 30, 90, 40, f"−log p(“{following}”)", GREEN),
            arrow((x + 35, 270), (x + 35, 231)),
            arrow((x + 35, 185), (x + 35, 147)),
            arrow((x + 35, 105), (x + 35, 72)),
            arrow((x + 60, 70), (x + 60, 103), back=True),
            arrow((x + 60, 145), (x + 60, 183), back=True),
            label(x + 45, 325, f"t = {number + 1}"),
        ]
        elements.append(arrow((x - 93, 198), (x - 2, 198)))
        if number:
            elements.append(arrow((x, 217), (x - 93, 217), back=True))
        else:
            elements += [label(x - 48, 190, "state"), label(x - 48, 235, "no gradient", fill=GRAY)]
    elements += [
        arrow((592, 198), (660, 198)),
        label(628, 190, "state"),
        label(645, 55, "loss:", "middle"),
        label(645, 73, "their mean", "middle"),
        label(645, 285, "dashed:", "middle", GRAY),
        label(645, 303, "gradients", "middle", GRAY),
    ]
    return svg("Three unrolled time steps, with gradients that flow back through them", 700, 345, elements)


def carried() -> str:
    """Draw how a text is laid out in rows, cut into batches and parts, and how the state is carried between batches."""
    elements, left, top, width, height = [], 90, 70, 92, 40
    columns = [("batch 1", BLUE), ("batch 2", BLUE), ("batch 3", BLUE), ("batch 4", BLUE), ("batch 5", GREEN)]
    rows = ["row 1", "row 2", "row 3"]
    for number, (name, fill) in enumerate(columns):
        x = left + number * (width + 18)
        elements.append(label(x + width / 2, top - 12, name))
        for row in range(len(rows)):
            y = top + row * (height + 14)
            elements.append(box(x, y, width, height, "50\ncharacters", fill))
            if 0 < number < len(columns) - 1:  # an evaluation begins with an empty state
                elements.append(arrow((x - 18, y + height / 2), (x - 1, y + height / 2)))
    elements += [label(left - 10, top + row * (height + 14) + 25, name, "end") for row, name in enumerate(rows)]
    bottom = top + len(rows) * (height + 14)
    validation = left + 4 * (width + 18)
    elements += [
        label(left + 2 * (width + 18) - 9, 25, "training", size=14),
        label(validation + width / 2, 25, "validation", size=14),
        f'<path d="M{left} 36 L{validation - 18} 36 M{validation} 36 L{validation + width} 36" stroke="{INK}"/>',
        label(left, bottom + 20, "Each row is a part of the text; row 2 continues where row 1 ends.", "start"),
        label(left, bottom + 40, "Arrows: the carried state. After batch 4 comes batch 1 of the next epoch.", "start"),
        label(left, bottom + 60, "Validation is the end of each row, not the end of the text.", "start"),
    ]
    return svg("A text in rows and batches, with the state carried from batch to batch", 700, bottom + 80, elements)


FIGURES: dict[str, Callable[[], str]] = {
    "network.svg": network,
    "unrolled.svg": unrolled,
    "carried.svg": carried,
}


def main(folder: str) -> None:
    """Write all figures to a folder."""
    for name, draw in FIGURES.items():
        Path(folder, name).write_text(draw(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

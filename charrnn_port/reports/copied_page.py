"""Write the page of `charrnn copied`: the samples with their copied passages marked, as one file without scripts."""

import html
from collections.abc import Sequence
from itertools import groupby

from charrnn_port.reports.text_stream import visible

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56em; margin: 2em auto; padding: 0 1em;
       color: #222; background: #fff }
pre { font: 14px/1.6 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
td, th { padding: .1em .8em; text-align: right; vertical-align: top }
th { white-space: nowrap }
td:last-child, th:last-child { text-align: left; overflow-wrap: anywhere }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums }
tr:target { outline: 2px solid }
.copied { color: #111; background: #ffe08a; text-decoration: underline }
.long { background: #ffab5e; font-weight: bold }
.copied:hover, .copied:focus { outline: 2px solid }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } :any-link { color: #8cf }
       .copied:any-link { color: #111 } }
"""

# A sample: its name, its characters with the numbers of their passages, and its passages as in -json.
Entry = tuple[str, list[tuple[int | None, str]], list[dict[str, str | int]]]


def make(
    text: str, least: int, lengths: Sequence[int], rows: Sequence[tuple[str, list[str], int, int]], entries: list[Entry]
) -> str:
    """Return the page. `rows` are those of the table of shares: name, shares, longest match, bytes."""
    name = html.escape(text)
    table = "".join(row("td", [*shares, longest, size, name]) for name, shares, longest, size in rows)
    samples = "".join(section(number, *entry, least) for number, entry in enumerate(entries))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Passages copied from {name}</title><style>{STYLE}</style></head><body>
<h1>Passages copied from {name}</h1>
<p>Passages of at least {least} bytes that are in the training text are <span class="copied">marked</span>, those
of {2 * least} bytes or more <span class="copied long">in bold</span>. Point at one to see where it is in the training
text; click it to see it in the list below its sample.</p>
<h2>Share of bytes in passages of at least N bytes that are in the training text</h2>
<table>{row("th", [*(f"N = {least}" for least in lengths), "longest", "bytes", ""])}{table}</table>
{samples}</body></html>
"""


def section(
    number: int, name: str, characters: list[tuple[int | None, str]], passages: list[dict[str, str | int]], least: int
) -> str:
    """Return the part about one sample: its text, and the list of its passages, to which the marks are links."""
    parts = []
    for passage, run in groupby(characters, key=lambda pair: pair[0]):
        shown = html.escape("".join(character for _, character in run))
        if passage is not None:
            about = passages[passage]
            where = f"{about['bytes']} bytes, in the training text at byte {about['text_position']}, "
            kind = "copied long" if about["bytes"] >= 2 * least else "copied"
            where += f"line {about['text_line']}"
            shown = f'<a class="{kind}" href="#passage-{number}-{passage}" title="{where}">{shown}</a>'
        parts.append(shown)
    head = row("th", ["bytes", "in sample", "in text", "line", "passage"])
    lines = []
    for place, (*places, passage) in enumerate(each.values() for each in passages):
        lines.append(row("td", [*places, "".join(map(visible, passage))], f"passage-{number}-{place}"))
    return f"<h2>{html.escape(name)}</h2><pre>\n{''.join(parts)}</pre><table>{head}{''.join(lines)}</table>\n"


def row(kind: str, cells: list[str | int], name: str = "") -> str:
    """Return a row of a table, of th or td."""
    begin = f'<tr id="{name}">' if name else "<tr>"
    return begin + "".join(f"<{kind}>{html.escape(str(cell))}</{kind}>" for cell in cells) + "</tr>\n"

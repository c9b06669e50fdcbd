"""Read a user's own properties of a text: matches of a regular expression, or labels in a file."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from charrnn_port.options import OptionError
from charrnn_port.reports.look.properties import Property, passages
from charrnn_port.util.errors import UserError

MOST = 20  # different labels in a file, each a property


def matches(label: str, units: bytes | str, begins: Sequence[int] = (0,)) -> Property:
    """Return the property of being in a match of NAME=REGEX, after the match's first character and up to its last.

    Pieces of the text begin at `begins`; no match goes beyond a piece. `^` and `$` match at lines. Raises OptionError
    for invalid syntax.
    """
    name, _, regex = label.partition("=")
    if not name or not regex:
        raise OptionError(f"-label: {label!r} is invalid: expected NAME=REGEX, such as 'url=https?://\\S+'")
    try:
        found = re.compile(regex, re.MULTILINE)
    except re.error as error:
        raise OptionError(f"-label: {regex!r} is not a regular expression: {error}") from None
    values = np.zeros(len(units), bool)
    for begin, piece in zip(begins, passages(units, begins), strict=True):
        text, places = decoded(piece)
        for each in found.finditer(text):
            values[begin + places[each.start()] : begin + places[each.end()]] = True
    return Property(name, values)


def read_labels(path: str, units: bytes | str) -> list[Property]:
    """Return the properties in a file that has a label for each character, word or line of a text, one a line.

    Words are separated by white space; between words, the number is 0 and no label holds. If all labels are numbers,
    they are one property; if they are 0 and 1, it is yes or no. Otherwise each label is a property.

    Raises UserError if the file cannot be read, or has another number of labels.
    """
    try:
        labels = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"-labels: cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    labels = [each.strip() for each in (labels[:-1] if labels[-1] == "" else labels)]
    spans = spans_for(len(labels), path, units)
    name = Path(path).stem
    try:
        numbers = np.array(labels, np.float64)
    except ValueError:
        names = list(dict.fromkeys(filter(None, labels)))
        if len(names) > MOST:
            raise UserError(
                f"-labels: {path} has {len(names)} different labels: expected at most {MOST}, or numbers"
            ) from None
        each_label = {each: [label == each for label in labels] for each in names}
        return [Property(f"{name}: {each}", spread(holds, spans, units)) for each, holds in each_label.items()]
    if not np.isfinite(numbers).all():
        raise UserError(f"-labels: {path} has numbers that are not finite")
    yes_or_no = set(numbers) <= {0, 1}
    return [Property(name, spread(numbers.astype(bool) if yes_or_no else numbers, spans, units))]


def spans_for(count: int, path: str, units: bytes | str) -> list[tuple[int, int]]:
    """Return the begin and end of each character, word or line, whichever the text has `count` of."""
    text, places = decoded(units)
    found = {
        "characters": [(place, place + 1) for place in range(len(text))],
        "words": [each.span() for each in re.finditer(r"\S+", text)],
        "lines": [each.span() for each in re.finditer(r".*\n|.+", text)],
    }
    for spans in found.values():
        if len(spans) == count:
            return [(places[begin], places[end]) for begin, end in spans]
    has = ", ".join(f"{len(spans)} {name}" for name, spans in found.items())
    raise UserError(f"-labels: {path} has {count} labels, but the text that was read has {has}; see -length")


def spread(labels: list[bool] | np.ndarray, spans: list[tuple[int, int]], units: bytes | str) -> np.ndarray:
    """Return the label of each character, `[n]`."""
    labels = np.asarray(labels)
    values = np.zeros(len(units), labels.dtype)
    for label, (begin, end) in zip(labels, spans, strict=True):
        values[begin:end] = label
    return values


def decoded(units: bytes | str) -> tuple[str, list[int]]:
    """Return a text's characters, and the place of each in `units`, with the end."""
    if isinstance(units, str):
        return units, list(range(len(units) + 1))
    text = units.decode(errors="surrogateescape")
    sizes = [len(each.encode(errors="surrogateescape")) for each in text]
    return text, [0, *np.cumsum(sizes).tolist()]

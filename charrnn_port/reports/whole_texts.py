"""Find which of many short samples, such as names, are whole texts of the training text; for runs with -separator."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class WholeText(NamedTuple):
    """A sampled text that is one of those in the training text."""

    text: bytes
    line: int  # of the training text, from 1
    held_out: bool  # whether it is only in the validation split

    def values(self) -> dict[str, str | int | bool]:
        """Return the object for -json."""
        return self._asdict() | {"text": self.text.decode(errors="backslashreplace")}


def texts_in(content: bytes, separator: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the texts between separators with their positions, without empty ones.

    A newline at the very end, which sample.py prints after each text, belongs to none.
    """
    position = 0
    for text in content.removesuffix(b"\n").split(separator):
        if text:
            yield position, text
        position += len(text) + len(separator)


def whole_texts(
    sample: bytes, content: bytes, separator: bytes, held_out: Sequence[tuple[int, int]]
) -> tuple[int, list[WholeText]]:
    """Return the number of texts in a sample, and those that are whole texts of `content`, in the sample's order.

    `held_out` are the ranges of bytes in the validation split, in ascending order. A text that is there more than once
    is held out if none of them was trained on, and has the line of the first.
    """
    starts, line, last = [begin for begin, _ in held_out], 1, 0
    known: dict[bytes, WholeText] = {}
    for position, text in texts_in(content, separator):
        line, last = line + content.count(b"\n", last, position), position
        number = bisect_right(starts, position) - 1
        held = number >= 0 and position < held_out[number][1]
        if text not in known or (known[text].held_out and not held):
            known[text] = WholeText(text, line, held)
    texts = [text for _, text in texts_in(sample, separator)]
    return len(texts), [known[text] for text in texts if text in known]

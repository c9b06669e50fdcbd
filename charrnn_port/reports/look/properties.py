"""What a text tells at each of its characters: whether it is inside quotes, how far into the line it is, ...

By Unicode's classes of characters, not by a language: so for other scripts, and for programs. What is said of a
character holds once it is read: the one that opens a quotation is inside it, the one that closes it is not.
"""

import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

ENOUGH = 20  # characters of a half of the text for which a property holds, and does not
LONGEST = 3000  # characters from an opening mark to the one that closes it; beyond, it is taken to close nothing
QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "‹": "›", "「": "」", "『": "』", "`": "`"}
VOWELS = frozenset("aeiouy" + "аеиоуыэюяієї" + "αεηιουω")


class Property(NamedTuple):
    """Of each of n characters."""

    name: str
    values: np.ndarray  # [n]: bool for yes and no, float64 for a number

    @property
    def yes_or_no(self) -> bool:
        """Whether it is no number."""
        return self.values.dtype == bool


def characters_at(units: bytes | str) -> list[str]:
    """The character that each unit is, or is a byte of."""
    if isinstance(units, str):
        return list(units)
    found: list[str] = []
    for character in units.decode(errors="surrogateescape"):
        found += [character] * len(character.encode(errors="surrogateescape"))
    return found


def properties(characters: list[str]) -> tuple[list[Property], list[str]]:
    """Those that can be told about in both halves of a text, and the names of those too rare for it."""
    found = [Property(name, np.array(values)) for name, values in all_of(characters).items()]
    usable = [each for each in found if varies(each.values)]
    return usable, [each.name for each in found if not varies(each.values)]


def varies(values: np.ndarray) -> bool:
    """Whether there is enough to tell in both halves."""
    middle = len(values) // 2
    for half in (values[:middle], values[middle:]):
        if not len(half) or np.count_nonzero(half != half[0]) < ENOUGH:
            return False
        if half.dtype == bool and np.count_nonzero(half == half[0]) < ENOUGH:
            return False
    return True


def all_of(characters: list[str]) -> dict[str, list[bool] | list[float]]:
    """Each property's values by its name."""
    kinds = [unicodedata.category(character) for character in characters]
    in_word = [is_word(character, kind) for character, kind in zip(characters, kinds, strict=True)]
    count = len(characters)
    column, to_end, indentation, colon = lines(characters)
    return {
        "inside quotes": inside(count, quotations(characters)),
        "inside brackets": inside(count, brackets(characters, kinds)),
        "inside a word": in_word,
        "upper case": [kind in ("Lu", "Lt") for kind in kinds],
        "digit": [kind == "Nd" for kind in kinds],
        "vowel": [unicodedata.normalize("NFD", character.lower())[:1] in VOWELS for character in characters],
        "line end ahead": [after == "\n" for _, after in pairwise([*characters, ""])],
        "in a line that ends in a colon": colon,
        "position in the line": column,
        "characters to the line's end": to_end,
        "indentation of the line": indentation,
        "position in the word": word_positions(in_word),
    }


def is_word(character: str, kind: str) -> bool:
    """Whether a character makes words: letters with their marks, digits, and the underscore of programs."""
    return kind[0] in "LMN" or character == "_"


def word_positions(in_word: list[bool]) -> list[float]:
    """1 for a word's first character, 2 for its second, ...; 0 between words."""
    found, place = [], 0.0
    for each in in_word:
        place = place + 1 if each else 0.0
        found.append(place)
    return found


def lines(characters: list[str]) -> tuple[list[float], list[float], list[float], list[bool]]:
    """Of each character: those of its line up to it, those still to come, the line's indentation, whether it ends in a
    colon. A newline is at position 0 of the next line, which it begins; a tab is one character.
    """
    column: list[float] = []
    to_end: list[float] = []
    indentation: list[float] = []
    colon: list[bool] = []
    for line in split(characters):
        length, text = len(line), "".join(line).strip("\n")
        begin = 0 if line[0] == "\n" else 1
        column += map(float, range(begin, begin + length))
        to_end += map(float, range(length - 1, -1, -1))
        indentation += [float(len(text) - len(text.lstrip()))] * length
        colon += [text.rstrip().endswith(":")] * length
    return column, to_end, indentation, colon


def split(characters: list[str]) -> Iterator[list[str]]:
    """A text's lines, each with the newline before it."""
    begins = [0, *(place for place, character in enumerate(characters) if place and character == "\n")]
    for begin, end in pairwise([*begins, len(characters)]):
        if begin < end:
            yield characters[begin:end]


def quotations(characters: list[str]) -> Iterator[tuple[int, int]]:
    """Where quotations begin and end; one is over at a blank line, too, and then was none."""
    opened, closing = -1, ""
    for place, character in enumerate(characters):
        if opened >= 0 and character == closing:
            yield opened, place
            opened = -1
        elif opened >= 0 and (place - opened > LONGEST or characters[place - 1 : place + 1] == ["\n", "\n"]):
            opened = -1
        elif opened < 0 and character in QUOTES:
            opened, closing = place, QUOTES[character]


def brackets(characters: list[str], kinds: list[str]) -> Iterator[tuple[int, int]]:
    """Where brackets of any script open and close, those that fit; what is left open is taken for none."""
    opened: list[tuple[int, str]] = []
    for place, (character, kind) in enumerate(zip(characters, kinds, strict=True)):
        if kind == "Ps" and character not in QUOTES:
            opened.append((place, character))
        elif kind == "Pe":
            for depth in range(len(opened) - 1, -1, -1):
                begin, mark = opened[depth]
                if place - begin > LONGEST:
                    break
                if fit(mark, character):
                    yield begin, place
                    del opened[depth:]
                    break


def fit(opening: str, closing: str) -> bool:
    """Whether these are a pair: in Unicode they stand beside each other, or with one sign between."""
    return 1 <= ord(closing) - ord(opening) <= 2


def inside(count: int, pairs: Iterator[tuple[int, int]]) -> list[bool]:
    """Yes from each opening mark on to the character before the closing one."""
    found = np.zeros(count, bool)
    for begin, end in pairs:
        found[begin:end] = True
    return found.tolist()

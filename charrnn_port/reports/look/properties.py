"""Compute properties of a text at each character: whether it is inside quotes, its position in the line, ...

They are defined by Unicode character classes, not by a language, so that they apply to other scripts and to programs. A
property describes the state after the character was read: the mark that opens a quotation is inside it, the mark that
closes it is not.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

ENOUGH = 20  # in each half of the text a property must hold for this many characters, and not hold for as many
LONGEST = 3000  # largest distance in characters between an opening mark and the mark that closes it
QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "‹": "›", "「": "」", "『": "』", "`": "`"}
VOWELS = frozenset("aeiouy" + "аеиоуыэюяієї" + "αεηιουω")


class Property(NamedTuple):
    """A property of each of n characters."""

    name: str
    values: np.ndarray  # [n]: bool for yes or no, float64 for a number

    @property
    def yes_or_no(self) -> bool:
        """Whether the values are bool."""
        return self.values.dtype == bool


def characters_at(units: bytes | str) -> list[str]:
    """Return for each character or byte the character that it is, or is a byte of."""
    if isinstance(units, str):
        return list(units)
    found: list[str] = []
    for character in units.decode(errors="surrogateescape"):
        found += [character] * len(character.encode(errors="surrogateescape"))
    return found


def passages(characters: Sequence, begins: Sequence[int]) -> list[Sequence]:
    """Return the pieces of a text, from the places at which they begin."""
    return [characters[begin:end] for begin, end in pairwise([*begins, len(characters)])]


def properties(
    characters: list[str], begins: Sequence[int] = (0,), own: Sequence[Property] = ()
) -> tuple[list[Property], list[str]]:
    """Return the properties that occur often enough in both halves of a text, and the names of the others.

    `begins` are the places at which separate pieces of the text begin. `own` are further properties, which come first.
    """
    each_piece = [all_of(piece) for piece in passages(characters, begins)]
    found = [*own, *(Property(name, np.concatenate([each[name] for each in each_piece])) for name in each_piece[0])]
    usable = [each for each in found if varies(each.values)]
    return usable, [each.name for each in found if not varies(each.values)]


def varies(values: np.ndarray) -> bool:
    """Return whether the values vary enough in both halves."""
    middle = len(values) // 2
    for half in (values[:middle], values[middle:]):
        if not len(half) or np.count_nonzero(half != half[0]) < ENOUGH:
            return False
        if half.dtype == bool and np.count_nonzero(half == half[0]) < ENOUGH:
            return False
    return True


def all_of(characters: list[str]) -> dict[str, list[bool] | list[float]]:
    """Return the values of each property by its name."""
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
    """Return whether a character is part of words: a letter, a combining mark, a digit, or an underscore."""
    return kind[0] in "LMN" or character == "_"


def word_positions(in_word: list[bool]) -> list[float]:
    """Return 1 for the first character of a word, 2 for the second, ..., and 0 between words."""
    found, place = [], 0.0
    for each in in_word:
        place = place + 1 if each else 0.0
        found.append(place)
    return found


def lines(characters: list[str]) -> tuple[list[float], list[float], list[float], list[bool]]:
    """Return for each character its position in the line, the number of characters after it in the line, the line's
    indentation, and whether the line ends in a colon.

    A newline is at position 0 of the line that it begins. A tab is one character.
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
    """Yield the lines of a text, each with the newline before it."""
    begins = [0, *(place for place, character in enumerate(characters) if place and character == "\n")]
    for begin, end in pairwise([*begins, len(characters)]):
        if begin < end:
            yield characters[begin:end]


def quotations(characters: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the begin and end of quotations; one that is not closed before a blank line is discarded."""
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
    """Yield the begin and end of matching brackets of any script; unmatched brackets are ignored."""
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
    """Return whether two brackets are a pair: their code points differ by 1 or 2."""
    return 1 <= ord(closing) - ord(opening) <= 2


def inside(count: int, pairs: Iterator[tuple[int, int]]) -> list[bool]:
    """Return True from each opening mark up to the character before the closing mark."""
    found = np.zeros(count, bool)
    for begin, end in pairs:
        found[begin:end] = True
    return found.tolist()

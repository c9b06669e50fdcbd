"""Error analysis: loss by class and position of characters, and a comparison with n-gram models.

As in sections 4.3 and 4.4 of Karpathy, Johnson, Li 2015 (arXiv:1506.02078), a character counts as correct if its
probability was above 1/2.
"""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charrnn_port.reports.look import ngrams
from charrnn_port.reports.look.properties import is_word, lines, passages, word_positions

CLASSES = {"L": "other letter", "Ll": "lower case", "Lu": "upper case", "N": "digit", "P": "punctuation", "Z": "space"}
GOT = 0.5  # probability
LINE = 10  # positions in a line per row
LAST_LINE, LAST_WORD = 80, 10  # later positions share one row


class Row(NamedTuple):
    """A row of a table: a group of characters."""

    name: str
    count: int
    nats: float  # sum over the group
    right: int  # number of correct predictions


class Memory(NamedTuple):
    """The comparison of an n-gram model with the network."""

    n: int
    nats: float  # per character
    right: int  # number of correct predictions
    only_it: int  # characters that only the n-gram model predicts correctly
    only_network: int  # characters that only the network predicts correctly


# In the next three functions, pieces of the text begin at `begins`. The first character of a piece has no prediction;
# `nats` are those of the others.


def by_class(characters: list[str], nats: np.ndarray, begins: Sequence[int] = (0,)) -> list[Row]:
    """Return rows for lower case, spaces, newlines, ..."""
    pieces = passages(characters, begins)
    return rows([kind_of(character) for piece in pieces for character in piece[1:]], nats)


def by_place_in_word(characters: list[str], nats: np.ndarray, begins: Sequence[int] = (0,)) -> list[Row]:
    """Return rows for the first character of words, the second, ..."""
    names = []
    for piece in passages(characters, begins):
        in_word = [is_word(character, unicodedata.category(character)) for character in piece]
        names += [place_name(place, LAST_WORD) for place in word_positions(in_word)[1:]]
    return in_order(rows(names, nats))


def by_place_in_line(characters: list[str], nats: np.ndarray, begins: Sequence[int] = (0,)) -> list[Row]:
    """Return rows for ten positions each."""
    column = [place for piece in passages(characters, begins) for place in lines(piece)[0][1:]]
    first = [int(min(max(place - 1, 0) // LINE * LINE + 1, LAST_LINE + 1)) for place in column]
    names = [f"{begin} and on" if begin > LAST_LINE else f"{begin} to {begin + LINE - 1}" for begin in first]
    return in_order(rows(names, nats))


def kind_of(character: str) -> str:
    """Return the name of a character's class."""
    if character == "\n":
        return "newline"
    category = unicodedata.category(character)
    return CLASSES.get(category) or CLASSES.get(category[0]) or ("space" if character.isspace() else "other")


def place_name(place: float, last: int) -> str:
    """Return the name of a position in a word."""
    return f"{last} and on" if place >= last else f"{place:.0f}" if place else "between words"


def rows(names: list[str], nats: np.ndarray) -> list[Row]:
    """Return one row for each name, that with the largest loss first."""
    found = []
    for name in dict.fromkeys(names):
        its_nats = nats[[each == name for each in names]]
        found.append(Row(name, len(its_nats), float(its_nats.sum()), right(its_nats)))
    return sorted(found, key=lambda row: -row.nats)


def in_order(rows: list[Row]) -> list[Row]:
    """Sort rows by the number at the start of their names; those without a number are last."""
    return sorted(rows, key=lambda row: int(row.name.split()[0]) if row.name[0].isdigit() else 10**9)


def right(nats: np.ndarray) -> int:
    """Return the number of correct predictions."""
    return int(np.count_nonzero(nats < -np.log(GOT)))


def memories(
    training: np.ndarray, ids: np.ndarray, vocab_size: int, nats: np.ndarray, begins: Sequence[int] = (0,)
) -> tuple[list[Memory], np.ndarray]:
    """Compare n-gram models with the network's losses `[m]`; also return the nats of the longest, `[m]`.

    Pieces of the text begin at `begins`. Their first characters are not compared.
    """
    got = nats < -np.log(GOT)
    found, its_nats = [], nats
    for n, probability in enumerate(ngrams.probabilities(training, ids, vocab_size, begins), start=1):
        its_nats, its_got = -np.log(probability), probability > GOT
        only_it, only_network = np.count_nonzero(its_got & ~got), np.count_nonzero(got & ~its_got)
        found.append(Memory(n, float(its_nats.mean()), int(its_got.sum()), int(only_it), int(only_network)))
    return found, its_nats

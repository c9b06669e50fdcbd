"""Where the loss lies: on which characters, at which places, and what shorter memories would have got right.

As in sections 4.3 and 4.4 of Karpathy, Johnson, Li 2015 (arXiv:1506.02078), a character is got right where it was given
a probability of more than a half.
"""

import unicodedata
from typing import NamedTuple

import numpy as np

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import TrainOptions
from charrnn_port.reports.look import ngrams
from charrnn_port.reports.look.properties import is_word, lines, word_positions
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import MinibatchLoader

CLASSES = {"L": "other letter", "Ll": "lower case", "Lu": "upper case", "N": "digit", "P": "punctuation", "Z": "space"}
GOT = 0.5  # probability
LINE = 10  # places in the line told together
LAST_LINE, LAST_WORD = 80, 10  # from here on all together


class Row(NamedTuple):
    """Some characters of a text."""

    name: str
    count: int
    nats: float  # of all together
    right: int  # how many were got right


class Memory(NamedTuple):
    """An n-gram model beside the network."""

    n: int
    nats: float  # a character
    right: int
    only_it: int  # characters that it gets right and the network does not
    only_network: int  # the other way round: what takes more memory than n - 1 characters, or a better one


def by_class(characters: list[str], nats: np.ndarray) -> list[Row]:
    """Rows for lower case, spaces, newlines, ..."""
    return rows([kind_of(character) for character in characters[1:]], nats)


def by_place_in_word(characters: list[str], nats: np.ndarray) -> list[Row]:
    """Rows for the first character of words, the second, ..."""
    in_word = [is_word(character, unicodedata.category(character)) for character in characters]
    names = [place_name(place, LAST_WORD) for place in word_positions(in_word)[1:]]
    return in_order(rows(names, nats))


def by_place_in_line(characters: list[str], nats: np.ndarray) -> list[Row]:
    """Rows for ten places each."""
    column = lines(characters)[0][1:]
    begins = [int(min(max(place - 1, 0) // LINE * LINE + 1, LAST_LINE + 1)) for place in column]
    names = [f"{begin} and on" if begin > LAST_LINE else f"{begin} to {begin + LINE - 1}" for begin in begins]
    return in_order(rows(names, nats))


def kind_of(character: str) -> str:
    """A name for the likes of a character."""
    if character == "\n":
        return "newline"
    category = unicodedata.category(character)
    return CLASSES.get(category) or CLASSES.get(category[0]) or ("space" if character.isspace() else "other")


def place_name(place: float, last: int) -> str:
    """A place in a word in words."""
    return f"{last} and on" if place >= last else f"{place:.0f}" if place else "between words"


def rows(names: list[str], nats: np.ndarray) -> list[Row]:
    """One for each name, that with the greatest loss first."""
    found = []
    for name in dict.fromkeys(names):
        its_nats = nats[[each == name for each in names]]
        found.append(Row(name, len(its_nats), float(its_nats.sum()), right(its_nats)))
    return sorted(found, key=lambda row: -row.nats)


def in_order(rows: list[Row]) -> list[Row]:
    """By the number that a name begins with; without one they are last."""
    return sorted(rows, key=lambda row: int(row.name.split()[0]) if row.name[0].isdigit() else 10**9)


def right(nats: np.ndarray) -> int:
    """How many were got right."""
    return int(np.count_nonzero(nats < -np.log(GOT)))


def memories(
    training: np.ndarray, ids: np.ndarray, vocab_size: int, nats: np.ndarray
) -> tuple[list[Memory], np.ndarray]:
    """N-gram models beside the network's loss `[n - 1]`; and the nats of the longest, `[n - 1]`."""
    got = nats < -np.log(GOT)
    found, its_nats = [], nats
    for n, probability in enumerate(ngrams.probabilities(training, ids, vocab_size), start=1):
        its_nats, its_got = -np.log(probability), probability > GOT
        only_it, only_network = np.count_nonzero(its_got & ~got), np.count_nonzero(got & ~its_got)
        found.append(Memory(n, float(its_nats.mean()), int(its_got.sum()), int(only_it), int(only_network)))
    return found, its_nats


def training_ids(checkpoint: Checkpoint, name: str) -> np.ndarray | None:
    """What a network was trained on, as its ids, from the run's data_dir; None where that is not there, or is another.

    It is the training part of it alone: each row of a batch is a piece of the text, of which the first batches are for
    training.
    """
    if not (checkpoint.progress and checkpoint.progress.get("text")):
        return None
    try:
        run = TrainOptions.from_checkpoint(checkpoint.opt, name)
        loader = MinibatchLoader(
            run.data_dir, run.batch_size, run.seq_length, run.train_frac, run.val_frac, echo=lambda line: None,
            encoding=run.encoding, min_count=run.min_count, writes=False,
        )  # fmt: skip
    except UserError:
        return None
    if loader.digest != checkpoint.progress["text"] or loader.vocab != checkpoint.vocab:
        return None
    length = loader.nbatches * run.seq_length
    rows = np.asarray(loader.ids[: run.batch_size * length]).reshape(run.batch_size, length)
    return rows[:, : loader.ntrain * run.seq_length].ravel()

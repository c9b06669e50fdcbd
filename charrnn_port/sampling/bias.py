"""Parses -ban, -only and -bias: characters that are never sampled, or more or less often than the network says."""

import numpy as np

from charrnn_port.options import OptionError, SampleOptions, lua_number
from charrnn_port.util.escapes import unescape
from charrnn_port.util.vocabulary import Vocabulary


def bias_of(options: SampleOptions, vocab: Vocabulary) -> np.ndarray | None:
    """Return what -ban, -only and -bias add to the log-probability of each character, `[V]` float64, or None for none.

    A banned character gets -inf. Raises OptionError for invalid syntax, a character in -bias that is not in the
    vocabulary, and if no character is left. Characters in -ban and -only that are not in the vocabulary are ignored.
    """
    if not (options.ban or options.only or options.bias):
        return None
    bias = np.zeros(len(vocab))
    for name, ids, number in biases(options.bias, vocab):
        if not np.isfinite(number):
            raise OptionError(f"-bias: {name} has an invalid number: use -ban for characters that are never sampled")
        bias[ids] += number
    if options.only:
        others = np.ones(len(vocab), bool)
        others[vocab.encode(unescape(options.only, "-only"), "-only", "skip")] = False
        bias[others] = -np.inf
    bias[vocab.encode(unescape(options.ban, "-ban"), "-ban", "skip")] = -np.inf
    sampled = np.delete(bias, [] if vocab.unknown is None else vocab.unknown)
    if np.isneginf(sampled).all():
        raise OptionError("-ban and -only leave no character of the vocabulary to sample: allow at least one")
    return bias


def biases(text: str, vocab: Vocabulary) -> list[tuple[str, list[int], float]]:
    """Parse a text such as `e=-2,\\n=1` into (as typed, ids, number). A `,` or `=` is written `\\x2c` or `\\x3d`."""
    found = []
    for each in filter(None, text.split(",")):
        name, equals, value = each.rpartition("=")
        try:
            number = float(lua_number(value))
        except ValueError:
            equals = ""
        ids = vocab.encode(unescape(name, "-bias"), "-bias") if equals else []
        if not ids:
            raise OptionError(f"-bias: invalid value {each!r}: expected CHARACTERS=NUMBER, as in e=-2")
        found.append((each, ids, number))
    return found

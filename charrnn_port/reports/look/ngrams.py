"""N-gram models of a training text: what the last few characters alone foretell of the next one.

Smoothed as by Witten and Bell (1991, doi:10.1109/18.87000): after a context that came N times, before T different
characters, p(x) = (count(x) + T p'(x)) / (N + T), p' being that of the context without its first character. The first
p' is the same for all characters.
"""

from collections.abc import Iterator

import numpy as np

LONGEST = 6  # characters, with the one foretold
ODD = 0x9E3779B97F4A7C15  # multiplies keys where those of a large vocabulary have no room in 64 bits


def probabilities(training: np.ndarray, text: np.ndarray, vocab_size: int) -> Iterator[np.ndarray]:
    """Of each character of a text `[n]` but the first, `[n - 1]`, by its 1-gram, 2-gram, ..., 6-gram model.

    Both texts are ids. At the text's beginning, where there are fewer characters before, a shorter one tells.
    """
    factor = np.uint64(vocab_size + 1 if (vocab_size + 1) ** LONGEST < 2**64 else ODD)
    found = np.full(len(text) - 1, 1 / vocab_size)
    for n in range(1, LONGEST + 1):
        grams, contexts = keys(training, n, factor), keys(training, n - 1, factor)[: len(training) - n + 1]
        known, counts = np.unique(grams, return_counts=True)
        # The different characters after a context are the different grams that begin with it.
        first = np.sort(contexts)
        of_known = np.sort(contexts[np.unique(grams, return_index=True)[1]])
        asked = keys(text, n, factor)
        before = keys(text, n - 1, factor)[: len(asked)]
        places = np.searchsorted(known, asked).clip(max=len(known) - 1)
        times = np.where(known[places] == asked, counts[places], 0)
        total = np.searchsorted(first, before, "right") - np.searchsorted(first, before)
        different = np.searchsorted(of_known, before, "right") - np.searchsorted(of_known, before)
        skip = max(0, 2 - n)  # the text's first character is not foretold
        times, total, different = times[skip:], total[skip:], different[skip:]
        begin, shorter = np.split(found, [len(found) - len(times)])
        longer = np.where(total > 0, (times + different * shorter) / np.maximum(total + different, 1), shorter)
        found = np.concatenate([begin, longer])
        yield found


def keys(ids: np.ndarray, n: int, factor: np.uint64) -> np.ndarray:
    """A number for each n characters in a row, `[len(ids) - n + 1]` uint64."""
    count = max(len(ids) - n + 1, 0)
    found = np.zeros(count, np.uint64)
    for place in range(n):
        found = found * factor + ids[place : place + count].astype(np.uint64) + np.uint64(1)
    return found

"""N-gram models of a training text, which predict the next character from the last few characters alone.

Smoothing is that of Witten and Bell (1991, doi:10.1109/18.87000). For a context that occurs N times, followed by T
different characters, p(x) = (count(x) + T p'(x)) / (N + T), where p' is the prediction for the context without its
first character. For the empty context p' is uniform.
"""

from collections.abc import Iterator, Sequence

import numpy as np

LONGEST = 6  # the largest n
ODD = 0x9E3779B97F4A7C15  # hash multiplier for vocabularies so large that n-grams do not fit in 64 bits


def probabilities(
    training: np.ndarray, text: np.ndarray, vocab_size: int, begins: Sequence[int] = (0,)
) -> Iterator[np.ndarray]:
    """Yield the probabilities of each character of a text, by n-gram models for n = 1 to LONGEST.

    Both texts are ids. Pieces of `text` begin at `begins`, which includes 0; their first characters are left out, so
    that each result is `[len(text) - len(begins)]` float64. At the beginning of a piece, where the context is shorter
    than n - 1, a smaller n is used.
    """
    place = np.arange(len(text))
    before_it = (place - np.maximum.accumulate(np.where(np.isin(place, begins), place, 0)))[1:]  # the context's length
    factor = np.uint64(vocab_size + 1 if (vocab_size + 1) ** LONGEST < 2**64 else ODD)
    found = np.full(len(text) - 1, 1 / vocab_size)
    for n in range(1, LONGEST + 1):
        grams, contexts = keys(training, n, factor), keys(training, n - 1, factor)[: len(training) - n + 1]
        known, counts = np.unique(grams, return_counts=True)
        # The different characters after a context are the different n-grams that begin with it.
        first = np.sort(contexts)
        of_known = np.sort(contexts[np.unique(grams, return_index=True)[1]])
        asked = keys(text, n, factor)
        before = keys(text, n - 1, factor)[: len(asked)]
        places = np.searchsorted(known, asked).clip(max=len(known) - 1)
        times = np.where(known[places] == asked, counts[places], 0)
        total = np.searchsorted(first, before, "right") - np.searchsorted(first, before)
        different = np.searchsorted(of_known, before, "right") - np.searchsorted(of_known, before)
        skip = max(0, 2 - n)  # the text's first character is not predicted
        times, total, different = times[skip:], total[skip:], different[skip:]
        begin, shorter = np.split(found, [len(found) - len(times)])
        known_context = (total > 0) & (before_it[len(begin) :] >= n - 1)
        longer = np.where(known_context, (times + different * shorter) / np.maximum(total + different, 1), shorter)
        found = np.concatenate([begin, longer])
        yield found[before_it > 0]


def keys(ids: np.ndarray, n: int, factor: np.uint64) -> np.ndarray:
    """Return a number for each n consecutive characters, `[len(ids) - n + 1]` uint64."""
    count = max(len(ids) - n + 1, 0)
    found = np.zeros(count, np.uint64)
    for place in range(n):
        found = found * factor + ids[place : place + count].astype(np.uint64) + np.uint64(1)
    return found

"""Find which passages of samples are in a text: the longest match at each byte, by a suffix array.

The suffix array is that of samples and text together, made by prefix doubling (Manber and Myers 1993,
doi:10.1137/0222058): groups of positions that agree in h bytes are sorted by the groups of the positions h bytes later,
and then agree in 2h bytes. Only groups that have positions of both samples and text are sorted again, since matches
within the text are not of interest. In the final order, the longest match of a sample's position begins at the nearest
position of the text before or after it. All comparisons are exact; nothing is hashed.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

WINDOW = 7  # bytes that are compared at first: 7 symbols of 9 bits fit in 64 bits
END_OF_SAMPLE, END_OF_PIECE = 256, 257  # symbols that equal no byte, and not each other, so that no match contains them


class Matches(NamedTuple):
    """The longest match at each byte of a sample of n bytes."""

    lengths: np.ndarray  # [n] int64: the number of bytes from here on that are in the text
    places: np.ndarray  # [n] int64: a position of them in the text, meaningless for length 0


class Passage(NamedTuple):
    """A passage of a sample that is in the text, and that is not part of a longer one."""

    length: int
    sample_position: int  # of its first byte, from 0
    text_position: int


def longest_matches(
    samples: Sequence[np.ndarray], text: np.ndarray, pieces: Sequence[tuple[int, int]]
) -> list[Matches]:
    """Return the longest match at each byte of each sample. Samples and text are uint8.

    Matches lie within one of the pieces of the text, which are ranges of its positions, without the last.
    """
    parts = [(sample, END_OF_SAMPLE) for sample in samples] + [(text[a:b], END_OF_PIECE) for a, b in pieces or [(0, 0)]]
    symbols = np.concatenate([np.append(part.astype(np.int16), np.int16(end)) for part, end in parts])
    size = sum(len(sample) + 1 for sample in samples)  # the text's pieces begin here
    order, levels = sort_suffixes(symbols, size)

    of_text = order >= size
    theirs, ours = order[of_text], order[~of_text]
    before = np.cumsum(of_text)[~of_text]  # for each position of the samples, how many of the text's are before it
    lengths, places = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for neighbors in (theirs[np.maximum(before - 1, 0)], theirs[np.minimum(before, len(theirs) - 1)]):
        common = common_prefixes(ours, neighbors, symbols, levels)
        longer = common > lengths[ours]
        lengths[ours[longer]], places[ours[longer]] = common[longer], neighbors[longer]

    # From positions in `symbols` to those in the text.
    begins = np.array([a for a, _ in pieces] or [0])
    starts = size + np.cumsum([0, *(b - a + 1 for a, b in pieces)])[: len(begins)]
    piece = np.searchsorted(starts, places, "right") - 1
    places += begins[piece] - starts[piece]
    cuts = np.cumsum([len(sample) + 1 for sample in samples])[:-1]
    return [Matches(a[:-1], b[:-1]) for a, b in zip(np.split(lengths, cuts), np.split(places, cuts), strict=True)]


def sort_suffixes(symbols: np.ndarray, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the order of suffixes, and the group of each position by its first WINDOW, 2 WINDOW, 4 WINDOW, ... bytes.

    The first `size` positions are those of the samples. Order and groups are int64 and int32, both `[len(symbols)]`.
    They distinguish positions of samples from positions of the text, but not always positions of the text from each
    other. At the last level, no position of a sample shares a group with one of the text.
    """
    padded = np.append(symbols, np.full(WINDOW, END_OF_PIECE, np.int16)).astype(np.uint64)
    keys = np.zeros(len(symbols), np.uint64)
    for place in range(WINDOW):
        keys = (keys << np.uint64(9)) | padded[place : place + len(symbols)]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    groups, levels = np.empty(len(symbols), np.int32), []
    slots, window = np.arange(len(symbols)), WINDOW  # `slots` are the places in `order` that have been sorted again
    while True:
        first = np.append(True, keys[1:] != keys[:-1])
        starts, group = np.flatnonzero(first), np.cumsum(first) - 1
        groups[order[slots]] = slots[starts][group]
        levels.append(groups.copy())
        of_samples = np.add.reduceat((order[slots] < size).astype(np.int64), starts)
        mixed = (of_samples > 0) & (of_samples < np.diff(starts, append=len(slots)))
        slots = slots[mixed[group]]
        if not len(slots):
            return order, levels
        members = order[slots]
        # A window in a mixed group contains no end, so that `window` symbols later there is still a position.
        keys = (groups[members].astype(np.int64) << 32) | groups[members + window]
        by_key = np.argsort(keys, kind="stable")
        order[slots], keys, window = members[by_key], keys[by_key], 2 * window


def common_prefixes(
    ours: np.ndarray, theirs: np.ndarray, symbols: np.ndarray, levels: Sequence[np.ndarray]
) -> np.ndarray:
    """Return how many symbols are equal from each of our positions and each of theirs on, `[n]` int64."""
    common = np.zeros(len(ours), np.int64)
    for level in reversed(range(len(levels) - 1)):  # at the last level all are different
        same = levels[level][ours + common] == levels[level][theirs + common]
        common += same * (WINDOW << level)
    for _ in range(WINDOW - 1):
        common += symbols[ours + common] == symbols[theirs + common]
    return common


def passages(matches: Matches, least: int) -> Iterator[Passage]:
    """Yield the maximal matches of at least this many bytes, in the order of the sample."""
    ends = np.arange(len(matches.lengths)) + matches.lengths
    longer = ends > np.append(0, ends[:-1])  # the match at the byte before ends earlier
    for start in np.flatnonzero(longer & (matches.lengths >= least)).tolist():
        yield Passage(int(matches.lengths[start]), start, int(matches.places[start]))


def covered(lengths: np.ndarray, least: int) -> int:
    """Return how many bytes of a sample are in matches of at least this many bytes."""
    places = np.arange(len(lengths))
    return int((np.maximum.accumulate(np.where(lengths >= least, places + lengths, 0)) > places).sum())

"""Compare two networks on one text: where one predicts better, and which of their units correspond."""

from typing import NamedTuple

import numpy as np

from charrnn_port.reports.look.recording import Recording

MOST = 20  # pairs


class Pair(NamedTuple):
    """A unit, the unit of the other network with the largest absolute correlation, and that one's best in return."""

    name: str  # such as 2:131
    other: str
    correlation: float
    back: str
    back_correlation: float


class Pairs(NamedTuple):
    """The units that correspond best."""

    pairs: list[Pair]  # above chance, the largest absolute correlation first
    above: int  # number of units with a pair above chance
    chance: float  # the largest absolute correlation of all pairs with the other text shifted by half


def pairs_of(recording: Recording, other: Recording, part: str, its_part: str) -> Pairs:
    """Correlate the units' states on the same text."""
    mine, names = standardized(recording, part)
    theirs, their_names = standardized(other, its_part)
    correlations = mine.T @ theirs / len(mine)
    chance = float(np.abs(mine.T @ np.roll(theirs, len(theirs) // 2, 0)).max() / len(mine))
    best, back = np.abs(correlations).argmax(1), np.abs(correlations).argmax(0)
    found = [
        Pair(names[unit], their_names[its], float(correlations[unit, its]), names[back[its]],
             float(correlations[back[its], its]))
        for unit, its in enumerate(best)
        if abs(correlations[unit, its]) > chance
    ]  # fmt: skip
    found.sort(key=lambda each: -abs(each.correlation))
    return Pairs(found[:MOST], len(found), chance)


def standardized(recording: Recording, part: str) -> tuple[np.ndarray, list[str]]:
    """Return the values of all units with mean 0 and variance 1, `[n, units]`, and their names."""
    values = np.concatenate([layer[part] for layer in recording.layers], 1)
    values = values - values.mean(0)
    scale = values.std(0)
    names = [f"{layer}:{unit}" for layer, each in enumerate(recording.layers, 1) for unit in range(each[part].shape[1])]
    return values / np.where(scale > 1e-6, scale, 1), names

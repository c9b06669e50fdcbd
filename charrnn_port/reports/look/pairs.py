"""Compare two networks on one text: where one predicts better, and which of their units correspond."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.reports.look.packing import packed
from charrnn_port.reports.look.recording import Recording, batched_states, shuffled

MOST = 20  # pairs


class Other(NamedTuple):
    """Another network, and what it computed on the same text."""

    name: str
    about_training: str  # a sentence on how much of the text it was trained on
    network: CharRNN
    recording: Recording


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
    chance: float  # the largest absolute correlation of all pairs with a network with shuffled weights


def compared(network: CharRNN, recording: Recording, other: Other) -> dict:
    """Return the difference of the losses at each character, the best pairs, and a sentence about them."""
    nats, its_nats = (-each.figures.log_probs.astype(np.float64) for each in (recording, other.recording))
    states = batched_states(shuffled(other.network, 0), other.recording.ids.tolist(), recording.begins)
    part, its_part = network.cell.STATE[0], other.network.cell.STATE[0]
    found = pairs_of(
        units_by_name(recording, part),
        units_by_name(other.recording, its_part),
        list(states)[:: len(other.network.cell.STATE)],
    )
    about = (
        f"The other network, {other.name}, has a cross-entropy of {its_nats.mean():.4f} nats per character on this "
        f"text, this one {nats.mean():.4f}. Of the other: {other.about_training[0].lower()}{other.about_training[1:]} "
        f"Of the {network.num_layers * network.rnn_size} units here, {found.above} have a unit there with an absolute "
        f"correlation above {found.chance:.2f}, the largest of all pairs when the other's weights are shuffled. Beside "
        "each, the unit here that its counterpart is most correlated with."
    )
    gains = np.rint(1000 * recording.spread(its_nats - nats)).clip(-32768, 32767).astype(np.int16)
    return {"name": other.name, "about": about, "pairs": [each._asdict() for each in found.pairs],
            "gains": packed(gains)}  # fmt: skip


def pairs_of(mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray], chance: Iterable[np.ndarray]) -> Pairs:
    """Correlate the values of units `[n]` by their names, at the same characters.

    `chance` are the values of a network with shuffled weights, `[n, rnn_size]` each: its units depend on the character
    just read too.
    """
    names, their_names = list(mine), list(theirs)
    values, its_values = (standardized(np.stack(list(each.values()), 1)) for each in (mine, theirs))
    correlations = values.T @ its_values / len(values)
    level = max(float(np.abs(values.T @ standardized(each)).max() / len(values)) for each in chance)
    best, back = np.abs(correlations).argmax(1), np.abs(correlations).argmax(0)
    found = [
        Pair(names[unit], their_names[its], float(correlations[unit, its]), names[back[its]],
             float(correlations[back[its], its]))
        for unit, its in enumerate(best)
        if abs(correlations[unit, its]) > level
    ]  # fmt: skip
    found.sort(key=lambda each: -abs(each.correlation))
    return Pairs(found[:MOST], len(found), level)


def units_by_name(recording: Recording, part: str) -> dict[str, np.ndarray]:
    """Return a part of the state of each unit `[n]`, by names such as 2:131."""
    return {
        f"{number}:{unit}": values
        for number, layer in enumerate(recording.layers, start=1)
        for unit, values in enumerate(layer[part].T)
    }


def standardized(values: np.ndarray) -> np.ndarray:
    """Return values `[n, units]` with mean 0 and variance 1; units that never change have 0."""
    values = values - values.mean(0)
    scale = values.std(0)
    return np.where(scale > 1e-6, values / np.where(scale > 1e-6, scale, 1), 0)

"""Measure what each unit is for: the loss while its output is held at 0, by kind of character (ablation).

A unit is reported if silencing it raises the loss beyond the noise of this text, and if the network has learned
anything: its loss is below the entropy of the characters' frequencies.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.reports.look.errors import kind_of
from charrnn_port.reports.look.recording import Recording
from charrnn_port.util.one_hot import one_hot

LENGTH = 4000  # characters that are read with each unit silenced
SCREEN = 200  # at least as many characters are read with every unit of a large network
WORK = 5e11  # multiplications of the first reading, which limits its characters
CANDIDATES = 32  # units of a large network that are measured on all LENGTH characters
BLOCK = 50  # characters whose losses are averaged, since neighbors depend on each other
CERTAIN = 4  # standard errors; for 1000 units, chance would reach it in one of thirty texts
MOST = 10


class Silenced(NamedTuple):
    """A unit, and the increase of the loss without it."""

    layer: int  # from 1
    unit: int
    nats: float  # increase per character
    error: float  # its standard error
    kinds: dict[str, float]  # increase per character of each kind

    @property
    def name(self) -> str:
        """The unit's name in -units and -clamp, such as 2:131."""
        return f"{self.layer}:{self.unit}"


class Ablation(NamedTuple):
    """The units that matter most, and how they were measured."""

    units: list[Silenced]  # the largest increase first
    counts: dict[str, int]  # characters of each kind
    length: int  # characters read
    screened: int  # characters read with every unit of a large network to choose CANDIDATES; 0 = none
    learned: bool  # whether the network is better than the characters' frequencies


def ablation(network: CharRNN, recording: Recording, characters: list[str]) -> Ablation:
    """Silence the units of a network, each alone, on the first LENGTH characters of a recorded text."""
    length = min(LENGTH, len(recording.ids))
    predicted = recording.predicted[recording.predicted < length]
    nats = -recording.figures.log_probs[: len(predicted)].astype(np.float64)
    kinds = np.array([kind_of(characters[place]) for place in predicted])
    counts = {name: int((kinds == name).sum()) for name in dict.fromkeys(kinds.tolist())}
    learned = bool(nats.mean() < entropy(recording.ids[predicted]))
    units = [(layer, unit) for layer in range(1, network.num_layers + 1) for unit in range(network.rnn_size)]
    screened = 0
    if learned and (first := max(SCREEN, int(WORK / len(units) / network.params.numel()))) < length:
        screened = first
        increases = losses(network, recording, units, first).mean(1) - nats[predicted < first].mean()
        units = [units[place] for place in np.argsort(-increases)[:CANDIDATES]]
    found = []
    for (layer, unit), each in zip(units, losses(network, recording, units, length) if learned else [], strict=False):
        more = each - nats
        mean, error = float(more.mean()), standard_error(more)
        if mean > CERTAIN * error:
            found.append(
                Silenced(layer, unit, mean, error, {name: float(more[kinds == name].mean()) for name in counts})
            )
    found.sort(key=lambda each: -each.nats)
    return Ablation(found[:MOST], counts, length, screened, learned)


@torch.no_grad()
def losses(network: CharRNN, recording: Recording, units: Sequence[tuple[int, int]], length: int) -> np.ndarray:
    """Return the loss in nats of each predicted character `[units, m]` of the first `length` while each unit's output
    is 0.

    The copies of the network with a silenced unit of the same layer run side by side. The layers below it have the
    recorded outputs.
    """
    found = np.empty((len(units), length))
    ids = torch.from_numpy(recording.ids[:length])
    width = len(network.cell.STATE)
    for layer in sorted({layer for layer, _ in units}):
        rows = [row for row, (its_layer, _) in enumerate(units) if its_layer == layer]
        kept = network.params.new_ones(len(rows), network.rnn_size)
        kept[range(len(rows)), [units[row][1] for row in rows]] = 0
        below = torch.from_numpy(recording.layers[layer - 2]["h"]).to(kept.dtype) if layer > 1 else None
        for place in range(length - 1):
            if place in recording.begins:
                state = [torch.zeros_like(kept) for _ in range(width * (network.num_layers - layer + 1))]
            output = one_hot(ids[place : place + 1], network.vocab_size, kept.dtype) if layer == 1 else below[[place]]
            after: list[torch.Tensor] = []
            for index, parameters in enumerate(network.layers[layer - 1 :]):
                *rest, output = network.cell.step(
                    output, *state[index * width : (index + 1) * width], *parameters.values()
                )
                output = output * kept if index == 0 else output
                after += [*rest, output]
            state = after
            log_probs = network.log_softmax(torch.nn.functional.linear(output, **network.decoder))
            found[rows, place + 1] = -log_probs[:, ids[place + 1]].numpy()
    return found[:, recording.predicted[recording.predicted < length]]


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of the mean of values whose neighbors depend on each other, from means of blocks."""
    count = len(values) // BLOCK
    if count < 2:
        return float("inf")
    return float(values[: count * BLOCK].reshape(count, BLOCK).mean(1).std(ddof=1) / np.sqrt(count))


def entropy(ids: np.ndarray) -> float:
    """Return the entropy of the characters' frequencies, in nats."""
    shares = np.unique(ids, return_counts=True)[1] / len(ids)
    return float(-(shares * np.log(shares)).sum())

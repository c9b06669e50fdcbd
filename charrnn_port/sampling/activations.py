"""Activations of a network while it reads a text: states, gates and predictions for each character."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from charrnn_port.model.char_rnn import CharRNN


class Activations(NamedTuple):
    """The activations of a network after it has read one character."""

    id: int
    # For each layer, from the lowest: its gates and its state by name (the cell's GATE_NAMES and STATE), `[rnn_size]`.
    layers: list[dict[str, np.ndarray]]
    log_probs: np.ndarray  # [vocab_size], of the next character


def trace(network: CharRNN, ids: Iterable[int], state: Sequence[Tensor] | None = None) -> Iterator[Activations]:
    """Read characters from a state, by default the zero state, and yield the activations after each.

    Computed with the plain backend in the network's dtype, whatever backend the network has. `state` is a list of
    tensors `[1, rnn_size]`, which are not changed. Raises IndexError for an id out of range.
    """
    state = network.zero_state(1) if state is None else state
    for id_ in ids:
        layers, log_probs = network.activations(torch.tensor([id_], device=network.params.device), state)
        state = [layer[name] for layer in layers for name in network.cell.STATE]
        values = [{name: tensor[0].cpu().numpy() for name, tensor in layer.items()} for layer in layers]
        yield Activations(id_, values, log_probs[0].cpu().numpy())

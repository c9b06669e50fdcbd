"""What goes on in a network while it reads: states, gates and predictions, a character at a time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from charrnn_port.model.char_rnn import CharRNN


class Activations(NamedTuple):
    """A network after it has read one character."""

    id: int
    # For each layer, from the lowest: its gates and its state by name (the cell's GATE_NAMES and STATE), `[rnn_size]`.
    layers: list[dict[str, np.ndarray]]
    log_probs: np.ndarray  # [vocab_size], of each character to come next


def trace(network: CharRNN, ids: Iterable[int], state: Sequence[Tensor] | None = None) -> Iterator[Activations]:
    """Read some characters, by default from the zero state, and tell what is in the network after each.

    The plain cells compute it, in the network's dtype, whichever way it runs its own. `state` `[1, rnn_size]` each is
    not changed. Raises IndexError for an id that is of no character.
    """
    state = network.zero_state(1) if state is None else state
    for id_ in ids:
        layers, log_probs = network.activations(torch.tensor([id_], device=network.params.device), state)
        state = [layer[name] for layer in layers for name in network.cell.STATE]
        values = [{name: tensor[0].cpu().numpy() for name, tensor in layer.items()} for layer in layers]
        yield Activations(id_, values, log_probs[0].cpu().numpy())

"""Record what a network computes at each character of a text, and the states of networks with shuffled weights."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from charrnn_port.model import BACKENDS, fastest_backend
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.model.fused import FusedCharRNN
from charrnn_port.reports.look.properties import passages
from charrnn_port.reports.scoring import SIZES, CharacterScores, pieces
from charrnn_port.sampling import trace
from charrnn_port.util import progress

Layers = list[dict[str, np.ndarray]]  # for each layer its gates and state by name
ROWS, WARM_UP = 400, 100  # characters per row when a text is read in parallel rows, and those read before each row


@dataclass
class Recording:
    """What a network computed after each of n characters."""

    ids: np.ndarray  # [n] int64
    log_probs: np.ndarray  # [n, vocab_size] float32: of the next character
    layers: Layers  # [n, rnn_size] float32
    begins: Sequence[int] = (0,)  # the places at which a piece of the text begins, from the zero state

    @property
    def predicted(self) -> np.ndarray:
        """The places of the characters that have a prediction `[m]`: all but the first of each piece."""
        return np.setdiff1d(np.arange(len(self.ids)), self.begins)

    @property
    def figures(self) -> CharacterScores:
        """The predictions of the characters in `predicted`."""
        return CharacterScores(self.ids[self.predicted], self.log_probs[self.predicted - 1])

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Return `values` `[m, ...]` of the characters in `predicted` as `[n, ...]`, with zeros for the others."""
        found = np.zeros((len(self.ids), *values.shape[1:]))
        found[self.predicted] = values
        return found


def parts_of(network: CharRNN) -> list[str]:
    """Return the names of what is recorded of each unit: its gates and its state."""
    return [*network.cell.GATE_NAMES, *network.cell.STATE]


def record(network: CharRNN, ids: list[int], begins: Sequence[int] = (0,)) -> Recording:
    """Read a text with a network, each piece from the zero state."""
    count, size, place = len(ids), network.rnn_size, 0
    layers = [{name: np.empty((count, size), np.float32) for name in parts_of(network)} for _ in network.layers]
    log_probs = np.empty((count, network.vocab_size), np.float32)
    with progress.bar("reading", count) as shown:
        for values, scores in activations(network, passages(ids, begins)):
            places = slice(place, place + len(scores))
            log_probs[places] = scores
            for layer, its_values in zip(layers, values, strict=True):
                for name, array in layer.items():
                    array[places] = its_values[name]
            place = places.stop
            shown.reach(place)
    return Recording(np.array(ids), log_probs, layers, begins)


def activations(network: CharRNN, texts: Iterable[Sequence[int]]) -> Iterator[tuple[Layers, np.ndarray]]:
    """Yield the gates and states of each layer, `[n, rnn_size]` by name, and the log-probabilities `[n, vocab_size]`.

    They are those of the next n characters of the texts, each from the zero state, computed by the fastest cells that
    there are. The arrays are valid until the next ones.
    """
    fast = fastest(network)
    for ids in texts:
        if fast is None:  # a cell with its step alone
            for step in trace(network, ids):
                yield [one_row(layer) for layer in step.layers], step.log_probs[None]
            continue
        text, state = torch.tensor(ids, device=network.params.device)[:, None], fast.zero_state(1)
        for places in pieces(len(text), SIZES):
            layers, log_probs = fast.sequence_activations(text[places], state)
            yield [{name: rows(tensor) for name, tensor in layer.items()} for layer in layers], rows(log_probs)


def fastest(network: CharRNN) -> FusedCharRNN | None:
    """Return the same network with the fastest cells, or None if only the plain cells can compute it."""
    cell = fastest_backend(network.model, network.params.dtype, network.params.device)
    if cell == "plain":
        return None
    sizes = network.vocab_size, network.rnn_size, network.num_layers
    settings = {"torch7": network.torch7, "dtype": network.params.dtype, "device": network.params.device}
    other = BACKENDS[cell](network.model, *sizes, **settings)
    other.params.copy_(network.params)
    return other


def rows(tensor: torch.Tensor) -> np.ndarray:
    """Return the only sequence `[T, n]` of a tensor `[T, 1, n]`."""
    return tensor[:, 0].cpu().numpy()


def one_row(layer: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the values of one time step as those of a sequence of one."""
    return {name: values[None] for name, values in layer.items()}


def shuffled(network: CharRNN, seed: int) -> CharRNN:
    """Return a network with the same weights in random order within each gate, which has learned nothing."""
    other = CharRNN(network.model, network.vocab_size, network.rnn_size, network.num_layers, dtype=torch.float32)
    other.params.copy_(network.params)
    random = torch.Generator(device="cpu").manual_seed(seed)
    with torch.no_grad():
        for layer in other.layers:
            for parameter in layer.values():
                for gate in parameter.split(network.rnn_size):
                    gate.copy_(gate.flatten()[torch.randperm(gate.numel(), generator=random)].view_as(gate))
    return other


def batched_states(network: CharRNN, ids: list[int], begins: Sequence[int] = (0,)) -> Iterator[np.ndarray]:
    """Yield the states `[n, rnn_size]` for each layer and name in STATE, of a text that is read in parallel rows.

    Each row starts from the zero state, and so does each piece of the text, from its place in `begins`. All rows but
    the first are preceded by WARM_UP characters of the text before.
    """
    count = len(ids)
    rows = max(1, count // ROWS)
    length = -(-count // rows)
    first = np.minimum(np.arange(rows) * length, count - length)  # the last row may overlap the one before
    places = first[:, None] + np.arange(-WARM_UP, length)
    text = torch.from_numpy(np.array(ids)[places.clip(min=0)])
    from_zero = torch.from_numpy(np.isin(places, begins))
    state = network.zero_state(rows)
    found = [np.empty((count, network.rnn_size), np.float32) for _ in state]
    for step in range(text.shape[1]):
        state = [tensor.masked_fill(from_zero[:, step, None], 0) for tensor in state]
        layers, _ = network.activations(text[:, step], state)
        state = [layer[name] for layer in layers for name in network.cell.STATE]
        if step >= WARM_UP:
            for array, tensor in zip(found, state, strict=True):
                array[places[:, step]] = tensor.numpy()
    yield from found

"""A trained network that never changes, one time step at a time."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.device import choose_dtype
from charrnn_port.model.build import library
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.model.decode import CompiledNetwork
from charrnn_port.model.fused import FusedCharRNN
from charrnn_port.util.vocabulary import Vocabulary

Array = Any  # of NumPy on a CPU, where vectors this short take half as long as in PyTorch; else a tensor
State = tuple[Array, ...]  # a vector [H] for each layer and name in the cell's STATE, in that order


class Model:
    """The weights of a network, converted once. Nothing writes to them again, so threads may share a model."""

    def __init__(
        self, network: FusedCharRNN, vocab: Vocabulary, use_numpy: bool | None = None, sampling_dtype: str = "float32"
    ) -> None:
        """From a network's parameters as they are now: later changes of the network do not reach the model.

        On a CPU steps are computed in C; where there is no compiler, and with `use_numpy`, in NumPy. Elsewhere, and
        where `use_numpy` is false, in PyTorch. `sampling_dtype` is the checkpoint's.
        """
        self.vocab = vocab
        self.sampling_dtype = sampling_dtype
        self._use_numpy_wanted = use_numpy
        self._sizes = network.model, network.vocab_size, network.rnn_size, network.num_layers
        self._torch7 = network.torch7
        self._params = network.params.detach().clone()
        self.device = network.params.device
        self._advance, self._width = network.cell.advance, len(network.cell.STATE)
        self.use_numpy = self.device.type == "cpu" if use_numpy is None else use_numpy
        self._functions = (numpy_sigmoid, np.tanh) if self.use_numpy else (torch.sigmoid, torch.tanh)
        self._largest = np.maximum.reduce if self.use_numpy else partial(torch.amax, dim=0)
        first, *_ = layers = network.weights()
        # The first layer's pre-activations for each character, without h2h(h): [V, n].
        self.input_table = self._array(first.rows + first.i2h_bias + first.h2h_bias)
        self._layers = [
            [self._array(tensor) for tensor in (each.i2h, each.i2h_bias + each.h2h_bias, each.h2h)] for each in layers
        ]
        self._decoder = [self._array(network.decoder[name]) for name in ("weight", "bias")]
        self._zero = tuple(self._array(tensor[0]) for tensor in network.zero_state(1))
        self._clamped: Mapping[tuple[int, int], float] = {}
        self._clamps: dict[int, list[tuple[int, float]]] = {}  # the same by the place of a layer's output in the state
        self.compiled: CompiledNetwork | None = None
        if use_numpy is None and self.use_numpy and library(network.params.dtype):
            self.compiled = CompiledNetwork(network.model, layers, tuple(network.decoder.values()))

    @classmethod
    def of(cls, checkpoint: Checkpoint, device: torch.device | str = "cpu") -> "Model":
        """The model in a checkpoint: in double precision on a CPU, in single on a GPU, as the original computes."""
        device = torch.device(device)
        network = checkpoint.build("fused", choose_dtype("auto", device), device)
        return cls(network, checkpoint.vocab, sampling_dtype=checkpoint.sampling_dtype)

    @classmethod
    def of_network(cls, network: CharRNN, vocab: Vocabulary) -> "Model":
        """The model of a network as it is now, in double precision on the CPU; the network may go on learning."""
        sizes = network.vocab_size, network.rnn_size, network.num_layers
        copy = FusedCharRNN(network.model, *sizes, dtype=torch.float64)
        copy.params.copy_(network.params)
        return cls(copy, vocab)

    def __repr__(self) -> str:
        cell, _, rnn_size, num_layers = self._sizes
        how = "C" if self.compiled else "NumPy" if self.use_numpy else f"PyTorch on {self.device}"
        held = ", clamped" if self._clamped else ""
        dtype = str(self._params.dtype).removeprefix("torch.")
        return f"Model({cell} {rnn_size}x{num_layers}, {len(self.vocab)} characters, {dtype} in {how}{held})"

    def __copy__(self) -> "Model":
        return self  # it never changes

    def __deepcopy__(self, memo: dict[int, Any]) -> "Model":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the parameters. What is made of them, such as pointers for C, is made anew where they are read."""
        values = self._params, self.vocab, self._use_numpy_wanted, self.sampling_dtype, dict(self._clamped)
        return model_of, (self._sizes, self._torch7, *values)

    def _shallow_copy(self) -> "Model":
        """Return another model of the same arrays, to be changed before it is given to anyone."""
        other = object.__new__(Model)
        vars(other).update(vars(self))
        return other

    def _array(self, tensor: torch.Tensor) -> Array:
        copy = tensor.detach().clone()
        if not self.use_numpy:
            return copy
        array = copy.numpy()
        array.flags.writeable = False
        return array

    def to_eager(self) -> CharRNN:
        """The same network in plain cells, in PyTorch: a copy of its own."""
        network = CharRNN(*self._sizes, torch7=self._torch7, dtype=self._params.dtype, device=self.device)
        network.params.copy_(self._params)
        return network

    def clamped(self, clamps: Mapping[tuple[int, int], float]) -> "Model":
        """A model with outputs of units held at values, by layer (from 1) and unit (from 0); `to_eager` has them not.

        A unit acts on others through its output alone, so that they see nothing else of it. Steps in C hold none.
        """
        if not clamps:
            return self
        other = self._shallow_copy()
        other.compiled = None
        other._clamped, other._clamps = clamps, {}
        for (layer, unit), value in clamps.items():
            other._clamps.setdefault(layer * self._width - 1, []).append((unit, value))
        return other

    def zero_state(self) -> State:
        """The state before a text."""
        return self._zero

    def state_of(self, tensors: Iterable[torch.Tensor]) -> State:
        """Return a state whose vectors are copies of these."""
        return tuple(self._array(tensor.to(self.device)) for tensor in tensors)

    def step(self, row: Array, state: State) -> tuple[Array, State]:
        """One character: scores `[V]` of what follows it, and the state after it; `state` is left as it is.

        The character is given as its row of `input_table`, `[n]`. Scores are log-probabilities up to a constant: the
        largest is 0. `compiled`, where it is not None, does the same in C.
        """
        pre_activations, output = row, None
        width, place = self._width, 0
        after: tuple[Array, ...] = ()
        for i2h_weight, bias, h2h_weight in self._layers:
            if place:  # above the first layer
                pre_activations = bias + i2h_weight @ output
            before = state[place : place + width]
            after += self._advance(pre_activations, *before, h2h_weight, *self._functions)
            output, place = after[-1], place + width
            for unit, value in self._clamps.get(place - 1, ()):
                output[unit] = value
        weight, bias = self._decoder
        scores = bias + weight @ output
        scores -= self._largest(scores)
        return scores, after

    def batched(self) -> "Model":
        """A model in NumPy for several texts at once: what is a vector `[n]` in `step` is `[n, texts]` there.

        Each column is what it would be alone, to the bit.
        """
        other = self._shallow_copy()
        other._layers = [[ForColumns(i2h), bias[:, None], ForColumns(h2h)] for i2h, bias, h2h in self._layers]
        weight, bias = self._decoder
        other._decoder = [ForColumns(weight), bias[:, None]]
        return other


def model_of(
    sizes: tuple[str, int, int, int],
    torch7: str,
    params: torch.Tensor,
    vocab: Vocabulary,
    use_numpy: bool | None,
    sampling_dtype: str,
    clamps: Mapping[tuple[int, int], float],
) -> Model:
    """Make a model from what Model.__reduce__ pickles."""
    network = FusedCharRNN(*sizes, torch7=torch7, dtype=params.dtype, device=params.device)
    network.params.copy_(params)
    return Model(network, vocab, use_numpy, sampling_dtype).clamped(clamps)


class ForColumns:
    """A matrix `[m, n]` whose product with `[n, texts]` is that with each column by itself.

    A product of matrices sums in another order, and so rounds otherwise. It is quick where each column lies in one
    piece, and gives such columns.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def __matmul__(self, columns: np.ndarray) -> np.ndarray:
        return np.matmul(self.matrix, columns.T[:, :, None])[:, :, 0].T

    def __getitem__(self, rows: slice) -> "ForColumns":
        return ForColumns(self.matrix[rows])


def numpy_sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without its overflow."""
    result = 0.5 * x
    np.tanh(result, out=result)
    result *= 0.5
    result += 0.5
    return result

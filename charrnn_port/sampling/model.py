"""An immutable model for inference: computes a trained network one time step at a time."""

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

Array = Any  # a NumPy array on a CPU, where short vectors take half as long as in PyTorch; elsewhere a tensor
State = tuple[Array, ...]  # a vector [rnn_size] for each layer and each name in the cell's STATE, in that order


class Model:
    """The converted weights of a network. A model is immutable and thread-safe."""

    def __init__(
        self,
        network: FusedCharRNN,
        vocab: Vocabulary,
        use_numpy: bool | None = None,
        sampling_dtype: str = "float32",
        separator: bytes = b"",
    ) -> None:
        """Copy the current parameters of a network; later changes of the network have no effect on the model.

        On a CPU, steps are computed in C, or in NumPy without a C compiler or with `use_numpy=True`. On other devices
        and with `use_numpy=False`, they are computed in PyTorch. `sampling_dtype` is that of the checkpoint. With a
        `separator`, each text ends with it, and begins after its last symbol, from the zero state.
        """
        self.vocab = vocab
        self.sampling_dtype, self.separator = sampling_dtype, separator
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
        self._zeros = tuple(self._array(tensor[0]) for tensor in network.zero_state(1))
        self._clamped: Mapping[tuple[int, int], float] = {}
        self._clamps: dict[int, list[tuple[int, float]]] = {}  # the same by the place of a layer's output in the state
        self._begin()
        self.compiled: CompiledNetwork | None = None
        if use_numpy is None and self.use_numpy and library(network.params.dtype):
            self.compiled = CompiledNetwork(network.model, layers, tuple(network.decoder.values()))

    def _begin(self) -> None:
        """Set the state before the first character of a text, and the scores of that character, all equal or learned.

        Before the first character of a long text all are equally likely. Torch7 has probabilities here instead of
        log-probabilities, which makes no difference since all are equal.
        """
        self._zero, self.first_scores = self._zeros, np.full(len(self.vocab), 1 / len(self.vocab))
        if self.separator:
            begin = self.vocab.encode(self.separator, "the separator")[-1]
            scores, self._zero = self.step(self.input_table[begin], self._zeros)
            self.first_scores = torch.asarray(scores, device="cpu").numpy()

    @classmethod
    def of(cls, checkpoint: Checkpoint, device: torch.device | str = "cpu") -> "Model":
        """Return the model of a checkpoint: in float64 on a CPU and in float32 on a GPU, as in the original."""
        device = torch.device(device)
        network = checkpoint.build("fused", choose_dtype("auto", device), device)
        return cls(
            network, checkpoint.vocab, sampling_dtype=checkpoint.sampling_dtype, separator=checkpoint.separator
        )

    @classmethod
    def of_network(cls, network: CharRNN, vocab: Vocabulary, separator: bytes = b"") -> "Model":
        """Return a model with copies of a network's parameters, in float64 on the CPU; training may continue."""
        sizes = network.vocab_size, network.rnn_size, network.num_layers
        copy = FusedCharRNN(network.model, *sizes, dtype=torch.float64)
        copy.params.copy_(network.params)
        return cls(copy, vocab, separator=separator)

    def __repr__(self) -> str:
        cell, _, rnn_size, num_layers = self._sizes
        how = "C" if self.compiled else "NumPy" if self.use_numpy else f"PyTorch on {self.device}"
        held = ", clamped" if self._clamped else ""
        dtype = str(self._params.dtype).removeprefix("torch.")
        return f"Model({cell} {rnn_size}x{num_layers}, {len(self.vocab)} characters, {dtype} in {how}{held})"

    def __copy__(self) -> "Model":
        return self  # models are immutable

    def __deepcopy__(self, memo: dict[int, Any]) -> "Model":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the parameters. What is derived from them, such as pointers for C, is rebuilt when unpickled."""
        how = self._use_numpy_wanted, self.sampling_dtype, self.separator, dict(self._clamped)
        return model_of, (self._sizes, self._torch7, self._params, self.vocab, *how)

    def _shallow_copy(self) -> "Model":
        """Return another model with the same arrays, which the caller may change before anything else uses it."""
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
        """Return an independent copy of the network in PyTorch, with plain cells and without clamps."""
        network = CharRNN(*self._sizes, torch7=self._torch7, dtype=self._params.dtype, device=self.device)
        network.params.copy_(self._params)
        return network

    def clamped(self, clamps: Mapping[tuple[int, int], float]) -> "Model":
        """Return a model with the outputs of some units fixed; keys are layer (from 1) and unit (from 0).

        A unit acts on others only through its output. Steps in C do not support clamps, so NumPy computes them.
        """
        if not clamps:
            return self
        other = self._shallow_copy()
        other.compiled = None
        other._clamped, other._clamps = clamps, {}
        for (layer, unit), value in clamps.items():
            other._clamps.setdefault(layer * self._width - 1, []).append((unit, value))
        other._begin()
        return other

    def zero_state(self) -> State:
        """Return the state before the first character of a text."""
        return self._zero

    def state_of(self, tensors: Iterable[torch.Tensor]) -> State:
        """Return a state with copies of these vectors `[rnn_size]`."""
        return tuple(self._array(tensor.to(self.device)) for tensor in tensors)

    def step(self, row: Array, state: State) -> tuple[Array, State]:
        """Compute one time step: return the scores `[V]` of the next character and the new state.

        `row` `[n]` is the row of `input_table` of the character that is read. Scores are log-probabilities plus a
        constant, such that the largest is 0. `state` is not changed. `compiled`, if not None, does the same in C.
        """
        pre_activations, output = row, None
        width, place = self._width, 0
        after: tuple[Array, ...] = ()
        for i2h_weight, bias, h2h_weight in self._layers:
            if place:  # layers above the first
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
        """Return a model in NumPy whose `step` takes matrices `[n, texts]` instead of vectors `[n]`.

        Each column equals, bit by bit, the result for that text alone.
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
    separator: bytes,
    clamps: Mapping[tuple[int, int], float],
) -> Model:
    """Build a model from what `Model.__reduce__` pickles."""
    network = FusedCharRNN(*sizes, torch7=torch7, dtype=params.dtype, device=params.device)
    network.params.copy_(params)
    return Model(network, vocab, use_numpy, sampling_dtype, separator).clamped(clamps)


class ForColumns:
    """A matrix `[m, n]` whose product with `[n, texts]` multiplies column by column.

    A matrix-matrix product would add in another order and round differently. Fast for contiguous columns; returns
    contiguous columns.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def __matmul__(self, columns: np.ndarray) -> np.ndarray:
        return np.matmul(self.matrix, columns.T[:, :, None])[:, :, 0].T

    def __getitem__(self, rows: slice) -> "ForColumns":
        return ForColumns(self.matrix[rows])


def numpy_sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), computed by tanh to avoid overflow."""
    result = 0.5 * x
    np.tanh(result, out=result)
    result *= 0.5
    result += 0.5
    return result

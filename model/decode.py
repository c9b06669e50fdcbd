"""Decode texts with an immutable model in C (model/advance.h), and sample characters (model/draw.h).

Letters in shapes: H = rnn_size, V = vocab_size. The results for a text do not depend on the other texts of a batch.
"""

import ctypes

import torch
from torch import Tensor

from charrnn_port.model.build import library
from charrnn_port.model.compiled import PANEL, Layer, address, call, convert, run
from charrnn_port.model.sequence import LayerWeights


class CompiledNetwork:
    """The weights of a network in the layout of the C code. It is thread-safe."""

    def __init__(self, cell: str, weights: list[LayerWeights], decoder: tuple[Tensor, Tensor]) -> None:
        """cell: lstm, gru or rnn. decoder: weight `[V, H]` and bias `[V]`. All weights are copied."""
        weight, bias = decoder
        self.vocab_size, self.dtype = len(bias), bias.dtype
        self._tensors: list[Tensor] = []  # keeps the memory of all addresses alive
        layers, packed_i2h = (Layer * len(weights))(), (ctypes.c_void_p * len(weights))()
        for index, (layer, each) in enumerate(zip(layers, weights, strict=True)):
            layer.n, layer.H = each.h2h.shape
            for name in ("rows", "i2h_bias", "h2h_bias"):
                setattr(layer, name, self._copy(getattr(each, name)))
            layer.h2h, layer.packed = address(each.h2h), self._new_packed(each.h2h)
            call(self.dtype, "pack_h2h", layer)
            if index:
                packed_i2h[index] = self._pack(each.i2h, layer.H)
        decoder = self._pack(weight, len(weight)), self._copy(bias)
        self.struct = Network(len(weights), len(bias), layers, packed_i2h, *decoder)
        self._advance = f"{cell}_advance"
        self.text_space = call(self.dtype, "text_space", self.struct)

    def advance(self, batch: "Batch") -> bool:
        """Do a step of a batch of texts. Return False if an id is invalid; then nothing is done."""
        return call(self.dtype, self._advance, self.struct, batch) == 0

    def _copy(self, tensor: Tensor | None) -> int | None:
        """Copy a tensor and return the address of the copy, or None for None."""
        if tensor is None:
            return None
        self._tensors.append(tensor.detach().clone())
        return address(self._tensors[-1])

    def _new_packed(self, weight: Tensor) -> int:
        """Allocate memory for a packed copy (model/product.h) of a matrix and return its address."""
        rows, columns = weight.shape
        self._tensors.append(weight.new_empty(rows + 4 * PANEL, columns + PANEL))
        return address(self._tensors[-1])

    def _pack(self, weight: Tensor, width: int) -> int:
        """Make a packed copy of a matrix, `width` rows at a time, and return its address."""
        packed = self._new_packed(weight)
        run("pack_weight", self._tensors[-1], weight, *weight.shape, width)
        return packed


class DecodeBatch:
    """A batch of texts that are decoded together, one character per step.

    The next step reads `ids` `[texts]`, int64. It writes `scores` `[texts, V]` of the characters that follow:
    log-probabilities up to a constant, with 0 for the largest. `state` is `[states, texts, H]`, layer by layer in the
    order of the cell's STATE. Later steps overwrite all of them.
    """

    def __init__(self, network: CompiledNetwork, state: Tensor) -> None:
        """state `[states, texts, H]`: the state before the first step; it is copied."""
        self._network, count = network, state.shape[1]
        self.state = state.to(network.dtype, copy=True).contiguous()
        self.ids = torch.zeros(count, dtype=torch.int64, device="cpu")
        self.scores = torch.empty(count, network.vocab_size, dtype=network.dtype, device="cpu")
        self._space = torch.empty(count, network.text_space, dtype=network.dtype, device="cpu")
        self._after = torch.empty_like(self.state)
        # Steps alternate between two states.
        self._struct = self._struct_of(self.state, self._after)
        self._next_struct = self._struct_of(self._after, self.state)

    def step(self) -> None:
        """Read one character of each text. Raises IndexError for an invalid id; then the state is unchanged."""
        if not self._network.advance(self._struct):
            largest = self._network.vocab_size - 1
            raise IndexError(f"invalid character id in {self.ids.tolist()}: expected 0 to {largest}")
        self._struct, self._next_struct = self._next_struct, self._struct
        self.state, self._after = self._after, self.state

    def _struct_of(self, before: Tensor, after: Tensor) -> "Batch":
        return Batch(len(self.ids), *map(address, (self.ids, before, after, self.scores, self._space)))


class CompiledSampler:
    """A sampler with Torch7's arithmetic, which draws one character for each text.

    Before a call, fill `scores` `[texts, n]`, and `temperatures` and `uniforms` (numbers in [0, 1)), both float64
    `[texts]`. The call fills `ids` `[texts]`, int64.
    """

    def __init__(self, texts: int, n: int, dtype: torch.dtype, single: bool) -> None:
        """single: round probabilities to float32 first, as sample.lua does."""
        self.scores = torch.empty(texts, n, dtype=dtype, device="cpu")
        self.temperatures, self.uniforms = torch.empty(2, texts, dtype=torch.float64, device="cpu")
        self.ids = torch.empty(texts, dtype=torch.int64, device="cpu")
        self._space = torch.empty(n, dtype=dtype, device="cpu")
        arguments = (self.ids, self.scores, self.temperatures, self.uniforms, texts, n, int(single), self._space)
        self._arguments = tuple(map(convert, arguments))
        self._draw = library(dtype).draw

    def __call__(self) -> None:
        """Draw a character for each text."""
        self._draw(*self._arguments)


def exp(x: Tensor) -> Tensor:
    """Return exp(x), x `[n]` float64 on a CPU: in C, with the same bits on every machine, or else with PyTorch."""
    if not library(x.dtype):
        return x.exp()
    result = torch.empty_like(x)
    run("exp_all", result, x, len(x))
    return result


class Network(ctypes.Structure):
    """The struct Network of model/advance.h."""

    _fields_ = (
        ("count", ctypes.c_int64),
        ("V", ctypes.c_int64),
        ("layers", ctypes.POINTER(Layer)),
        ("packed_i2h", ctypes.POINTER(ctypes.c_void_p)),
        ("packed_decoder", ctypes.c_void_p),
        ("decoder_bias", ctypes.c_void_p),
    )


class Batch(ctypes.Structure):
    """The struct Batch of model/advance.h."""

    _fields_ = (
        ("B", ctypes.c_int64),
        ("ids", ctypes.c_void_p),
        ("before", ctypes.c_void_p),
        ("after", ctypes.c_void_p),
        ("scores", ctypes.c_void_p),
        ("space", ctypes.c_void_p),
    )

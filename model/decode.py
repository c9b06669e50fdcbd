"""Texts in progress on a network that never changes, in C (model/advance.h), and the draw of characters (model/draw.h).

H is rnn_size, V vocab_size. A text's numbers depend on nothing but itself, however many there are.
"""

import ctypes

import torch
from torch import Tensor

from charrnn_port.model.build import library
from charrnn_port.model.compiled import PANEL, Layer, address, convert, run
from charrnn_port.model.sequence import LayerWeights


class CompiledNetwork:
    """The weights of a network, as the steps in C read them. Threads may share it."""

    def __init__(self, cell: str, weights: list[LayerWeights], decoder: tuple[Tensor, Tensor]) -> None:
        """cell: lstm, gru or rnn. decoder: its weight `[V, H]` and bias `[V]`. All are copied."""
        weight, bias = decoder
        self.vocab_size, self.dtype = len(bias), bias.dtype
        self._kept: list[Tensor] = []  # what addresses are of
        layers, packed_i2h = (Layer * len(weights))(), (ctypes.c_void_p * len(weights))()
        for index, (layer, each) in enumerate(zip(layers, weights, strict=True)):
            layer.n, layer.H = each.h2h.shape
            for name in ("rows", "i2h_bias", "h2h_bias"):
                setattr(layer, name, self._copied(getattr(each, name)))
            layer.h2h, layer.packed = address(each.h2h), self._room(each.h2h)
            getattr(library(self.dtype), f"{cell}_pack")(ctypes.byref(layer))
            if index:
                packed_i2h[index] = self._packed(each.i2h)
        self.struct = Network(len(weights), len(bias), layers, packed_i2h, self._packed(weight), self._copied(bias))
        self.advance = getattr(library(self.dtype), f"{cell}_advance")
        self.text_space = library(self.dtype).text_space(ctypes.byref(self.struct))

    def _copied(self, tensor: Tensor | None) -> int | None:
        """Where a copy of it is."""
        if tensor is None:
            return None
        self._kept.append(tensor.detach().clone())
        return address(self._kept[-1])

    def _room(self, weight: Tensor) -> int:
        """Where there is space for a matrix as product.h reads it."""
        rows, columns = weight.shape
        self._kept.append(weight.new_empty(rows + 2 * PANEL, columns + PANEL))
        return address(self._kept[-1])

    def _packed(self, weight: Tensor) -> int:
        """Where a copy is that is laid out so."""
        room = self._room(weight)
        run("pack_weight", self._kept[-1], weight, *weight.shape)
        return room


class DecodeBatch:
    """So many texts in progress.

    `ids` `[texts]`, int64, is what the next step reads. After it `scores` `[texts, V]` are of what follows:
    log-probabilities up to a constant, the largest being 0. `state` is `[states, texts, H]`, states being each layer's
    in the order of the cell's STATE. All are overwritten by later steps.
    """

    def __init__(self, network: CompiledNetwork, state: Tensor) -> None:
        """state: before the first step; it is copied."""
        self._network, count = network, state.shape[1]
        self.state = state.to(network.dtype, copy=True).contiguous()
        self.ids = torch.zeros(count, dtype=torch.int64)
        self.scores = torch.empty(count, network.vocab_size, dtype=network.dtype)
        self._space = torch.empty(count, network.text_space, dtype=network.dtype)
        self._after = torch.empty_like(self.state)
        # The two states take turns.
        self._struct = self._struct_of(self.state, self._after)
        self._next_struct = self._struct_of(self._after, self.state)

    def step(self) -> None:
        """Go on by a character in each. Raises IndexError for an id that is of no character."""
        if self._network.advance(ctypes.byref(self._network.struct), ctypes.byref(self._struct)):
            raise IndexError(f"not all of {self.ids.tolist()} are in a vocabulary of {self._network.vocab_size}")
        self._struct, self._next_struct = self._next_struct, self._struct
        self.state, self._after = self._after, self.state

    def _struct_of(self, before: Tensor, after: Tensor) -> "Batch":
        return Batch(len(self.ids), *map(address, (self.ids, before, after, self.scores, self._space)))


class CompiledSampler:
    """A character for each of some texts, drawn with Torch7's arithmetic.

    To be filled before a call: `scores` `[texts, n]`, and in float64 `[texts]` `temperatures` and `uniforms`, which are
    numbers in [0, 1). It fills `ids` `[texts]`, int64.
    """

    def __init__(self, texts: int, n: int, dtype: torch.dtype, single: bool) -> None:
        """single: probabilities are rounded to float32 first, as sample.lua does."""
        self.scores = torch.empty(texts, n, dtype=dtype)
        self.temperatures, self.uniforms = torch.empty(2, texts, dtype=torch.float64)
        self.ids = torch.empty(texts, dtype=torch.int64)
        self._space = torch.empty(n, dtype=dtype)
        arguments = (self.ids, self.scores, self.temperatures, self.uniforms, texts, n, int(single), self._space)
        self._arguments = tuple(map(convert, arguments))
        self._draw = library(dtype).draw

    def __call__(self) -> None:
        """Draw."""
        self._draw(*self._arguments)


def exp(x: Tensor) -> Tensor:
    """Return exp(x), x `[n]` float64 on a CPU: in C, with the same bits on every machine, else by PyTorch."""
    if not library(x.dtype):
        return x.exp()
    result = torch.empty_like(x)
    run("exp_all", result, x, len(x))
    return result


class Network(ctypes.Structure):
    """The struct of this name in model/advance.h."""

    _fields_ = (
        ("count", ctypes.c_long),
        ("V", ctypes.c_long),
        ("layers", ctypes.POINTER(Layer)),
        ("packed_i2h", ctypes.POINTER(ctypes.c_void_p)),
        ("packed_decoder", ctypes.c_void_p),
        ("decoder_bias", ctypes.c_void_p),
    )


class Batch(ctypes.Structure):
    """The struct of this name in model/advance.h."""

    _fields_ = (
        ("B", ctypes.c_long),
        ("ids", ctypes.c_void_p),
        ("before", ctypes.c_void_p),
        ("after", ctypes.c_void_p),
        ("scores", ctypes.c_void_p),
        ("space", ctypes.c_void_p),
    )

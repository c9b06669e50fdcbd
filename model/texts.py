"""Texts in progress on a network that never changes, in C (model/advance.h), and the draw of characters (model/draw.h).

H is rnn_size, V vocab_size. A text's numbers depend on nothing but itself, however many there are.
"""

import ctypes

import torch
from torch import Tensor

from model.build import library
from model.compiled import PANEL, Layer, address, convert, run
from model.sequence import LayerWeights


class CompiledNetwork:
    """The weights of a network, as the steps in C read them. Threads may share it."""

    def __init__(self, cell: str, weights: list[LayerWeights], decoder: tuple[Tensor, Tensor]) -> None:
        """cell: lstm, gru or rnn. decoder: its weight `[V, H]` and bias `[V]`. None of them may change later."""
        weight, bias = decoder
        self.vocab_size, self.dtype = len(bias), bias.dtype
        self._kept = [tensor for layer in weights for tensor in layer if tensor is not None] + [bias]
        layers, packed_i2h = (Layer * len(weights))(), (ctypes.c_void_p * len(weights))()
        for index, (layer, each) in enumerate(zip(layers, weights, strict=True)):
            layer.n, layer.H = each.h2h.shape
            layer.packed = address(self._room(each.h2h))
            for name in Layer.PARAMETERS:
                setattr(layer, name, address(getattr(each, name)))
            getattr(library(self.dtype), f"{cell}_pack")(ctypes.byref(layer))
            if index:
                packed_i2h[index] = address(self._packed(each.i2h))
        self.struct = Network(len(weights), len(bias), layers, packed_i2h, address(self._packed(weight)), address(bias))
        self.advance = getattr(library(self.dtype), f"{cell}_advance")

    def _room(self, weight: Tensor) -> Tensor:
        """For a copy of a matrix as product.h reads it."""
        rows, columns = weight.shape
        self._kept.append(weight.new_empty(rows + 2 * PANEL, columns + PANEL))
        return self._kept[-1]

    def _packed(self, weight: Tensor) -> Tensor:
        """Such a copy."""
        packed = self._room(weight)
        run("pack_weight", packed, weight, *weight.shape)
        return packed


class CompiledTexts:
    """So many texts in progress.

    `ids` `[texts]`, int64, is what the next step reads. After it `scores` `[texts, V]` are of what follows:
    log-probabilities up to a constant, the largest being 0. `state` is `[states, texts, H]`, states being each layer's
    in the order of the cell's STATE. All are overwritten by later steps.
    """

    def __init__(self, network: CompiledNetwork, state: Tensor) -> None:
        """state: before the first step; it is copied."""
        self._network, count = network, state.shape[1]
        self.state, self._other = (
            state.to(network.dtype, copy=True).contiguous(),
            torch.empty_like(state, dtype=network.dtype),
        )
        self.ids = torch.zeros(count, dtype=torch.int64)
        self.scores = torch.empty(count, network.vocab_size, dtype=network.dtype)
        ids, scores, here, there = map(convert, (self.ids, self.scores, self.state, self._other))
        # The two states take turns.
        self._arguments = (ctypes.byref(network.struct), ids, here, there, scores, ctypes.c_long(count))
        self._next_arguments = (ctypes.byref(network.struct), ids, there, here, scores, ctypes.c_long(count))

    def step(self) -> None:
        """Go on by a character in each."""
        self._network.advance(*self._arguments)
        self._arguments, self._next_arguments = self._next_arguments, self._arguments
        self.state, self._other = self._other, self.state


class CompiledDraw:
    """A character for each of some texts, drawn with Torch7's arithmetic.

    To be filled before a call: `scores` `[texts, n]`, and in float64 `[texts]` `temperatures` and `uniforms`, which are
    numbers in [0, 1). It fills `ids` `[texts]`, int64.
    """

    def __init__(self, texts: int, n: int, dtype: torch.dtype, single: bool) -> None:
        """single: probabilities are rounded to float32 first, as sample.lua does."""
        self.scores = torch.empty(texts, n, dtype=dtype)
        self.temperatures, self.uniforms = torch.empty(2, texts, dtype=torch.float64)
        self.ids = torch.empty(texts, dtype=torch.int64)
        arguments = (self.ids, self.scores, self.temperatures, self.uniforms, texts, n, int(single))
        self._arguments = tuple(map(convert, arguments))
        self._draw = library(dtype).draw

    def __call__(self) -> None:
        """Draw."""
        self._draw(*self._arguments)


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

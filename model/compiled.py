"""The cells' passes in C: model/sequence.c, which model/build.py compiles when it is first needed.

Where that cannot be had (no C compiler, or one without OpenMP), the passes use PyTorch's operations.
"""

import ctypes
from collections.abc import Callable
from collections.abc import Sequence as Many

import numpy as np
import torch
from torch import Tensor

from model.build import library
from model.sequence import LayerWeights, Sequence

PANEL = 32  # an upper bound of PANEL_WIDTH in model/product.h


class CompiledPasses(Sequence):
    """A Sequence whose passes are the functions CELL_forward and CELL_backward of sequence.c.

    A cell derives its CompiledSequence from this and from its Buffers, whose attributes are the arrays of Layer.
    """

    CELL: str

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        T, B, n = self.pre_activations.shape
        H = self.h.shape[2]
        self.h2h_product = self.h.new_empty(B, n)
        # h2h in another layout, in one or two parts, the columns of each rounded up to whole panels.
        self.packed = self.h.new_empty(n + 2 * PANEL, H + PANEL)
        self._layer = Layer(T, B, H, n)
        for name in Layer.BUFFERS:
            setattr(self._layer, name, address(getattr(self, name, None)))

    def forward(self, weights: LayerWeights) -> None:
        """As Sequence's."""
        self._call("forward", weights)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """As Sequence's."""
        self._call("backward", weights)
        gradient = self.pre_activations.flatten(0, 1)
        run("sum_rows", grad_rows.zero_(), self.ids, gradient, *gradient.shape)

    def _call(self, direction: str, weights: LayerWeights) -> None:
        for name in Layer.PARAMETERS:
            setattr(self._layer, name, address(getattr(weights, name)))
        getattr(library(self.h.dtype), f"{self.CELL}_{direction}")(ctypes.byref(self._layer))


class CompiledDense:
    """What model/fused.py's Dense does, in C. Sums have an order that does not depend on the number of threads."""

    def __init__(self, new: Callable[..., Tensor], rnn_size: int, width: int) -> None:
        self._threads = torch.get_num_threads()
        self._space = new(self._threads * library(new(0).dtype).multiply_space(ctypes.c_long(width)))

    def product(self, target: Tensor, left: Tensor, right: Tensor) -> None:
        """As Dense's."""
        matrices = (target, target.stride(0), left, *left.stride(), right, *right.stride())
        run("multiply", *matrices, *left.shape, right.shape[1], self._space, self._threads)

    def weight_gradients(self, grads: list[Tensor], gradient: Tensor, inputs: Tensor) -> None:
        """As Dense's."""
        for grad, part in zip(grads, gradient.chunk(len(grads), 1), strict=True):
            self.product(grad, part.T, inputs)

    @staticmethod
    def copy_transposed(target: Tensor, source: Tensor) -> None:
        """As Dense's."""
        run("transpose", target, source, source.stride(0), *source.shape)


class CompiledNetwork:
    """The weights of a network that never changes, as the steps in C read them. Threads may share it.

    cell: lstm, gru or rnn. decoder: its weight `[V, H]` and bias `[V]`.
    """

    def __init__(self, cell: str, weights: list[LayerWeights], decoder: tuple[Tensor, Tensor]) -> None:
        decoder_weight, decoder_bias = decoder
        functions = library(decoder_bias.dtype)
        self.states = len(weights) * (2 if cell == "lstm" else 1)
        self.vocab_size, self.rnn_size = decoder_weight.shape
        self.dtype = decoder_bias.numpy().dtype
        self.advance = getattr(functions, f"{cell}_advance")
        self._kept = [tensor for layer in weights for tensor in layer if tensor is not None] + [decoder_bias]
        layers, packed_i2h = (Layer * len(weights))(), (ctypes.c_void_p * len(weights))()
        for index, (layer, each) in enumerate(zip(layers, weights, strict=True)):
            layer.n, layer.H = each.h2h.shape
            layer.packed = address(self._room(each.h2h))
            for name in Layer.PARAMETERS:
                setattr(layer, name, address(getattr(each, name)))
            getattr(functions, f"{cell}_pack")(ctypes.byref(layer))
            if index:
                packed_i2h[index] = address(self._packed(each.i2h))
        packed_decoder = address(self._packed(decoder_weight))
        self.struct = Network(
            len(weights), self.vocab_size, layers, packed_i2h, packed_decoder, address(decoder_bias)
        )

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
    """So many texts in progress on a network, each as it is alone.

    `ids` `[texts]` int64 is what the next step reads. After it `scores` `[texts, V]` are log-probabilities up to a
    constant of what follows, the largest being 0, and `state` is `[states, texts, H]`, in the order of the cell's STATE
    for each layer. All are buffers that the next step overwrites.
    """

    def __init__(self, network: CompiledNetwork, state: np.ndarray) -> None:
        """state: `[states, texts, H]` before the first step."""
        texts = state.shape[1]
        self.state, after = np.array(state, network.dtype), np.empty_like(state, network.dtype)
        self.ids, self.scores = np.empty(texts, np.int64), np.empty((texts, network.vocab_size), network.dtype)
        self._network, self._other = network, after
        ids, scores, here, there = (pointer(array) for array in (self.ids, self.scores, self.state, after))
        struct, count = ctypes.byref(network.struct), ctypes.c_long(texts)
        # Addresses are found out once: that takes as long as some products do. The two states take turns.
        self._arguments = (struct, ids, here, there, scores, count)
        self._later = (struct, ids, there, here, scores, count)

    def step(self) -> None:
        """Go on by `ids`."""
        self._network.advance(*self._arguments)
        self._arguments, self._later = self._later, self._arguments
        self.state, self._other = self._other, self.state


class CompiledDraw:
    """Draws a character from scores `[n]` at a temperature, with Torch7's arithmetic (model/draw.h).

    single: probabilities are rounded to float32 first. As the network's steps, it computes in the scores' own type.
    """

    def __init__(self, temperature: float, single: bool) -> None:
        self._temperature, self._single = np.array([temperature]), single
        self._uniform, self._id = np.empty(1), np.empty(1, np.int64)
        self._scores = np.empty(0)

    def __call__(self, scores: np.ndarray, uniform: float) -> int:
        """`uniform` is a number in [0, 1)."""
        if len(scores) > len(self._scores) or scores.dtype != self._scores.dtype:
            self._scores = np.empty_like(scores)
            self._function = library(torch.from_numpy(self._scores).dtype).draw
            self._addresses = [pointer(each) for each in (self._id, self._scores, self._temperature, self._uniform)]
        self._scores[: len(scores)], self._uniform[0] = scores, uniform
        self._function(*self._addresses, ctypes.c_long(1), ctypes.c_long(len(scores)), ctypes.c_long(self._single))
        return int(self._id[0])


def draw_together(
    scores: np.ndarray, temperatures: Many[float], uniforms: Many[float], single: bool
) -> list[int]:
    """The same for several texts: scores `[texts, n]`, contiguous."""
    ids = np.empty(len(scores), np.int64)
    arrays = (ids, scores, np.array(temperatures, np.float64), np.array(uniforms, np.float64))
    draw = library(torch.from_numpy(scores).dtype).draw
    draw(*map(pointer, arrays), *map(ctypes.c_long, (*scores.shape, single)))
    return ids.tolist()


class Layer(ctypes.Structure):
    """The struct of this name in model/layer.h, where shapes are given: addresses of arrays, NULL unless set."""

    SIZES = ("T", "B", "H", "n")
    PARAMETERS = ("rows", "i2h_bias", "h2h", "h2h_bias")
    BUFFERS = (
        *("ids", "packed", "h2h_product", "pre_activations", "h", "grad_h"),
        *("c", "tanh_c", "grad_c"),
        *("reset_h", "grad_reset_h", "grad_h_before"),
    )
    _fields_ = (
        *((name, ctypes.c_long) for name in SIZES),
        *((name, ctypes.c_void_p) for name in PARAMETERS + BUFFERS),
    )


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


def run(name: str, *arguments: Tensor | int | None) -> None:
    """Call a function of sequence.c that takes arrays and numbers. None becomes NULL.

    Tensors must be of one floating-point type, ids aside, and contiguous unless the function is told their strides.
    """
    dtype = next(each.dtype for each in arguments if isinstance(each, Tensor) and each.dtype.is_floating_point)
    getattr(library(dtype), name)(*map(convert, arguments))


def convert(argument: Tensor | int | None) -> ctypes.c_void_p | ctypes.c_long:
    """What a C function gets for an argument."""
    return ctypes.c_long(argument) if isinstance(argument, int) else ctypes.c_void_p(address(argument))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """What a C function gets for an array of NumPy's."""
    return ctypes.c_void_p(array.ctypes.data)


def address(tensor: Tensor | None) -> int | None:
    """Where a tensor's numbers are; None, which is NULL, for None."""
    return None if tensor is None else tensor.data_ptr()

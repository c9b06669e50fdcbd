"""The cells' passes in C: model/sequence.c, which model/build.py compiles when it is first needed.

Where that cannot be had (no C compiler, or one without OpenMP), the passes use PyTorch's operations.
"""

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from charrnn_port.model.build import library
from charrnn_port.model.sequence import LayerWeights, Sequence

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


def run(name: str, *arguments: Tensor | int | None) -> None:
    """Call a function of sequence.c that takes arrays and numbers. None becomes NULL.

    Tensors must be of one floating-point type, ids aside, and contiguous unless the function is told their strides.
    """
    dtype = next(each.dtype for each in arguments if isinstance(each, Tensor) and each.dtype.is_floating_point)
    getattr(library(dtype), name)(*map(convert, arguments))


def convert(argument: Tensor | int | None) -> ctypes.c_void_p | ctypes.c_long:
    """What a C function gets for an argument."""
    return ctypes.c_long(argument) if isinstance(argument, int) else ctypes.c_void_p(address(argument))


def address(tensor: Tensor | None) -> int | None:
    """Where a tensor's numbers are; None, which is NULL, for None."""
    return None if tensor is None else tensor.data_ptr()

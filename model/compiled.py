"""The cells' passes in C: model/sequence.c, which model/build.py compiles when it is first needed.

Where that cannot be had (no C compiler, or one without OpenMP), the passes use PyTorch's operations.
"""

import ctypes

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


def copy_transposed(target: Tensor, source: Tensor) -> None:
    """target.copy_(source.T), with all threads. target: `[c, r]`, contiguous; source: `[r, c]`, columns of one."""
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

    Tensors must be contiguous and of one floating-point type, ids aside.
    """
    dtype = next(each.dtype for each in arguments if isinstance(each, Tensor) and each.dtype.is_floating_point)
    getattr(library(dtype), name)(*map(convert, arguments))


def convert(argument: Tensor | int | None) -> ctypes.c_void_p | ctypes.c_long:
    """What a C function gets for an argument."""
    return ctypes.c_long(argument) if isinstance(argument, int) else ctypes.c_void_p(address(argument))


def address(tensor: Tensor | None) -> int | None:
    """Where a tensor's numbers are; None, which is NULL, for None."""
    return None if tensor is None else tensor.data_ptr()

"""Run the cells' passes in C: call model/sequence.c, which model/build.py compiles when it is first needed.

If that is unavailable, the passes use PyTorch's operations.
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
    `backward` fills `grad_rows` `[V, n]` (first layer only), the gradient by LayerWeights' `rows`, and `grad_bias`
    `[n]`, the gradient by either bias.
    """

    CELL: str
    GRADIENT_ORDER: tuple[int, ...] = (0,)  # the order in which the gradients by the nn.Linears' input are added

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int, V: int = 0) -> None:
        """new, ids: see `Sequence`. V: vocab_size, needed in the first layer."""
        super().__init__(new, ids, T, B, H)
        n = self.pre_activations.shape[2]
        self.h2h_product, self.grad_next, self.grad_bias = new(B, n), new(B, H), new(n)
        # h2h packed as a whole or gate by gate, at most four; the columns of each part are rounded up to whole panels.
        self.packed = new(n + 4 * PANEL, H + PANEL)
        self.grad_rows = new(V, n) if ids is not None else None
        self.same_ids = torch.empty(2 * T * B + 2 * V, dtype=torch.int64, device="cpu") if ids is not None else None
        self._layer = Layer(T, B, H, n, V, B % 2)
        for name in Layer.BUFFERS:
            setattr(self._layer, name, address(getattr(self, name, None)))

    @property
    def linear_width(self) -> int:
        """The output size of each of Torch7's nn.Linears, whose outputs lie side by side in the pre-activations."""
        return self.pre_activations.shape[2] // len(self.I2H)

    def multiply_input(self, inputs: Tensor, i2h: Tensor, workspace: "Workspace") -> None:
        """Write i2h(x), without bias, into `pre_activations`: inputs `[T, B, I]`, contiguous, i2h `[n, I]`."""
        call(inputs.dtype, "input_products", self._layer, inputs, i2h, i2h.shape[1], self.linear_width, workspace)

    def forward(self, weights: LayerWeights) -> None:
        """See `Sequence.forward`."""
        self._call("forward", weights)

    def backward(self, weights: LayerWeights, grad_output: Tensor | None = None) -> None:
        """Overwrite `pre_activations` with the gradient by them, and fill `grad_rows` and `grad_bias`.

        grad_output `[sources, T, B, H]`: the gradients by the output from above; None means `grad_h` alone.
        """
        above = self.grad_h[None] if grad_output is None else grad_output
        self._layer.grad_output, self._layer.sources = address(above), len(above)
        self._call("backward", weights)
        call(self.h.dtype, "sum_rows", self._layer, self.linear_width)

    def _call(self, direction: str, weights: LayerWeights) -> None:
        for name in Layer.PARAMETERS:
            setattr(self._layer, name, address(getattr(weights, name)))
        call(self.h.dtype, f"{self.CELL}_{direction}", self._layer)


class Workspace(ctypes.Structure):
    """The struct Workspace of model/linear.h: scratch memory for products over all time steps at once."""

    _fields_ = (("space", ctypes.c_void_p), ("threads", ctypes.c_int64))

    def __init__(self, new: Callable[..., Tensor], columns: int) -> None:
        """new: creates a tensor of a given shape. columns: the number of columns of the largest right factor."""
        self._threads = torch.get_num_threads()
        self._space = new(self._threads * library(new(0).dtype).product_space(columns))
        super().__init__(address(self._space), self._threads)


class Layer(ctypes.Structure):
    """The struct Layer of model/layer.h, which has the shapes: addresses of arrays, NULL unless set."""

    SIZES = ("T", "B", "H", "n", "V", "odd", "sources")
    PARAMETERS = ("rows", "i2h_bias", "h2h", "h2h_bias")
    BUFFERS = (
        *("ids", "packed", "h2h_product", "pre_activations", "h"),
        *("grad_output", "grad_next", "grad_bias", "grad_rows", "same_ids"),
        *("c", "tanh_c", "grad_c"),
        *("reset_h", "grad_reset_h", "grad_update", "grad_reset"),
    )
    _fields_ = (
        *((name, ctypes.c_int64) for name in SIZES),
        *((name, ctypes.c_void_p) for name in PARAMETERS + BUFFERS),
    )


def run(name: str, *arguments: Tensor | int | ctypes.Structure | None) -> None:
    """Call a C function of this folder that takes arrays, numbers and structs. None becomes NULL.

    Tensors must be contiguous, unless the function takes their strides. All floating-point tensors, losses excepted,
    must have the dtype of the first one, which selects the library.
    """
    dtype = next(each.dtype for each in arguments if isinstance(each, Tensor) and each.dtype.is_floating_point)
    call(dtype, name, *arguments)


def call(dtype: torch.dtype, name: str, *arguments: Tensor | int | float | ctypes.Structure | None) -> object:
    """Call a function of the library for this dtype, with as many threads as PyTorch uses."""
    functions = library(dtype)
    functions.set_threads(torch.get_num_threads())
    return getattr(functions, name)(*map(convert, arguments))


def convert(argument: Tensor | int | float | ctypes.Structure | None) -> object:
    """Convert an argument to what ctypes passes to a C function (model/prototypes.py)."""
    if isinstance(argument, ctypes.Structure):
        return ctypes.byref(argument)
    return address(argument) if isinstance(argument, Tensor) else argument


def address(tensor: Tensor | None) -> int | None:
    """Return the address of a tensor's numbers, or None, which becomes NULL, for None."""
    return None if tensor is None else tensor.data_ptr()

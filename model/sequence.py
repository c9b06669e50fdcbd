"""The common part of the cells' fast passes over whole sequences.

Letters in shapes: T = seq_length, B = batch_size, H = rnn_size, V = vocab_size, n = width of a layer's pre-activations,
the inputs of the sigmoids and tanhs of all gates side by side (4 * H in an lstm, 3 * H in a gru, H in an rnn).
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from charrnn_port.util.one_hot import one_hot

# The arguments of a cell's `advance`: either all NumPy arrays or all tensors.
Array = TypeVar("Array")

# (grad_y, y, grad_input=grad_x): compute the gradient by x from that by y = sigmoid(x) or tanh(x) in one pass over
# memory. grad_x may be grad_y or y itself.
sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


class LayerWeights(NamedTuple):
    """The parameters of one layer, with gates stacked in the order of the pre-activations."""

    rows: Tensor | None  # [V, n] in the first layer, i2h of each one-hot vector without bias; otherwise None
    i2h: Tensor  # [n, I], where I is the size of the input
    i2h_bias: Tensor  # [n]
    h2h: Tensor  # [n, H]
    h2h_bias: Tensor  # [n]


class Sequence:
    """One layer over a whole sequence, with a hand-written backward pass (no autograd) and preallocated buffers.

    1. The caller writes the state before the sequence to index 0 of each tensor in `state`, `[T + 1, B, H]`. The first
       layer looks up its input by `ids`; for other layers the caller writes i2h(x), without bias, to
       `pre_activations` `[T, B, n]`.
    2. `forward(weights)` fills the rest of `state`; `h[1:]` is the output.
    3. The caller writes the gradient of the loss by the output to `grad_h` `[T, B, H]`.
    4. `backward(weights, grad_rows)` reads `state`, with index 0 as it is then. It overwrites `pre_activations` with
       the gradient by them, and writes its sums to `grad_rows`: in the first layer `[V, n]`, the sum for each id over
       its occurrences in the input (the gradient by `rows`); in other layers `[1, n]`, the sum over all positions (the
       gradient by either bias). Of the forward pass only `state` and the result of `h2h_gradients` remain valid.

    All numbers have one dtype, float32 or float64; ids are int64. Each cell's file derives `Buffers` from this class,
    and from `Buffers` the backends `EagerSequence`, `CompiledSequence` and, for the lstm, `CudaSequence`.
    """

    # The parameters that are stacked in LayerWeights, by name without _weight or _bias.
    I2H: tuple[str, ...] = ("i2h",)
    H2H: tuple[str, ...] = ("h2h",)
    GATES: int  # n / H

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        """new: creates a tensor of a given shape. ids: `[T, B]` in the first layer, filled by the caller, or None."""
        self.ids = ids
        self.pre_activations = new(T, B, self.GATES * H)  # overwritten by the gates, then by the gradient
        self.h = new(T + 1, B, H)  # h[0] is the state before the sequence
        self.grad_h = new(T, B, H)
        self.state: tuple[Tensor, ...] = (self.h,)  # in the order of the cell's STATE

    def h2h_gradients(self) -> list[tuple[tuple[str, ...], Tensor, Tensor]]:
        """Return, after backward, the h2h parameters by name, their inputs `[T, B, H]` and the gradient by outputs.

        The gradient of the stacked weights is the product of the two, summed over T and B.
        """
        return [(self.H2H, self.h[:-1], self.pre_activations)]

    def forward(self, weights: LayerWeights) -> None:
        """Compute all states from the input and the state before the sequence."""
        raise NotImplementedError

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """Compute the gradient by the pre-activations, and its sums, from `grad_h`."""
        raise NotImplementedError


def steps(*buffers: Iterable[Tensor]) -> list[tuple[Tensor, ...]]:
    """Return the views of each time step, a tuple for each t, of buffers `[T, ...]`.

    They are created once, because slicing takes about as long as the arithmetic on a slice.
    """
    return list(zip(*buffers, strict=True))


def transposed(weight: Tensor) -> Tensor:
    """Return a transposed copy, by which MKL multiplies in 5/6 of the time for a view."""
    return weight.T.contiguous()


def add_biases(pre_activations: Tensor, weights: LayerWeights, ids: Tensor | None) -> None:
    """Add both biases to i2h(x) in `pre_activations` `[T, B, n]`, which then lack h2h(h) only.

    In the first layer, where ids are `[T, B]` and not None, i2h(x) is looked up first.
    """
    bias = weights.i2h_bias + weights.h2h_bias
    if ids is None:
        pre_activations.add_(bias)
    else:
        torch.index_select(weights.rows + bias, 0, ids.flatten(), out=pre_activations.flatten(0, 1))


def sum_rows(grad_pre_activations: Tensor, grad_rows: Tensor, ids: Tensor | None) -> None:
    """Sum the gradient by the pre-activations `[T, B, n]` into `grad_rows`, for each id `[V, n]`, or in total `[1, n]`.

    The sums are the gradient by LayerWeights' `rows`, or by either of its biases.
    """
    gradient = grad_pre_activations.flatten(0, 1)
    if ids is None:
        torch.sum(gradient, 0, keepdim=True, out=grad_rows)
    elif ids.is_cuda:  # embedding_dense_backward synchronizes for many ids, which a CUDA graph does not allow
        torch.mm(one_hot(ids.flatten(), len(grad_rows), gradient.dtype).T, gradient, out=grad_rows)
    else:
        grad_rows.copy_(torch.ops.aten.embedding_dense_backward(gradient, ids.flatten(), len(grad_rows), -1, False))

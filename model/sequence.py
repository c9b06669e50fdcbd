"""What the cells' fast passes over whole sequences share.

Letters in shapes: T = seq_length, B = batch_size, H = rnn_size, V = vocab_size, and n, the width of a layer's
pre-activations: what goes into its sigmoids and tanhs, those of all gates side by side (4 * H in an lstm, 3 * H in a
gru, H in an rnn).
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from charrnn_port.util.one_hot import one_hot

# What a cell's `advance` computes with: NumPy arrays or tensors, all arguments of one call of one kind.
Array = TypeVar("Array")

# (grad_y, y, grad_input=grad_x): the gradient of the loss by x from that by y = sigmoid(x) or tanh(x), in one pass over
# memory. grad_x may be grad_y or y itself.
sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


class LayerWeights(NamedTuple):
    """The parameters of one layer, gates stacked in the order in which they lie side by side in the pre-activations."""

    rows: Tensor | None  # first layer: [V, n], i2h of each one-hot vector, without bias
    i2h: Tensor  # [n, I], I being the size of the input
    i2h_bias: Tensor  # [n]
    h2h: Tensor  # [n, H]
    h2h_bias: Tensor  # [n]


class Sequence:
    """One layer over a whole sequence, forward and backward by hand: no autograd, and buffers made once.

    What the caller does, and what it gets:

    1. It writes the state before the sequence into place 0 of each tensor in `state`, `[T + 1, B, H]`. The first layer
       looks up its input by `ids`; above it the caller writes i2h(x), without bias, into `pre_activations` `[T, B, n]`.
    2. `forward(weights)` fills the other places of `state`; `h[1:]` is the output.
    3. The caller writes the gradient of the loss by the output into `grad_h` `[T, B, H]`.
    4. `backward(weights, grad_rows)` reads `state` again, place 0 as it is then. It leaves the gradient by the
       pre-activations in `pre_activations`, and its sums in `grad_rows`: in the first layer `[V, n]`, for each id over
       the places where it is the input (the gradient by `rows`); above it `[1, n]`, over all places (that by either
       bias). What forward left is gone then, but for `state` and what `h2h_gradients` returns.

    All numbers are of one dtype, float32 or float64; ids are int64. Each cell's file derives `Buffers` from this,
    and from that `EagerSequence`, `CompiledSequence` and the lstm's `CudaSequence`, which have the two passes.
    """

    # The parameters whose rows are stacked in LayerWeights, by name without _weight or _bias.
    I2H: tuple[str, ...] = ("i2h",)
    H2H: tuple[str, ...] = ("h2h",)
    GATES: int  # n / H

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        """new: makes a tensor of a given shape. ids: `[T, B]` in the first layer, filled by the caller, or None."""
        self.ids = ids
        self.pre_activations = new(T, B, self.GATES * H)  # later the gates, then the gradient by the pre-activations
        self.h = new(T + 1, B, H)  # place 0 is the state before the sequence
        self.grad_h = new(T, B, H)
        self.state: tuple[Tensor, ...] = (self.h,)  # as in the cell's STATE

    def h2h_gradients(self) -> list[tuple[tuple[str, ...], Tensor, Tensor]]:
        """After backward: parameters of h2h by name, their inputs `[T, B, H]` and the gradient by their outputs.

        The gradient of their stacked weights is the product of the two, summed over T and B.
        """
        return [(self.H2H, self.h[:-1], self.pre_activations)]

    def forward(self, weights: LayerWeights) -> None:
        """From the input and the state before the sequence to all states."""
        raise NotImplementedError

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """From `grad_h` to the gradient by the pre-activations and its sums."""
        raise NotImplementedError


def steps(*buffers: Iterable[Tensor]) -> list[tuple[Tensor, ...]]:
    """The views of each time step: one tuple for each t, from buffers `[T, ...]`.

    Made once, because a slice costs about as much as the arithmetic on it.
    """
    return list(zip(*buffers, strict=True))


def transposed(weight: Tensor) -> Tensor:
    """A copy: MKL multiplies by it in 5/6 of the time that it takes for a view."""
    return weight.T.contiguous()


def add_biases(pre_activations: Tensor, weights: LayerWeights, ids: Tensor | None) -> None:
    """From i2h(x) to all of the pre-activations `[T, B, n]` but h2h(h): both biases are added.

    In the first layer, where ids `[T, B]` are given, i2h(x) is looked up first.
    """
    bias = weights.i2h_bias + weights.h2h_bias
    if ids is None:
        pre_activations.add_(bias)
    else:
        torch.index_select(weights.rows + bias, 0, ids.flatten(), out=pre_activations.flatten(0, 1))


def sum_rows(grad_pre_activations: Tensor, grad_rows: Tensor, ids: Tensor | None) -> None:
    """Sum up the gradient by the pre-activations `[T, B, n]` in `grad_rows`: for each id `[V, n]`, or in all `[1, n]`.

    These are the gradients by LayerWeights' `rows` and by its biases.
    """
    gradient = grad_pre_activations.flatten(0, 1)
    if ids is None:
        torch.sum(gradient, 0, keepdim=True, out=grad_rows)
    elif ids.is_cuda:  # there the other way waits for the GPU when there are many ids, which no CUDA graph can
        torch.mm(one_hot(ids.flatten(), len(grad_rows), gradient.dtype).T, gradient, out=grad_rows)
    else:
        grad_rows.copy_(torch.ops.aten.embedding_dense_backward(gradient, ids.flatten(), len(grad_rows), -1, False))

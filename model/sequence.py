"""What the cells' fast whole-sequence passes share."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from util.one_hot import one_hot

# (gradient, output, grad_input=result): gradient times the derivative at that output, in one pass over memory.
sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


class LayerWeights(NamedTuple):
    """The parameters of one layer, gates stacked as in the cell's `sums`."""

    rows: Tensor | None  # first layer: [V, n], i2h of each one-hot vector, without bias
    i2h: Tensor  # [n, I]
    i2h_bias: Tensor  # [n]
    h2h: Tensor  # [n, H]
    h2h_bias: Tensor  # [n]


def steps(*buffers: Iterable[Tensor]) -> list[tuple[Tensor, ...]]:
    """The views of each time step: one tuple for each t, from buffers `[seq_length, ...]`.

    Made once, because a slice costs about as much as the arithmetic on it.
    """
    return list(zip(*buffers, strict=True))


def transposed(weight: Tensor) -> Tensor:
    """A copy: MKL multiplies by it in 5/6 of the time that it takes for a view."""
    return weight.T.contiguous()


def complete(sums: Tensor, weights: LayerWeights, ids: Tensor | None) -> None:
    """Add both biases to i2h(x), `[T, B, n]`; in the first layer, where ids `[T, B]` are given, fill it in too."""
    bias = weights.i2h_bias + weights.h2h_bias
    if ids is None:
        sums.add_(bias)
    else:
        torch.index_select(weights.rows + bias, 0, ids.flatten(), out=sums.flatten(0, 1))


def sum_rows(sums: Tensor, grad_rows: Tensor, ids: Tensor | None) -> None:
    """Fill the gradient of `rows` `[V, n]`, or without ids of the biases `[1, n]`, from that of `sums`."""
    gradient = sums.flatten(0, 1)
    if ids is None:
        torch.sum(gradient, 0, keepdim=True, out=grad_rows)
    elif ids.is_cuda:  # there the other way waits for the GPU when there are many ids, which no CUDA graph can
        torch.mm(one_hot(ids.flatten(), len(grad_rows), gradient.dtype).T, gradient, out=grad_rows)
    else:
        grad_rows.copy_(torch.ops.aten.embedding_dense_backward(gradient, ids.flatten(), len(grad_rows), -1, False))

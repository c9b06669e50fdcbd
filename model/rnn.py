"""Vanilla recurrent network (the original's model/RNN.lua; Elman 1990).

H is rnn_size, I the size of the input (vocab_size in the first layer, H above it).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from model.compiled import InC
from model.sequence import LayerWeights, complete, steps, sum_rows, tanh_backward, transposed

# The state a layer carries; the last one is also its output.
STATE = ("h",)


def parameter_shapes(input_size: int, rnn_size: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the order of Torch7's flat vector."""
    return {
        "i2h_weight": (rnn_size, input_size),
        "i2h_bias": (rnn_size,),
        "h2h_weight": (rnn_size, rnn_size),
        "h2h_bias": (rnn_size,),
    }


def step(
    x: Tensor, h: Tensor, i2h_weight: Tensor, i2h_bias: Tensor, h2h_weight: Tensor, h2h_bias: Tensor
) -> tuple[Tensor]:
    """One time step: x `[batch_size, I]`, h `[batch_size, H]` → the next h, as a tuple of one."""
    return (torch.tanh(linear(x, i2h_weight, i2h_bias) + linear(h, h2h_weight, h2h_bias)),)


def advance(sums, h, h2h_weight, sigmoid, tanh):
    """One step for one sequence, for NumPy arrays or tensors: h `[H]` → the next h, as a tuple of one.

    i2h(x) plus both biases is known already: sums `[H]`.
    """
    return (tanh(sums + h2h_weight @ h),)


class Sequence:
    """The fast pass of one layer over a whole sequence: no autograd, buffers and their views made once.

    The caller writes i2h(x), without bias, into `sums` (nothing in the first layer, which has ids `[T, B]`) and the
    gradient that comes from above into `grad_h`. `forward` leaves the outputs in `h[1:]`; `backward` leaves the
    gradient of the sums in `sums`, and in `grad_rows` that of i2h of each id `[V, n]`, or of the biases `[1, n]`.
    """

    I2H, H2H = ("i2h",), ("h2h",)

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        self.ids = ids
        self.sums = new(T, B, H)  # sums → gradients of the sums
        self.h = new(T + 1, B, H)  # place 0 is the state before the sequence
        self.grad_h = new(T, B, H)
        self.state = (self.h,)

    def h2h_gradients(self) -> list[tuple[Tensor, Tensor]]:
        """What h2h_weight's gradient is the product of: its inputs and the gradients of its outputs."""
        return [(self.h[:-1], self.sums)]


class EagerSequence(Sequence):
    """In PyTorch's operations."""

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        super().__init__(new, ids, T, B, H)
        self._steps = steps(self.sums, self.h[:-1], self.h[1:])
        self._steps_back = steps(self.sums, self.h[1:], self.grad_h)[::-1]

    def forward(self, weights: LayerWeights) -> None:
        """From `sums` and `h[0]` to all of h."""
        complete(self.sums, weights, self.ids)
        h2h_transposed = transposed(weights.h2h)
        for sums, h, next_h in self._steps:
            torch.tanh(sums.addmm_(h, h2h_transposed), out=next_h)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """From `grad_h` to all gradients."""
        later = None
        for sums, h, grad_h in self._steps_back:
            if later is not None:
                grad_h.addmm_(later, weights.h2h)
            later = tanh_backward(grad_h, h, grad_input=sums)
        sum_rows(self.sums, grad_rows, self.ids)


class CompiledSequence(InC, Sequence):
    """In C: rnn_forward and rnn_backward of model/sequence.c."""

    NAME = "rnn"

    def forward_buffers(self) -> tuple[Tensor, ...]:
        """What rnn_forward works on."""
        return self.sums, self.h

    def backward_buffers(self) -> tuple[Tensor, ...]:
        """What rnn_backward works on."""
        return self.sums, self.h, self.grad_h

"""Gated recurrent unit (the original's model/GRU.lua; Chung et al. 2014, arXiv:1412.3555, eq. 5-8).

The reset gate multiplies h *before* the matrix product. `nn.GRU` and cuDNN multiply after it, which is
another function: their weights and ours are not interchangeable.
H is rnn_size, I the size of the input (vocab_size in the first layer, H above it).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from model.compiled import InC
from model.sequence import LayerWeights, complete, sigmoid_backward, steps, sum_rows, tanh_backward, transposed

# The state a layer carries; the last one is also its output.
STATE = ("h",)


def parameter_shapes(input_size: int, rnn_size: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the order of Torch7's flat vector, which is the order nngraph visits the nodes in."""
    i2h, h2h, bias = (rnn_size, input_size), (rnn_size, rnn_size), (rnn_size,)
    return {
        "update_i2h_weight": i2h,
        "update_i2h_bias": bias,
        "update_h2h_weight": h2h,
        "update_h2h_bias": bias,
        "candidate_i2h_weight": i2h,
        "candidate_i2h_bias": bias,
        "reset_i2h_weight": i2h,
        "reset_i2h_bias": bias,
        "reset_h2h_weight": h2h,
        "reset_h2h_bias": bias,
        "candidate_h2h_weight": h2h,
        "candidate_h2h_bias": bias,
    }


def step(
    x: Tensor,
    h: Tensor,
    update_i2h_weight: Tensor,
    update_i2h_bias: Tensor,
    update_h2h_weight: Tensor,
    update_h2h_bias: Tensor,
    candidate_i2h_weight: Tensor,
    candidate_i2h_bias: Tensor,
    reset_i2h_weight: Tensor,
    reset_i2h_bias: Tensor,
    reset_h2h_weight: Tensor,
    reset_h2h_bias: Tensor,
    candidate_h2h_weight: Tensor,
    candidate_h2h_bias: Tensor,
) -> tuple[Tensor]:
    """One time step: x `[batch_size, I]`, h `[batch_size, H]` → the next h, as a tuple of one."""
    update_gate = torch.sigmoid(
        linear(x, update_i2h_weight, update_i2h_bias) + linear(h, update_h2h_weight, update_h2h_bias)
    )
    reset_gate = torch.sigmoid(
        linear(x, reset_i2h_weight, reset_i2h_bias) + linear(h, reset_h2h_weight, reset_h2h_bias)
    )
    candidate = torch.tanh(
        linear(x, candidate_i2h_weight, candidate_i2h_bias)
        + linear(reset_gate * h, candidate_h2h_weight, candidate_h2h_bias)
    )
    return (update_gate * candidate + (1 - update_gate) * h,)


def advance(sums, h, h2h_weight, sigmoid, tanh):
    """One step for one sequence, for NumPy arrays or tensors: h `[H]` → the next h, as a tuple of one.

    i2h(x) plus both biases is known already: sums `[3 * H]`, update, reset, candidate.
    """
    size = len(h)
    gates = sigmoid(sums[: 2 * size] + h2h_weight[: 2 * size] @ h)
    update_gate, reset_gate = gates[:size], gates[size:]
    candidate = tanh(sums[2 * size :] + h2h_weight[2 * size :] @ (reset_gate * h))
    return (h + update_gate * (candidate - h),)


class Sequence:
    """The fast pass of one layer over a whole sequence: no autograd, buffers and their views made once.

    The caller writes i2h(x), without bias, into `sums` (nothing in the first layer, which has ids `[T, B]`) and the
    gradient that comes from above into `grad_h`. `forward` leaves the outputs in `h[1:]`; `backward` leaves the
    gradient of the sums in `sums`, and in `grad_rows` that of i2h of each id `[V, n]`, or of the biases `[1, n]`.
    """

    I2H = ("update_i2h", "reset_i2h", "candidate_i2h")
    H2H = ("update_h2h", "reset_h2h", "candidate_h2h")

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        self.ids = ids
        self.sums = new(T, B, 3 * H)  # sums → gates → gradients of the sums
        self.gates_sums, self.candidate_sums = self.sums.split([2 * H, H], dim=2)
        self.h = new(T + 1, B, H)  # place 0 is the state before the sequence
        self.reset_h = new(T, B, H)  # reset gate times the h before
        self.grad_h = new(T, B, H)
        self.grad_reset_h = new(B, H)
        self.grad_before = new(B, H)  # of the state before the sequence: nobody wants it
        self.state = (self.h,)

    def h2h_gradients(self) -> list[tuple[Tensor, Tensor]]:
        """What h2h_weight's gradient is the product of: inputs and the gradients of outputs, for its parts."""
        return [(self.h[:-1], self.gates_sums), (self.reset_h, self.candidate_sums)]


class EagerSequence(Sequence):
    """In PyTorch's operations, as few as possible."""

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        super().__init__(new, ids, T, B, H)
        self.reset, self.keep = new(T, B, H), new(T, B, H)  # for the backward pass: reset gate, 1 - update gate
        update, reset, candidate = self.gates = self.sums.split(H, dim=2)
        self._steps = steps(self.gates_sums, update, reset, candidate, self.reset_h, self.h[:-1], self.h[1:])
        before = [self.grad_before, *self.grad_h[:-1]]  # where the gradient of the h before goes
        self._steps_back = steps(self.gates_sums, update, reset, candidate, self.reset, self.keep, self.grad_h, before)[
            ::-1
        ]

    def forward(self, weights: LayerWeights) -> None:
        """From `sums` and `h[0]` to all of h."""
        complete(self.sums, weights, self.ids)
        h2h_transposed = transposed(weights.h2h)
        H = len(h2h_transposed)
        gates_weight, candidate_weight = h2h_transposed.split([2 * H, H], dim=1)
        for gates, update, reset, candidate, reset_h, h, next_h in self._steps:
            gates.addmm_(h, gates_weight).sigmoid_()
            torch.mul(reset, h, out=reset_h)
            candidate.addmm_(reset_h, candidate_weight).tanh_()
            torch.lerp(h, candidate, update, out=next_h)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """From `grad_h` to all gradients. Reads `h[0]` as the state before the sequence."""
        H = weights.h2h.shape[1]
        gates_weight, candidate_weight = weights.h2h.split([2 * H, H])
        update, reset, candidate = self.gates
        # Each gate gives way to the derivative of h (of reset_h for the reset gate) by its sum, for all time
        # steps at once.
        torch.neg(update, out=self.keep).add_(1)
        by_update = sigmoid_backward(torch.sub(candidate, self.h[:-1], out=self.reset), update, grad_input=self.reset)
        tanh_backward(update, candidate, grad_input=candidate)
        update.copy_(by_update)
        self.reset.copy_(reset)
        sigmoid_backward(self.h[:-1], reset, grad_input=reset)

        grad_reset_h = self.grad_reset_h
        self.grad_before.zero_()
        for gates, update, reset, candidate, reset_gate, keep, grad_h, grad_before in self._steps_back:
            candidate.mul_(grad_h)
            torch.mm(candidate, candidate_weight, out=grad_reset_h)
            reset.mul_(grad_reset_h)
            update.mul_(grad_h)
            grad_before.addcmul_(grad_h, keep).addcmul_(grad_reset_h, reset_gate).addmm_(gates, gates_weight)
        sum_rows(self.sums, grad_rows, self.ids)


class CompiledSequence(InC, Sequence):
    """In C: gru_forward and gru_backward of model/sequence.c."""

    NAME = "gru"

    def forward_buffers(self) -> tuple[Tensor, ...]:
        """What gru_forward works on."""
        return self.sums, self.h, self.reset_h

    def backward_buffers(self) -> tuple[Tensor, ...]:
        """What gru_backward works on."""
        return self.sums, self.h, self.grad_h, self.grad_before.zero_(), self.grad_reset_h

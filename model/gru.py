"""The gated recurrent unit (the original's model/GRU.lua; Chung et al. 2014, arXiv:1412.3555, eq. 5-8).

The reset gate multiplies h *before* the matrix product. `nn.GRU` and cuDNN multiply after it: that is another function,
and the weights of one cannot be used in the other.

Letters in shapes: B = batch_size, H = rnn_size, I = size of the input (vocab_size in the first layer, H in others).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from charrnn_port.model.compiled import CompiledPasses
from charrnn_port.model.sequence import (
    Array,
    LayerWeights,
    Sequence,
    add_biases,
    sigmoid_backward,
    steps,
    sum_rows,
    tanh_backward,
    transposed,
)

# The state of a layer; the last tensor is also its output.
STATE = ("h",)
GATE_NAMES = ("update", "reset", "candidate")  # what step_with_gates returns before the state


def parameter_shapes(input_size: int, rnn_size: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes in the order of Torch7's flat vector: the order in which nngraph visits the nodes."""
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
    """Compute one time step: x `[B, I]`, h `[B, H]` → (next_h,).

    update, reset = sigmoid(i2h(x) + h2h(h)), each with its own i2h and h2h
    candidate = tanh(i2h(x) + h2h(reset * h))
    next_h = update * candidate + (1 - update) * h
    """
    return step_with_gates(
        x, h,
        update_i2h_weight, update_i2h_bias, update_h2h_weight, update_h2h_bias,
        candidate_i2h_weight, candidate_i2h_bias, reset_i2h_weight, reset_i2h_bias,
        reset_h2h_weight, reset_h2h_bias, candidate_h2h_weight, candidate_h2h_bias,
    )[-1:]  # fmt: skip


def step_with_gates(
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
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute one time step like `step`, but return update, reset, candidate and the next h, each `[B, H]`."""
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
    return update_gate, reset_gate, candidate, update_gate * candidate + (1 - update_gate) * h


def advance(
    pre_activations: Array,
    h: Array,
    h2h_weight: Array,
    sigmoid: Callable[[Array], Array],
    tanh: Callable[[Array], Array],
) -> tuple[Array]:
    """Compute one time step of a single sequence, for NumPy arrays or tensors: h `[H]` → (next_h,).

    pre_activations `[3 * H]`, of update, reset and candidate, are i2h(x) and both biases, without h2h.
    h2h_weight: `[3 * H, H]`.
    """
    H = len(h)
    gates = sigmoid(pre_activations[: 2 * H] + h2h_weight[: 2 * H] @ h)
    update_gate, reset_gate = gates[:H], gates[H:]
    candidate = tanh(pre_activations[2 * H :] + h2h_weight[2 * H :] @ (reset_gate * h))
    return (h + update_gate * (candidate - h),)


class Buffers(Sequence):
    """The buffers of one layer over a whole sequence (see `Sequence`), shared by all backends."""

    I2H = ("update_i2h", "reset_i2h", "candidate_i2h")
    H2H = ("update_h2h", "reset_h2h", "candidate_h2h")
    GATES = 3

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        super().__init__(new, ids, T, B, H)
        self.reset_h = new(T, B, H)  # reset gate * previous h
        self.grad_reset_h = new(B, H)  # gradient by reset_h of one time step

    def h2h_gradients(self) -> list[tuple[tuple[str, ...], Tensor, Tensor]]:
        """See `Sequence.h2h_gradients`. The input of the gates is h, that of the candidate is reset_h."""
        H = self.h.shape[2]
        gates, candidate = self.pre_activations.split([2 * H, H], dim=2)
        return [(self.H2H[:2], self.h[:-1], gates), (self.H2H[2:], self.reset_h, candidate)]


class EagerSequence(Buffers):
    """The passes with as few of PyTorch's operations as possible."""

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        super().__init__(new, ids, T, B, H)
        self.grad_h_before = new(B, H)  # gradient by the state before the sequence, which is not used
        self.reset, self.keep = new(T, B, H), new(T, B, H)  # for the backward pass: reset gate and 1 - update gate
        gates = self.pre_activations[..., : 2 * H]
        update, reset, candidate = self.gates = self.pre_activations.split(H, dim=2)
        grads_h_before = [self.grad_h_before, *self.grad_h[:-1]]  # for each step: gradient by its previous h
        self._steps = steps(gates, update, reset, candidate, self.reset_h, self.h[:-1], self.h[1:])
        self._steps_back = steps(
            gates, update, reset, candidate, self.reset, self.keep, self.grad_h, grads_h_before
        )[::-1]  # fmt: skip

    def forward(self, weights: LayerWeights) -> None:
        """See `Sequence.forward`."""
        add_biases(self.pre_activations, weights, self.ids)
        h2h_transposed = transposed(weights.h2h)
        H = len(h2h_transposed)
        gates_weight, candidate_weight = h2h_transposed.split([2 * H, H], dim=1)
        for gates, update, reset, candidate, reset_h, h, next_h in self._steps:
            gates.addmm_(h, gates_weight).sigmoid_()
            torch.mul(reset, h, out=reset_h)
            candidate.addmm_(reset_h, candidate_weight).tanh_()
            torch.lerp(h, candidate, update, out=next_h)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """See `Sequence.backward`."""
        self._differentiate_gates()
        H = weights.h2h.shape[1]
        gates_weight, candidate_weight = weights.h2h.split([2 * H, H])
        grad_reset_h = self.grad_reset_h
        self.grad_h_before.zero_()
        for gates, update, reset, candidate, reset_gate, keep, grad_h, grad_h_before in self._steps_back:
            candidate.mul_(grad_h)
            torch.mm(candidate, candidate_weight, out=grad_reset_h)
            reset.mul_(grad_reset_h)
            update.mul_(grad_h)
            grad_h_before.addcmul_(grad_h, keep).addcmul_(grad_reset_h, reset_gate).addmm_(gates, gates_weight)
        sum_rows(self.pre_activations, grad_rows, self.ids)

    def _differentiate_gates(self) -> None:
        """Overwrite each gate with the derivative of h, or of reset_h for the reset gate, by its pre-activation.

        This is done for all time steps together, so that a step only multiplies by the gradients by h and reset_h.
        The gate values that a step needs are copied to `reset` and `keep`.
        """
        update, reset, candidate = self.gates
        torch.neg(update, out=self.keep).add_(1)
        candidate_less_h = torch.sub(candidate, self.h[:-1], out=self.reset)
        dh_by_dupdate = sigmoid_backward(candidate_less_h, update, grad_input=self.reset)
        tanh_backward(update, candidate, grad_input=candidate)
        update.copy_(dh_by_dupdate)
        self.reset.copy_(reset)
        sigmoid_backward(self.h[:-1], reset, grad_input=reset)


class CompiledSequence(CompiledPasses, Buffers):
    """The passes in C: gru_forward and gru_backward of model/sequence.c."""

    CELL = "gru"
    GRADIENT_ORDER = (0, 2, 1)  # update, candidate, reset: the order in which the gradients by their input are added

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int, V: int = 0) -> None:
        self.grad_update, self.grad_reset = new(B, H), new(B, H)  # gradients by the previous h through a gate's h2h
        super().__init__(new, ids, T, B, H, V)

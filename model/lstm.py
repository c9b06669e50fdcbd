"""Long short-term memory (the original's model/LSTM.lua; Zaremba et al. 2014, arXiv:1409.2329, eq. 2-4).

A cell computes its next state from its input and its previous state.

Letters in shapes: B = batch_size, H = rnn_size, I = size of the input (vocab_size in the first layer, H in others).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from charrnn_port.model.compiled import CompiledPasses
from charrnn_port.model.cuda_lstm import CudaPasses
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

# The state of a layer, in the original's order; the last tensor is also its output.
STATE = ("c", "h")
GATE_NAMES = ("in", "forget", "out", "transform")  # what step_with_gates returns before the state


def parameter_shapes(input_size: int, rnn_size: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes in the order of Torch7's flat vector. Gates are stacked: in, forget, out, transform."""
    return {
        "i2h_weight": (4 * rnn_size, input_size),
        "i2h_bias": (4 * rnn_size,),
        "h2h_weight": (4 * rnn_size, rnn_size),
        "h2h_bias": (4 * rnn_size,),
    }


def step(
    x: Tensor, c: Tensor, h: Tensor, i2h_weight: Tensor, i2h_bias: Tensor, h2h_weight: Tensor, h2h_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute one time step: x `[B, I]`, c and h `[B, H]` → (next_c, next_h).

    in, forget, out = sigmoid, transform = tanh of their quarter of i2h(x) + h2h(h)
    next_c = forget * c + in * transform
    next_h = out * tanh(next_c)
    """
    return step_with_gates(x, c, h, i2h_weight, i2h_bias, h2h_weight, h2h_bias)[-2:]


def step_with_gates(
    x: Tensor, c: Tensor, h: Tensor, i2h_weight: Tensor, i2h_bias: Tensor, h2h_weight: Tensor, h2h_bias: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute one time step like `step`, but return in, forget, out, transform, next_c and next_h, each `[B, H]`."""
    pre_activations = linear(x, i2h_weight, i2h_bias) + linear(h, h2h_weight, h2h_bias)
    for_in, for_forget, for_out, for_transform = pre_activations.chunk(4, dim=1)
    in_gate, forget_gate, out_gate = torch.sigmoid(for_in), torch.sigmoid(for_forget), torch.sigmoid(for_out)
    transform = torch.tanh(for_transform)
    next_c = forget_gate * c + in_gate * transform
    next_h = out_gate * torch.tanh(next_c)
    return in_gate, forget_gate, out_gate, transform, next_c, next_h


def advance(
    pre_activations: Array,
    c: Array,
    h: Array,
    h2h_weight: Array,
    sigmoid: Callable[[Array], Array],
    tanh: Callable[[Array], Array],
) -> tuple[Array, Array]:
    """Compute one time step of a single sequence, for NumPy arrays or tensors: c and h `[H]` → (next_c, next_h).

    pre_activations `[4 * H]` are i2h(x) and both biases, without h2h(h). h2h_weight: `[4 * H, H]`.
    """
    H = len(h)
    pre_activations = pre_activations + h2h_weight @ h
    gates, transform = sigmoid(pre_activations[: 3 * H]), tanh(pre_activations[3 * H :])
    next_c = gates[H : 2 * H] * c + gates[:H] * transform
    return next_c, gates[2 * H :] * tanh(next_c)


class Buffers(Sequence):
    """The buffers of one layer over a whole sequence (see `Sequence`), shared by all backends."""

    GATES = 4

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        super().__init__(new, ids, T, B, H)
        self.c = new(T + 1, B, H)  # c[0] is the state before the sequence
        self.tanh_c = new(T, B, H)  # tanh(c[1:])
        self.grad_c = new(B, H)  # gradient by the c of one time step
        self.state = (self.c, self.h)


class EagerSequence(Buffers):
    """The passes with as few of PyTorch's operations as possible."""

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        super().__init__(new, ids, T, B, H)
        self.dh_by_dc = new(T, B, H)  # derivative of h = out * tanh(c) by c
        in_gate, forget_gate, out_gate, transform = self.gates = self.pre_activations.split(H, dim=2)
        in_forget_out = self.pre_activations[..., : 3 * H]
        in_and_forget = self.pre_activations[..., : 2 * H].unflatten(2, (2, H))
        self._steps = steps(
            self.pre_activations, in_forget_out, in_gate, forget_gate, out_gate, transform,
            self.c[:-1], self.c[1:], self.h[:-1], self.h[1:], self.tanh_c,
        )  # fmt: skip
        self._steps_back = steps(
            self.pre_activations, in_and_forget, out_gate, transform, self.tanh_c, self.dh_by_dc, self.grad_h
        )[::-1]

    def forward(self, weights: LayerWeights) -> None:
        """See `Sequence.forward`."""
        add_biases(self.pre_activations, weights, self.ids)
        h2h_transposed = transposed(weights.h2h)
        for (
            pre_activations, in_forget_out, in_gate, forget_gate, out_gate, transform, c, next_c, h, next_h, tanh_c
        ) in self._steps:  # fmt: skip
            pre_activations.addmm_(h, h2h_transposed)
            in_forget_out.sigmoid_()
            transform.tanh_()
            torch.mul(forget_gate, c, out=next_c).addcmul_(in_gate, transform)
            torch.tanh(next_c, out=tanh_c)
            torch.mul(out_gate, tanh_c, out=next_h)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """See `Sequence.backward`."""
        self._differentiate_gates()
        grad_c = self.grad_c.zero_()
        grad_c_twice = grad_c.unsqueeze(1)  # for the input and the forget gate
        later = None  # the gradient by the pre-activations of the next time step
        for grad_pre_activations, in_and_forget, out_gate, transform, forget_gate, dh_by_dc, grad_h in self._steps_back:
            if later is not None:
                grad_h.addmm_(later, weights.h2h)
            grad_c.addcmul_(grad_h, dh_by_dc)
            out_gate.mul_(grad_h)
            in_and_forget.mul_(grad_c_twice)
            transform.mul_(grad_c)
            grad_c.mul_(forget_gate)
            later = grad_pre_activations
        sum_rows(self.pre_activations, grad_rows, self.ids)

    def _differentiate_gates(self) -> None:
        """Overwrite each gate with the derivative of c, or of h for the out gate, by its pre-activation.

        This is done for all time steps together, so that a step only multiplies by the gradients by c and h. The value
        of the forget gate, which a step also needs, overwrites tanh_c.
        """
        in_gate, forget_gate, out_gate, transform = self.gates
        tanh_backward(out_gate, self.tanh_c, grad_input=self.dh_by_dc)
        sigmoid_backward(self.tanh_c, out_gate, grad_input=out_gate)
        dc_by_dtransform = tanh_backward(in_gate, transform, grad_input=self.tanh_c)
        sigmoid_backward(transform, in_gate, grad_input=in_gate)
        transform.copy_(dc_by_dtransform)
        self.tanh_c.copy_(forget_gate)
        sigmoid_backward(self.c[:-1], forget_gate, grad_input=forget_gate)


class CompiledSequence(CompiledPasses, Buffers):
    """The passes in C: lstm_forward and lstm_backward of model/sequence.c."""

    CELL = "lstm"


class CudaSequence(CudaPasses, Buffers):
    """The passes in CUDA kernels (model/cuda_lstm.py)."""

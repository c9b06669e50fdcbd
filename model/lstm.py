"""Long short-term memory (the original's model/LSTM.lua; Zaremba et al. 2014, arXiv:1409.2329, eq. 2-4).

The job of a cell is to turn its input and its state of one step ago into its state now.
H is rnn_size, I the size of the input (vocab_size in the first layer, H above it).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from model.compiled import InC
from model.sequence import LayerWeights, complete, sigmoid_backward, steps, sum_rows, tanh_backward, transposed

# The state a layer carries, in the original's order; the last one is also its output.
STATE = ("c", "h")


def parameter_shapes(input_size: int, rnn_size: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the order of Torch7's flat vector. Gates are stacked: in, forget, out, transform."""
    return {
        "i2h_weight": (4 * rnn_size, input_size),
        "i2h_bias": (4 * rnn_size,),
        "h2h_weight": (4 * rnn_size, rnn_size),
        "h2h_bias": (4 * rnn_size,),
    }


def step(
    x: Tensor, c: Tensor, h: Tensor, i2h_weight: Tensor, i2h_bias: Tensor, h2h_weight: Tensor, h2h_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """One time step: x `[batch_size, I]`, c and h `[batch_size, H]` → the next c and h."""
    all_input_sums = linear(x, i2h_weight, i2h_bias) + linear(h, h2h_weight, h2h_bias)
    in_sum, forget_sum, out_sum, transform_sum = all_input_sums.chunk(4, dim=1)
    in_gate, forget_gate, out_gate = torch.sigmoid(in_sum), torch.sigmoid(forget_sum), torch.sigmoid(out_sum)
    next_c = forget_gate * c + in_gate * torch.tanh(transform_sum)
    next_h = out_gate * torch.tanh(next_c)
    return next_c, next_h


def advance(sums, c, h, h2h_weight, sigmoid, tanh):
    """One step for one sequence, for NumPy arrays or tensors: c and h `[H]` → the next c and h.

    i2h(x) plus both biases is known already: sums `[4 * H]`.
    """
    size = len(h)
    sums = sums + h2h_weight @ h
    gates, transform = sigmoid(sums[: 3 * size]), tanh(sums[3 * size :])
    next_c = gates[size : 2 * size] * c + gates[:size] * transform
    return next_c, gates[2 * size :] * tanh(next_c)


class Sequence:
    """The fast pass of one layer over a whole sequence: no autograd, buffers and their views made once.

    The caller writes i2h(x), without bias, into `sums` (nothing in the first layer, which has ids `[T, B]`) and the
    gradient that comes from above into `grad_h`. `forward` leaves the outputs in `h[1:]`; `backward` leaves the
    gradient of the sums in `sums`, and in `grad_rows` that of i2h of each id `[V, n]`, or of the biases `[1, n]`.
    """

    I2H, H2H = ("i2h",), ("h2h",)

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        self.ids = ids
        self.sums = new(T, B, 4 * H)  # sums → gates → gradients of the sums
        self.c, self.h = new(T + 1, B, H), new(T + 1, B, H)  # place 0 is the state before the sequence
        self.tanh_c = new(T, B, H)
        self.grad_h = new(T, B, H)
        self.grad_c = new(B, H)
        self.state = (self.c, self.h)

    def h2h_gradients(self) -> list[tuple[Tensor, Tensor]]:
        """What h2h_weight's gradient is the product of: its inputs and the gradients of its outputs."""
        return [(self.h[:-1], self.sums)]


class EagerSequence(Sequence):
    """In PyTorch's operations, as few as possible."""

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        super().__init__(new, ids, T, B, H)
        self.dc_by_dh = new(T, B, H)
        in_gate, forget_gate, out_gate, transform = self.gates = self.sums.split(H, dim=2)
        self._steps = steps(
            self.sums, self.sums[..., : 3 * H], in_gate, forget_gate, out_gate, transform,
            self.c[:-1], self.c[1:], self.h[:-1], self.h[1:], self.tanh_c,
        )  # fmt: skip
        self._steps_back = steps(
            self.sums, self.sums[..., : 2 * H].unflatten(2, (2, H)), out_gate, transform,
            self.tanh_c, self.dc_by_dh, self.grad_h,
        )[::-1]  # fmt: skip

    def forward(self, weights: LayerWeights) -> None:
        """From `sums`, `c[0]` and `h[0]` to all of c and h."""
        complete(self.sums, weights, self.ids)
        h2h_transposed = transposed(weights.h2h)
        for sums, three_gates, in_gate, forget_gate, out_gate, transform, c, next_c, h, next_h, tanh_c in self._steps:
            sums.addmm_(h, h2h_transposed)
            three_gates.sigmoid_()
            transform.tanh_()
            torch.mul(forget_gate, c, out=next_c).addcmul_(in_gate, transform)
            torch.tanh(next_c, out=tanh_c)
            torch.mul(out_gate, tanh_c, out=next_h)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """From `grad_h` to all gradients. Reads `c[0]` as the state before the sequence."""
        in_gate, forget_gate, out_gate, transform = self.gates
        # Each gate gives way to the derivative of c or h by its sum, for all time steps at once.
        tanh_backward(out_gate, self.tanh_c, grad_input=self.dc_by_dh)
        sigmoid_backward(self.tanh_c, out_gate, grad_input=out_gate)
        by_transform = tanh_backward(in_gate, transform, grad_input=self.tanh_c)
        sigmoid_backward(transform, in_gate, grad_input=in_gate)
        transform.copy_(by_transform)
        self.tanh_c.copy_(forget_gate)  # the forget gate itself has no other place from here on
        sigmoid_backward(self.c[:-1], forget_gate, grad_input=forget_gate)

        grad_c = self.grad_c.zero_()
        grad_c_twice = grad_c.unsqueeze(1)  # for the input and the forget gate
        later = None
        for sums, in_and_forget, out_gate, transform, forget_gate, dc_by_dh, grad_h in self._steps_back:
            if later is not None:
                grad_h.addmm_(later, weights.h2h)
            grad_c.addcmul_(grad_h, dc_by_dh)
            out_gate.mul_(grad_h)
            in_and_forget.mul_(grad_c_twice)
            transform.mul_(grad_c)
            grad_c.mul_(forget_gate)
            later = sums
        sum_rows(self.sums, grad_rows, self.ids)


class CompiledSequence(InC, Sequence):
    """In C: lstm_forward and lstm_backward of model/sequence.c."""

    NAME = "lstm"

    def forward_buffers(self) -> tuple[Tensor, ...]:
        """What lstm_forward works on."""
        return self.sums, self.c, self.h, self.tanh_c

    def backward_buffers(self) -> tuple[Tensor, ...]:
        """What lstm_backward works on."""
        return self.sums, self.c, self.tanh_c, self.grad_h, self.grad_c.zero_()

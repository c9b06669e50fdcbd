"""The vanilla recurrent network (the original's model/RNN.lua; Elman 1990).

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
    steps,
    sum_rows,
    tanh_backward,
    transposed,
)

# The state of a layer; the last tensor is also its output.
STATE = ("h",)
GATE_NAMES = ()  # an rnn has no gates


def parameter_shapes(input_size: int, rnn_size: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes in the order of Torch7's flat parameter vector."""
    return {
        "i2h_weight": (rnn_size, input_size),
        "i2h_bias": (rnn_size,),
        "h2h_weight": (rnn_size, rnn_size),
        "h2h_bias": (rnn_size,),
    }


def step(
    x: Tensor, h: Tensor, i2h_weight: Tensor, i2h_bias: Tensor, h2h_weight: Tensor, h2h_bias: Tensor
) -> tuple[Tensor]:
    """Compute one time step, x `[B, I]`, h `[B, H]` → (next_h,): tanh(i2h(x) + h2h(h))."""
    return (torch.tanh(linear(x, i2h_weight, i2h_bias) + linear(h, h2h_weight, h2h_bias)),)


step_with_gates = step  # an rnn has no gates


def advance(
    pre_activations: Array,
    h: Array,
    h2h_weight: Array,
    sigmoid: Callable[[Array], Array],
    tanh: Callable[[Array], Array],
) -> tuple[Array]:
    """Compute one time step of a single sequence, for NumPy arrays or tensors: h `[H]` → (next_h,).

    pre_activations `[H]` are i2h(x) and both biases, without h2h(h). h2h_weight: `[H, H]`.
    """
    return (tanh(pre_activations + h2h_weight @ h),)


class Buffers(Sequence):
    """The buffers of one layer over a whole sequence (see `Sequence`), shared by all backends."""

    GATES = 1  # the output itself


class EagerSequence(Buffers):
    """The passes with PyTorch's operations."""

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        super().__init__(new, ids, T, B, H)
        self._steps = steps(self.pre_activations, self.h[:-1], self.h[1:])
        self._steps_back = steps(self.pre_activations, self.h[1:], self.grad_h)[::-1]

    def forward(self, weights: LayerWeights) -> None:
        """See `Sequence.forward`."""
        add_biases(self.pre_activations, weights, self.ids)
        h2h_transposed = transposed(weights.h2h)
        for pre_activations, h, next_h in self._steps:
            torch.tanh(pre_activations.addmm_(h, h2h_transposed), out=next_h)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """See `Sequence.backward`."""
        later = None  # the gradient by the pre-activations of the next time step
        for grad_pre_activations, next_h, grad_h in self._steps_back:
            if later is not None:
                grad_h.addmm_(later, weights.h2h)
            later = tanh_backward(grad_h, next_h, grad_input=grad_pre_activations)
        sum_rows(self.pre_activations, grad_rows, self.ids)


class CompiledSequence(CompiledPasses, Buffers):
    """The passes in C: rnn_forward and rnn_backward of model/sequence.c."""

    CELL = "rnn"

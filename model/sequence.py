"""What the cells' fast whole-sequence passes share."""

import torch
from torch import Tensor

# (gradient, output, grad_input=result): gradient times the derivative at that output, in one pass over memory.
sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


def steps(*buffers: Tensor) -> list[tuple[Tensor, ...]]:
    """The views of each time step: one tuple for each t, from buffers `[seq_length, ...]`.

    Made once, because a slice costs about as much as the arithmetic on it.
    """
    return list(zip(*(buffer.unbind() for buffer in buffers), strict=True))

"""Vanilla recurrent network (the original's model/RNN.lua; Elman 1990).

H is rnn_size, I the size of the input (vocab_size in the first layer, H above it).
"""

import torch
from torch import Tensor
from torch.nn.functional import linear

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

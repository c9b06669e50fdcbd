"""Long short-term memory (the original's model/LSTM.lua; Zaremba et al. 2014, arXiv:1409.2329, eq. 2-4).

The job of a cell is to turn its input and its state of one step ago into its state now.
H is rnn_size, I the size of the input (vocab_size in the first layer, H above it).
"""

import torch
from torch import Tensor
from torch.nn.functional import linear

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

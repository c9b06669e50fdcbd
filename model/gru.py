"""Gated recurrent unit (the original's model/GRU.lua; Chung et al. 2014, arXiv:1412.3555, eq. 5-8).

The reset gate multiplies h *before* the matrix product. `nn.GRU` and cuDNN multiply after it, which is
another function: their weights and ours are not interchangeable.
H is rnn_size, I the size of the input (vocab_size in the first layer, H above it).
"""

import torch
from torch import Tensor
from torch.nn.functional import linear

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

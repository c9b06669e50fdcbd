"""Clip and update the flat vectors of parameters and gradients `[n]` in place, and compute their norms.

On a CPU with a C compiler this is done in C (model/update.c), with the same bits on every machine, which in double
precision are those of Torch7. Otherwise PyTorch's operations are used, which agree up to rounding. After an update in
C the tensor's version is incremented, so that values derived from it are recomputed.
"""

import math

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from charrnn_port.model.build import library
from charrnn_port.model.compiled import call


def in_c(vector: Tensor) -> bool:
    """Return whether a vector is updated in C, and not by PyTorch."""
    return vector.device.type == "cpu" and library(vector.dtype) is not None


def clip_(vector: Tensor, limit: float) -> None:
    """Clip each number of a vector to [-limit, limit]."""
    if in_c(vector):
        call(vector.dtype, "clip", vector, limit, len(vector))
        increment_version(vector)
    else:
        vector.clamp_(-limit, limit)


def scale_(vector: Tensor, factor: float) -> None:
    """Multiply a vector by a number."""
    if in_c(vector):
        call(vector.dtype, "scale", vector, factor, len(vector))
        increment_version(vector)
    else:
        vector.mul_(factor)


def norms(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Return the Euclidean norms of two vectors of the same length."""
    if not in_c(first):
        return tuple(torch.stack([first.norm(), second.norm()]).tolist())
    result = torch.empty(2, dtype=torch.float64, device="cpu")
    call(first.dtype, "norms", result, first, second, len(first))
    return tuple(result.tolist())


def rmsprop_(
    params: Tensor,
    mean_square: Tensor,
    gradients: Tensor,
    learning_rate: float,
    decay_rate: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """Do a step of RMSprop (Torch's optim/rmsprop.lua).

    mean_square = decay_rate * mean_square + (1 - decay_rate) * gradients²
    params -= learning_rate * gradients / (sqrt(mean_square) + epsilon)
    """
    if in_c(params):
        numbers = learning_rate, decay_rate, epsilon, weight_decay
        call(params.dtype, "rmsprop", params, mean_square, gradients, *numbers, len(params))
        increment_version(params)
        return
    if weight_decay:
        gradients = gradients.add(params, alpha=weight_decay)
    mean_square.mul_(decay_rate).addcmul_(gradients, gradients, value=1 - decay_rate)
    params.addcdiv_(gradients, mean_square.sqrt().add_(epsilon), value=-learning_rate)


def adam_(
    params: Tensor,
    mean: Tensor,
    mean_square: Tensor,
    gradients: Tensor,
    steps: int,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float,
) -> None:
    """Do step number `steps` (from 1) of Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1).

    mean = beta1 * mean + (1 - beta1) * gradients
    mean_square = beta2 * mean_square + (1 - beta2) * gradients²
    params -= learning_rate * (mean / (1 - beta1 ** steps)) / (sqrt(mean_square / (1 - beta2 ** steps)) + epsilon)
    """
    beta1, beta2 = betas
    step_size = learning_rate / (1 - power(beta1, steps))
    root_correction2 = math.sqrt(1 - power(beta2, steps))
    if in_c(params):
        numbers = step_size, beta1, beta2, root_correction2, epsilon, weight_decay
        call(params.dtype, "adam", params, mean, mean_square, gradients, *numbers, len(params))
        increment_version(params)
        return
    if weight_decay:
        gradients = gradients.add(params, alpha=weight_decay)
    mean.lerp_(gradients, 1 - beta1)
    mean_square.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
    params.addcdiv_(mean, mean_square.sqrt().div_(root_correction2).add_(epsilon), value=-step_size)


def power(base: float, exponent: int) -> float:
    """Return base ** exponent, exponent >= 0, by multiplications: the last digits of C's pow depend on the machine."""
    result = 1.0
    while exponent:
        if exponent % 2:
            result *= base
        base *= base
        exponent //= 2
    return result

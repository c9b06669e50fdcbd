"""Put all parameters of a network into one flat vector (the original's util/model_utils.lua)."""

from collections.abc import Iterable

import torch
from torch import Tensor


def flat_parameters(
    shapes: Iterable[tuple[int, ...]], dtype: torch.dtype, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Create parameters that are views of one flat vector, with gradients that are views of another.

    Clipping, RMSprop and checkpoints then work on two vectors, whatever the network's shape.

    Returns `params` `[n]` and `grad_params` `[n]`, both zero and of `dtype`, and one leaf tensor for each shape.
    Autograd accumulates each gradient into its view of `grad_params`.
    """
    shapes = [torch.Size(shape) for shape in shapes]
    sizes = [shape.numel() for shape in shapes]
    params = torch.zeros(sum(sizes), dtype=dtype, device=device)
    grad_params = torch.zeros(sum(sizes), dtype=dtype, device=device)
    parameters = []
    for shape, values, gradient in zip(shapes, params.split(sizes), grad_params.split(sizes), strict=True):
        parameter = values.view(shape).requires_grad_()
        parameter.grad = gradient.view(shape)
        parameters.append(parameter)
    return params, grad_params, parameters

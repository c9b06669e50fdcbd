"""One-hot encoding (the original's util/OneHot.lua)."""

import torch
from torch import Tensor


def one_hot(ids: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Rows of the identity matrix: ids `[...]` int64 in 0..size-1 → `[..., size]` of `dtype`."""
    # The matrix itself would be a GB with ten thousand characters.
    return (ids[..., None] == torch.arange(size, device=ids.device)).to(dtype)

"""One-hot encoding (the original's util/OneHot.lua)."""

import torch
from torch import Tensor


def one_hot(ids: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Return one-hot vectors: ids `[...]` int64 in 0..size-1 → `[..., size]` of `dtype`."""
    # Indexing an identity matrix would need almost a GB for ten thousand characters.
    return (ids[..., None] == torch.arange(size, device=ids.device)).to(dtype)

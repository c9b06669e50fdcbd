"""Maps Torch7's classes of tensors and storages to the types of their elements."""

import re

import numpy as np
import torch
from torch import Tensor

# Torch7's names of element types.
DTYPES = {
    "Byte": np.uint8,
    "Char": np.int8,
    "Short": np.int16,
    "Int": np.int32,
    "Long": np.int64,
    "Half": np.float16,
    "Float": np.float32,
    "Double": np.float64,
}
CLASS = re.compile(rf"torch\.(?:(?:Cuda)?({'|'.join(DTYPES)})|Cuda|Cl)(Tensor|Storage)")


def parse_class(name: str) -> tuple[type, str] | None:
    """Return the element type and `Tensor` or `Storage` for the name of a class, or None for another class."""
    match = CLASS.fullmatch(name)
    return match and (DTYPES[match[1] or "Float"], match[2])


def element_name(tensor: Tensor) -> str:
    """Return Torch7's name of a tensor's element type. Raises TypeError for tensors that Torch7 does not have."""
    if tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.dim():
        for name, dtype in DTYPES.items():
            if str(tensor.dtype) == f"torch.{dtype.__name__}":
                return name
    raise TypeError(f"Torch7 files cannot hold a {tensor.dim()}-dimensional {tensor.dtype} tensor on {tensor.device}")

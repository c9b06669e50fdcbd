"""What the reader and the writer share: tags of objects, element types, the error, and recursion without a limit."""

import re
from types import GeneratorType

import numpy as np
import torch
from torch import Tensor

NIL, NUMBER, STRING, TABLE, TORCH, BOOLEAN, OLD_FUNCTION, LEGACY_FUNCTION, FUNCTION = range(9)  # tags of objects

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


class T7Error(ValueError):
    """The file is corrupt or not a Torch7 file. The message is one line with the offset where reading stopped."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at byte {offset})")
        self.offset = offset


def run(call: object) -> object:
    """Run a recursive generator on an explicit stack and return its result: `yield f(x)` is a call of f, at any depth.

    A call that does not recurse may return its result directly instead of a generator.
    """
    stack, result = [], call
    while True:
        if isinstance(result, GeneratorType):
            stack.append(result)
            result = None
        if not stack:
            return result
        try:
            result = stack[-1].send(result)
        except StopIteration as finished:
            stack.pop()
            result = finished.value

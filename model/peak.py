"""Call model/peak.c: measure the peak arithmetic and memory throughput of the processor, for comparison.

`library(dtype)` of model/build.py must not be None.
"""

import torch
from torch import Tensor

from charrnn_port.model.compiled import call


def multiply_adds(dtype: torch.dtype, rounds: int) -> float:
    """Multiply and add in the registers of all threads. Return the number of operations."""
    operations = torch.zeros(1, dtype=torch.float64)
    call(dtype, "multiply_adds", rounds, operations)
    return operations.item()


def read_all(numbers: Tensor) -> float:
    """Read a contiguous floating-point tensor with all threads. Return its sum."""
    return call(numbers.dtype, "read_all", numbers, numbers.numel())

"""Call model/peak.c: measure the peak arithmetic and memory throughput of the processor, for comparison.

`library(dtype)` of model/build.py must not be None.
"""

import ctypes

import torch
from torch import Tensor

from charrnn_port.model.build import library


def multiply_adds(dtype: torch.dtype, rounds: int) -> float:
    """Multiply and add in the registers of all threads. Return the number of operations."""
    operations = ctypes.c_double()
    library(dtype).multiply_adds(ctypes.c_long(rounds), ctypes.byref(operations))
    return operations.value


def read_all(numbers: Tensor) -> float:
    """Read a contiguous floating-point tensor with all threads. Return its sum."""
    function = library(numbers.dtype).read_all
    function.restype = ctypes.c_double
    return function(ctypes.c_void_p(numbers.data_ptr()), ctypes.c_long(numbers.numel()))

"""Calls of model/peak.c: as much arithmetic, or reading, as the processor can do, to hold speeds against.

As in compiled.py a C compiler is needed: `library(dtype)` of model/build.py is not None.
"""

import ctypes

import torch
from torch import Tensor

from charrnn_port.model.build import library


def multiply_adds(dtype: torch.dtype, rounds: int) -> float:
    """Do multiplications and additions in the registers of all threads, and nothing else; returns how many."""
    operations = ctypes.c_double()
    library(dtype).multiply_adds(ctypes.c_long(rounds), ctypes.byref(operations))
    return operations.value


def read_all(numbers: Tensor) -> float:
    """Read a tensor, contiguous and of a floating-point type, by all threads at once; returns its sum."""
    function = library(numbers.dtype).read_all
    function.restype = ctypes.c_double
    return function(ctypes.c_void_p(numbers.data_ptr()), ctypes.c_long(numbers.numel()))

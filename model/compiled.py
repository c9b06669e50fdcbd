"""model/sequence.c, compiled when it is first needed: in about a third of a second, for this processor.

Where that cannot be had (no C compiler, or one without OpenMP), the cells' passes use PyTorch's operations. `CC` names
the compiler, `cc` if unset; `CC=false` does without.
"""

import ctypes
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from model.sequence import LayerWeights

SOURCE = Path(__file__).with_name("sequence.c")
# Products and sums are rounded one by one. Loops are vectorised only where nobody reads errno or the traps of numbers.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC"]
# Tried in this order: not every compiler knows them all.
FOR_THIS_MACHINE = [["-march=native", "-mprefer-vector-width=512"], ["-march=native"], []]
DEFINES = {torch.float64: ["-DDOUBLE"], torch.float32: []}
PANEL = 32  # an upper bound of WIDTH in product.h


@lru_cache
def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The functions of sequence.c for tensors of this type on a CPU; None where they cannot be had."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    for machine in FOR_THIS_MACHINE:
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder, "sequence.so")
            command = [*compiler, *FLAGS, *machine, *DEFINES[dtype], SOURCE, "-o", result]
            try:
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
                return ctypes.CDLL(str(result))
            except (OSError, subprocess.SubprocessError):
                continue
    return None


def run(name: str, *arguments: Tensor | int | None) -> None:
    """Call a function of sequence.c. Tensors must be contiguous and of one type, ids aside; None becomes NULL."""
    dtype = next(each.dtype for each in arguments if isinstance(each, Tensor) and each.dtype.is_floating_point)
    getattr(library(dtype), name)(*map(convert, arguments))


def copy_transposed(target: Tensor, source: Tensor) -> None:
    """target.copy_(source.T), with all threads. target: `[c, r]`, contiguous; source: `[r, c]`, columns of one."""
    run("transpose", target, source, source.stride(0), *source.shape)


def convert(argument: Tensor | int | None) -> ctypes.c_void_p | ctypes.c_long | None:
    """What a C function gets for an argument."""
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return argument if argument is None else ctypes.c_long(argument)


class InC:
    """What a cell's CompiledSequence adds to its Sequence: the passes of EagerSequence, each by one function in C."""

    def __init__(self, new: Callable[..., Tensor], ids: Tensor | None, T: int, B: int, H: int) -> None:
        super().__init__(new, ids, T, B, H)
        n = self.sums.shape[2]
        self.by_h, self.packed = new(B, n), new(n + 2 * PANEL, H + PANEL)

    def forward(self, weights: LayerWeights) -> None:
        """As EagerSequence's."""
        operands = weights.rows, self.ids, weights.i2h_bias, weights.h2h, weights.h2h_bias, self.packed, self.by_h
        run(f"{self.NAME}_forward", *operands, *self.forward_buffers(), *self.grad_h.shape)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """As EagerSequence's."""
        run(f"{self.NAME}_backward", weights.h2h, self.packed, *self.backward_buffers(), *self.grad_h.shape)
        run("sum_rows", grad_rows.zero_(), self.ids, self.sums, *self.sums.flatten(0, 1).shape)

"""The network: a cell a file, the stack of them in char_rnn.py, and all of it fused in fused.py.

The time steps in C are sequence.c with its headers; build.py compiles them, compiled.py calls them. peak.c, for
benchmarks, is in the same library.
"""

from functools import partial

import torch

from charrnn_port.model.build import built, library
from charrnn_port.model.char_rnn import CELLS, CharRNN
from charrnn_port.model.compiled_char_rnn import CompiledCharRNN
from charrnn_port.model.fused import FusedCharRNN
from charrnn_port.model.kernels import available

# The ways to run the cells: the same numbers, for reading, for TorchScript, for speed on any device, on a CPU and on an
# NVIDIA GPU.
BACKENDS = {
    "plain": CharRNN,
    "script": partial(CharRNN, scripted=True),
    "fused": FusedCharRNN,
    "compiled": CompiledCharRNN,
    "persistent": partial(FusedCharRNN, persistent=True),
}

if __name__ != "charrnn_port.model":  # a second copy beside charrnn_port's would have classes of its own
    raise ImportError(f"import charrnn_port.model, not {__name__}")


def fastest_backend(model: str, dtype: torch.dtype, device: torch.device) -> str:
    """The name of the fastest of them that can be had here for a cell."""
    if device.type == "cpu" and library(dtype) and library(dtype).has_multiply_add():
        return "compiled"
    return "persistent" if hasattr(CELLS[model], "CudaSequence") and available(device) else "fused"


def reason_not_fastest(cell: str, dtype: torch.dtype, device: torch.device) -> str:
    """Return the reason why a CPU runs `cell` instead of the compiled cells, as the end of a sentence, or ""."""
    if cell != "fused" or device.type != "cpu":
        return ""
    if not library(dtype):
        return built(dtype).how
    return "this processor has no fused multiply-add (-cell compiled computes the same bits without it, very slowly)"


def describe_backend(cell: str, dtype: torch.dtype, device: torch.device) -> str:
    """A way to run the cells in words: with their compiler, their type, and the number of threads or the GPU."""
    backend = f"compiled ({built(dtype).how})" if cell == "compiled" else cell
    if device.type == "cpu":
        count = torch.get_num_threads()
        place = f"{count} thread{'s' if count > 1 else ''}"
    else:
        place = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    return f"{backend}, {str(dtype).removeprefix('torch.')}, {place}"

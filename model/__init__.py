"""The network: one file for each cell, their stack in char_rnn.py, and a fused version of the whole in fused.py.

sequence.c and its headers are the cells in C; build.py compiles them, and compiled.py calls them. peak.c, for
benchmarks, is in the same library.
"""

from functools import partial

import torch

from charrnn_port.model.build import built, library
from charrnn_port.model.char_rnn import CELLS, CharRNN
from charrnn_port.model.compiled_char_rnn import CompiledCharRNN
from charrnn_port.model.fused import FusedCharRNN
from charrnn_port.model.kernels import available

# The backends that run the cells, with the same results: for reading, with TorchScript, and for speed on any device, on
# a CPU and on an NVIDIA GPU.
BACKENDS = {
    "plain": CharRNN,
    "script": partial(CharRNN, scripted=True),
    "fused": FusedCharRNN,
    "compiled": CompiledCharRNN,
    "persistent": partial(FusedCharRNN, persistent=True),
}

if __name__ != "charrnn_port.model":  # a second copy would define its classes a second time
    raise ImportError(f"import charrnn_port.model, not {__name__}")


def fastest_backend(model: str, dtype: torch.dtype, device: torch.device) -> str:
    """Return the name of the fastest backend that is available for a cell, dtype and device."""
    cell = CELLS[model]
    compiles = device.type == "cpu" and library(dtype) and library(dtype).has_multiply_add()
    if compiles and hasattr(cell, "CompiledSequence"):
        return "compiled"
    if hasattr(cell, "CudaSequence") and available(device):
        return "persistent"
    return "fused" if hasattr(cell, "EagerSequence") else "plain"


def reason_not_fastest(cell: str, dtype: torch.dtype, device: torch.device) -> str:
    """Return why a CPU runs backend `cell` instead of the compiled cells, as the end of a sentence, or ""."""
    if cell != "fused" or device.type != "cpu":
        return ""
    if not library(dtype):
        return built(dtype).how
    return "this processor has no fused multiply-add (-cell compiled computes the same bits without it, very slowly)"


def describe_backend(cell: str, dtype: torch.dtype, device: torch.device) -> str:
    """Describe a backend: with its compiler, the dtype, and the number of threads or the GPU."""
    backend = f"compiled ({built(dtype).how})" if cell == "compiled" else cell
    if device.type == "cpu":
        count = torch.get_num_threads()
        place = f"{count} thread{'s' if count > 1 else ''}"
    else:
        place = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    return f"{backend}, {str(dtype).removeprefix('torch.')}, {place}"

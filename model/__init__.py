"""The network: a cell a file, the stack of them in char_rnn.py, and all of it fused in fused.py."""

from functools import partial

import torch

from model.char_rnn import CELLS, CharRNN
from model.compiled import library
from model.fused import FusedCharRNN
from model.kernels import available

# The ways to run the cells: the same numbers, for reading, for TorchScript, for speed on any device, on a CPU and on an
# NVIDIA GPU.
NETWORKS = {
    "plain": CharRNN,
    "script": partial(CharRNN, scripted=True),
    "fused": FusedCharRNN,
    "compiled": partial(FusedCharRNN, compiled=True),
    "persistent": partial(FusedCharRNN, persistent=True),
}


def fastest(model: str, dtype: torch.dtype, device: torch.device) -> str:
    """The name of the fastest of them that can be had here for a cell."""
    if device.type == "cpu" and library(dtype):
        return "compiled"
    return "persistent" if hasattr(CELLS[model], "PersistentSequence") and available(device) else "fused"

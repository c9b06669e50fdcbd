"""The network: a cell a file, the stack of them in char_rnn.py, and all of it fused in fused.py."""

from functools import partial

import torch

from model.char_rnn import CharRNN
from model.compiled import library
from model.fused import FusedCharRNN

# The ways to run the cells: the same numbers, for reading, for TorchScript, for speed on any device and on a CPU.
NETWORKS = {
    "plain": CharRNN,
    "script": partial(CharRNN, scripted=True),
    "fused": FusedCharRNN,
    "compiled": partial(FusedCharRNN, compiled=True),
}


def fastest(dtype: torch.dtype, device: torch.device) -> str:
    """The name of the fastest of them that can be had here."""
    return "compiled" if device.type == "cpu" and library(dtype) else "fused"

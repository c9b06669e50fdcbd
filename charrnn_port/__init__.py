"""Karpathy's char-rnn (Lua/Torch7, 2015) in PyTorch, digit for digit: what train.py and sample.py stand on."""

from charrnn_port.checkpoint import load as load_checkpoint
from charrnn_port.sampling import sample_bytes

__all__ = ["load_checkpoint", "sample_bytes"]

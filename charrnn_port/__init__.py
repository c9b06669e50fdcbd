"""Karpathy's char-rnn (Lua/Torch7, 2015) in PyTorch, digit for digit.

    for event in charrnn_port.train(data_dir="data/tinyshakespeare", rnn_size=64):   # see training/events.py
        print(event)
    checkpoint = charrnn_port.load_checkpoint("cv/lm_lstm_epoch26.00_1.3861.t7.pt")   # or one of the Lua original
    text = b"".join(charrnn_port.sample_bytes(checkpoint, length=500, temperature=0.8))

docs/python.md tells more. The names below are imported when first used, so that a program's -help does not wait for
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from charrnn_port.version import __version__

if TYPE_CHECKING:  # for editors, which follow no __getattr__
    from charrnn_port.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
    from charrnn_port.options import SampleOptions, TrainOptions
    from charrnn_port.sampling import Model, Session, sample_bytes
    from charrnn_port.training import train

PLACES = {
    "Checkpoint": "charrnn_port.checkpoints",
    "load_checkpoint": "charrnn_port.checkpoints",
    "save_checkpoint": "charrnn_port.checkpoints",
    "SampleOptions": "charrnn_port.options",
    "TrainOptions": "charrnn_port.options",
    "Model": "charrnn_port.sampling",
    "Session": "charrnn_port.sampling",
    "sample_bytes": "charrnn_port.sampling",
    "train": "charrnn_port.training",
}
__all__ = [
    "Checkpoint",
    "Model",
    "SampleOptions",
    "Session",
    "TrainOptions",
    "__version__",
    "load_checkpoint",
    "sample_bytes",
    "save_checkpoint",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PLACES[name]), name)

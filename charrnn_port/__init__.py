"""A PyTorch port of Karpathy's char-rnn (Lua/Torch7, 2015) that reproduces its digits.

    for event in charrnn_port.train(data_dir="data/tinyshakespeare", rnn_size=64):   # see training/events.py
        print(event)
    checkpoint = charrnn_port.load_checkpoint("cv/lm_lstm_epoch26.00_1.3956.t7.pt")   # or one of the Lua original
    text = b"".join(charrnn_port.sample_bytes(checkpoint, length=500, temperature=0.8))

See docs/python.md for the public API. The names below are imported when first used, so that a program's -help does not
wait for torch.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

from charrnn_port.version import __version__

# In a checkout, model/ and util/ are beside this folder, as in the original. In an installed package they are in it.
if not os.path.exists(os.path.join(__path__[0], "model")):
    __path__.append(os.path.dirname(__path__[0]))

PLACES = {
    "Checkpoint": "charrnn_port.checkpoints",
    "Generator": "charrnn_port.torch7.random",
    "Model": "charrnn_port.sampling",
    "SampleOptions": "charrnn_port.options",
    "Session": "charrnn_port.sampling",
    "TrainOptions": "charrnn_port.options",
    "UserError": "charrnn_port.util.errors",
    "choices": "charrnn_port.sampling",
    "events": "charrnn_port.training",
    "from_pretrained": "charrnn_port.checkpoints",
    "load_checkpoint": "charrnn_port.checkpoints",
    "recorders": "charrnn_port.training",
    "samplers": "charrnn_port.sampling",
    "sample_bytes": "charrnn_port.sampling",
    "save_checkpoint": "charrnn_port.checkpoints",
    "train": "charrnn_port.training",
}
__all__ = [
    "Checkpoint",
    "Generator",
    "Model",
    "SampleOptions",
    "Session",
    "TrainOptions",
    "UserError",
    "__version__",
    "choices",
    "events",
    "from_pretrained",
    "load_checkpoint",
    "recorders",
    "sample_bytes",
    "samplers",
    "save_checkpoint",
    "train",
]

if TYPE_CHECKING:  # for type checkers and editors, which would accept any name with the functions below
    from charrnn_port.checkpoints import Checkpoint, from_pretrained, load_checkpoint, save_checkpoint
    from charrnn_port.options import SampleOptions, TrainOptions
    from charrnn_port.sampling import Model, Session, choices, sample_bytes, samplers
    from charrnn_port.torch7.random import Generator
    from charrnn_port.training import events, recorders, train
    from charrnn_port.util.errors import UserError
else:

    def __getattr__(name: str) -> object:
        if name not in PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(PLACES[name]), name)

    def __dir__() -> list[str]:
        return __all__

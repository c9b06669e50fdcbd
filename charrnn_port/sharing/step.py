"""What the files that hold one time step of a network have in common: its inputs and outputs, and what is told with it.

    ids [batch] int64, state [states, batch, rnn_size]  →  log_probs [batch, vocab_size], next_state

`states` counts those of all layers from the lowest: for an lstm c and h of each. A text begins with zeros.
"""

from typing import Any

import torch

from charrnn_port.checkpoints import Checkpoint, metadata
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.options import ExportOptions
from charrnn_port.util.errors import UserError

INPUTS, OUTPUTS = ("ids", "state"), ("log_probs", "next_state")
NOT_TOLD = ("train_losses", "val_losses")  # as many as there were iterations


def described(checkpoint: Checkpoint) -> dict[str, Any]:
    """The vocabulary, the options and what else is told of a network, by name; and how many `states` it has."""
    states = checkpoint.opt["num_layers"] * len(CELLS[checkpoint.opt["model"]].STATE)
    told = {name: value for name, value in metadata(checkpoint).items() if name not in NOT_TOLD}
    return told | {"states": states}


def precision(options: ExportOptions) -> torch.dtype:
    """The type of weights and of what is computed. Raises UserError for one in which no step is written."""
    if options.weights == "float16":
        raise UserError("-weights float16 is for pages and modules, which compute in float64: take float32")
    return getattr(torch, options.weights)

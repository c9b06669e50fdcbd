"""The interface of exported files that hold one time step (ONNX, .pt2, TorchScript): inputs, outputs and metadata.

    ids [batch] int64, state [states, batch, rnn_size]  →  log_probs [batch, vocab_size], next_state

`states` is the number of state tensors of all layers, from the lowest layer up: c and h of each layer for an lstm, h
for a gru and rnn. The state before a text is zero. Ids below 0 or from vocab_size on are an error.
"""

from typing import Any

import torch

from charrnn_port.checkpoints import Checkpoint, metadata
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.options import ExportOptions
from charrnn_port.util.errors import UserError

INPUTS, OUTPUTS = ("ids", "state"), ("log_probs", "next_state")
OMITTED = ("train_losses", "val_losses")  # too long for metadata: they grow with the number of iterations


def described(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the metadata of a checkpoint without its loss histories, with `states`, the number of state tensors.

    And `separator`, the ids of what ends each of many short texts.
    """
    states = checkpoint.opt["num_layers"] * len(CELLS[checkpoint.opt["model"]].STATE)
    kept = {name: value for name, value in metadata(checkpoint).items() if name not in OMITTED}
    separator = checkpoint.vocab.encode(checkpoint.separator, "the separator")
    return kept | {"states": states, "separator": separator}


def precision(options: ExportOptions) -> torch.dtype:
    """Return the dtype of the weights and of the computation. Raises UserError for float16, which is not supported."""
    if options.weights == "float16":
        raise UserError("-weights float16 is only for .html and .mjs, which compute in float64: use float32")
    return getattr(torch, options.weights)

"""Checkpoints: what a run knows when it saves, on disk as this port, the Lua original or torch-rnn writes it.

For other rooms and programs:

    Checkpoint                              the values (checkpoint.py)
    load_checkpoint(path)                   from a file of any of them, or the best of a folder (folder.py)
    save_checkpoint(checkpoint, path)       to a file of this port, of the original or of safetensors (files.py)
    metadata(checkpoint)                    all but parameters and what a run goes on from, for JSON (named.py)
    is_checkpoint(path)                     whether a file is one, by how it begins
    best_evaluation(val_losses)             the iteration with the lowest validation loss
    fingerprint(params)                     one number for all of a network, to compare networks by
    folder                                  a run's folder of them: names, the latest, which to delete, its lock

Inside: lua.py turns the original's object graph into values and back, torch_rnn.py that of torch-rnn into values,
fields.py checks what is in them, archive.py reads files of torch.save, named.py reads and writes safetensors.
"""

from charrnn_port.checkpoints import folder
from charrnn_port.checkpoints.checkpoint import Checkpoint, best_evaluation, fingerprint
from charrnn_port.checkpoints.files import is_checkpoint, save_checkpoint
from charrnn_port.checkpoints.folder import load_checkpoint
from charrnn_port.checkpoints.named import metadata

__all__ = [
    "Checkpoint",
    "best_evaluation",
    "fingerprint",
    "folder",
    "is_checkpoint",
    "load_checkpoint",
    "metadata",
    "save_checkpoint",
]

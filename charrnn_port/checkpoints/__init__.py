"""Checkpoints: what a run knows when it saves, on disk as this port or as the Lua original writes it.

For other rooms and programs:

    Checkpoint                              the values (checkpoint.py)
    best_evaluation(val_losses)             the iteration with the lowest validation loss
    load_checkpoint(path), save_checkpoint(checkpoint, path)     files of both kinds (files.py)
    folder                                  a run's folder of them: names, the latest, which to delete, its lock

Inside: lua.py turns the original's object graph into values and back, archive.py reads files of torch.save.
"""

from charrnn_port.checkpoints import folder
from charrnn_port.checkpoints.checkpoint import Checkpoint, best_evaluation
from charrnn_port.checkpoints.files import load_checkpoint, save_checkpoint

__all__ = ["Checkpoint", "best_evaluation", "folder", "load_checkpoint", "save_checkpoint"]

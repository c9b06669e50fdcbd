"""Reads and writes checkpoints of this port, the Lua original and torch-rnn.

Public names:

    Checkpoint                              the values of a checkpoint (checkpoint.py)
    load_checkpoint(path)                   read a file of any of these programs, or the best of a folder (folder.py)
    from_pretrained(name)                   the same, where user/repo is a repository of the Hugging Face hub
    save_checkpoint(checkpoint, path)       write a file of this port, of the original, or of safetensors (files.py)
    metadata(checkpoint)                    everything except parameters and training state, for JSON (named.py)
    is_checkpoint(path)                     whether a file begins as a checkpoint does
    require_new_file(option, path, *inputs) raise UserError if writing would replace a checkpoint or a file that is read
    best_evaluation(val_losses)             the iteration with the lowest validation loss
    fingerprint(params)                     a hash of all parameters, to compare networks
    folder                                  a run's folder: file names, the latest checkpoint, deletion, its lock

Internal modules: lua.py converts the original's object graph to values and back, torch_rnn.py converts torch-rnn's to
values, fields.py checks their fields, archive.py reads files of torch.save, named.py reads and writes safetensors.
"""

from charrnn_port.checkpoints import folder
from charrnn_port.checkpoints.checkpoint import Checkpoint, best_evaluation, fingerprint
from charrnn_port.checkpoints.files import is_checkpoint, require_new_file, save_checkpoint
from charrnn_port.checkpoints.folder import from_pretrained, load_checkpoint
from charrnn_port.checkpoints.named import metadata

__all__ = [
    "Checkpoint",
    "best_evaluation",
    "fingerprint",
    "folder",
    "from_pretrained",
    "is_checkpoint",
    "load_checkpoint",
    "metadata",
    "require_new_file",
    "save_checkpoint",
]

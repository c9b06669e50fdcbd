"""Checkpoints on disk: `lm_NAME_epochE_LOSS.t7.pt`.

A file of `torch.save` with plain values and tensors only, so that `torch.load(weights_only=True)` reads it
and no file can run code.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from model import NETWORKS
from model.char_rnn import CharRNN
from util.errors import UserError

FORMAT = "charrnn_port checkpoint 1"


@dataclass
class Checkpoint:
    """What train.py knows when it saves; the names are the original's (there `params` is `protos`)."""

    opt: dict  # the options of the run; rnn_size, num_layers, model and dropout describe the network
    vocab: bytes  # the byte value of each id
    params: Tensor  # flat [n], float64 or float32, see CharRNN
    i: int  # iterations done
    epoch: float
    train_losses: list[float]  # nats per character, one an iteration
    val_losses: dict[int, float]  # by iteration
    val_loss: float  # the last of them

    def build(self, cell: str, dtype: torch.dtype, device: torch.device | str = "cpu") -> CharRNN:
        """The network with these parameters; `cell` is a key of NETWORKS."""
        sizes = [self.opt[name] for name in ("rnn_size", "num_layers")]
        network = NETWORKS[cell](self.opt["model"], len(self.vocab), *sizes, dtype=dtype, device=device)
        network.params.copy_(self.params)
        return network


def save(checkpoint: Checkpoint, path: str | os.PathLike) -> None:
    """Write a checkpoint: aside, flushed to disk, then renamed, so that the name never holds half a file.

    Raises UserError where the disk is full or the folder cannot be written.
    """
    path = Path(path)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            torch.save({"format": FORMAT, **asdict(checkpoint)}, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except (OSError, RuntimeError) as error:  # torch's zip writer reports a full disk as RuntimeError
        raise UserError(f"cannot save {path}: {reason(error)}; earlier checkpoints are untouched") from error
    finally:
        aside.unlink(missing_ok=True)


def load(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint onto the CPU. Raises UserError for a file that is missing, damaged or something else."""
    if not Path(path).is_file():
        raise UserError(f"File {path} does not exist. Are you sure you didn't forget to prepend cv/ ?")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can make the unpickler raise nearly anything
        raise UserError(f"{path} is damaged or not a checkpoint") from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise UserError(f"{path} is not a checkpoint of char-rnn")
    return Checkpoint(**values)


def reason(error: Exception) -> str:
    """Why writing failed, in the operating system's words where it has some."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0]


def require_writable(checkpoint_dir: str | os.PathLike) -> None:
    """Make the folder for checkpoints and try it. Raises UserError now rather than at the first save."""
    folder = Path(checkpoint_dir)
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"cannot write checkpoints to {folder}: {error.strerror}; name another -checkpoint_dir"
        ) from error

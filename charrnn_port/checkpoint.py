"""Checkpoints on disk: ours, `lm_NAME_epochE_LOSS.t7.pt`, and the original's, `lm_NAME_epochE_LOSS.t7`.

Ours are files of `torch.save` with plain values and tensors only, so that `torch.load(weights_only=True)`
reads them and no file can run code.
"""

import os
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from charrnn_port import lua_checkpoint
from charrnn_port.torch7 import t7
from model import NETWORKS
from model.char_rnn import CELLS, CharRNN
from util.errors import UserError
from util.files import written_whole

FORMAT = "charrnn_port checkpoint 1"
ZIP, PICKLE = b"PK\3\4", b"\x80"  # how files of torch.save and of pickle begin
FOLDER = 0x10  # the mark of a folder in a zip file


@dataclass
class Checkpoint:
    """What train.py knows when it saves; the names are the original's (there `params` is `protos`)."""

    opt: dict[str, str | int | float]  # the run's; rnn_size, num_layers, model and dropout describe the network
    vocab: bytes  # the byte value of each id
    params: Tensor  # flat [n], float64 or float32, on the CPU; see CharRNN
    i: int  # iterations done
    epoch: float
    train_losses: list[float]  # nats per character, one an iteration
    val_losses: dict[int, float]  # by iteration
    val_loss: float  # the last of them, NaN before the first
    progress: dict | None = None  # Training.progress(), for -resume; the original's checkpoints have none

    def build(self, cell: str, dtype: torch.dtype, device: torch.device | str = "cpu") -> CharRNN:
        """The network with these parameters; `cell` is a key of NETWORKS."""
        sizes = [self.opt[name] for name in ("rnn_size", "num_layers")]
        network = NETWORKS[cell](self.opt["model"], len(self.vocab), *sizes, dtype=dtype, device=device)
        network.params.copy_(self.params)
        return network

    def require_consistent(self) -> None:
        """Raises ValueError where the values are not what they should be, or do not fit together."""
        kinds = (dict, bytes, Tensor, int, float, list, dict, float, dict | None)
        for (name, value), kind in zip(vars(self).items(), kinds, strict=True):
            if not isinstance(value, kind):
                raise ValueError(f"{name} is a {type(value).__name__}")
        numbers = [*self.train_losses, *self.val_losses.values(), *self.val_losses]
        if not all(isinstance(value, int | float) for value in numbers):
            raise ValueError("not all losses are numbers")
        if not all(isinstance(value, str | int | float) for value in [*self.opt, *self.opt.values()]):
            raise ValueError("opt holds more than strings and numbers")
        if not self.vocab or list(self.vocab) != sorted(set(self.vocab)):
            raise ValueError("vocab is not in ascending order")
        model, rnn_size, num_layers = (self.opt.get(name) for name in ("model", "rnn_size", "num_layers"))
        if model not in CELLS or not all(isinstance(size, int) and size > 0 for size in (rnn_size, num_layers)):
            raise ValueError(f"opt has model {model!r}, rnn_size {rnn_size!r}, num_layers {num_layers!r}")
        if not isinstance(self.opt.get("dropout"), int | float) or not 0 <= self.opt["dropout"] < 1:
            raise ValueError(f"opt has dropout {self.opt.get('dropout')!r}")
        count = parameter_count(model, len(self.vocab), rnn_size, num_layers)
        if self.params.shape != (count,) or self.params.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"params are {self.params.dtype} {list(self.params.shape)}, not {count} numbers")
        if self.progress is not None and not self.progress_fits():
            raise ValueError("progress does not fit the network")

    def progress_fits(self) -> bool:
        """Whether Training.go_on can take up the progress."""
        try:
            shape = torch.Size((self.opt["batch_size"], self.opt["rnn_size"]))
            state, key = self.progress["state"], self.progress["random"]["key"]
            return (
                isinstance(self.progress["learning_rate"], float)
                and self.progress["mean_square"].shape == self.params.shape
                and len(state) == self.opt["num_layers"] * len(CELLS[self.opt["model"]].STATE)
                and all(tensor.shape == shape for tensor in state)
                and len(key) == 624
                and all(0 <= word < 2**32 for word in key)
                and 0 <= self.progress["random"]["pos"] <= 624
            )
        except (KeyError, TypeError, AttributeError):
            return False


def parameter_count(model: str, vocab_size: int, rnn_size: int, num_layers: int) -> int:
    """How many parameters a network has, decoder included."""

    def layer(input_size: int) -> int:
        return sum(torch.Size(shape).numel() for shape in CELLS[model].parameter_shapes(input_size, rnn_size).values())

    return layer(vocab_size) + (num_layers - 1) * layer(rnn_size) + vocab_size * (rnn_size + 1)


def save(checkpoint: Checkpoint, path: str | os.PathLike) -> None:
    """Write a checkpoint whole or not at all: for Torch7 where the name ends in `.t7`, else ours.

    Raises UserError where the disk is full or the folder cannot be written.
    """
    try:
        with written_whole(path) as aside:
            if Path(path).suffix == ".t7":
                t7.save(aside, lua_checkpoint.to_lua(vars(checkpoint)))
            else:
                with aside.open("wb") as file:  # given a name, torch.save would not tell why it failed
                    torch.save({"format": FORMAT, **vars(checkpoint)}, file)
    except (OSError, RuntimeError) as error:  # torch's zip writer raises RuntimeError after the OSError of a full disk
        raise UserError(f"cannot save {path}: {reason(error)}; earlier checkpoints are untouched") from error


def reason(error: Exception) -> str:
    """Why writing failed, in the operating system's words where it has some."""
    for cause in (error, error.__context__):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(error).splitlines()[0]


def load(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint of ours or of the original, told by its content, onto the CPU.

    Raises UserError for a file that is missing, damaged or something else. Runs no code that a file brings.
    """
    try:
        with open(path, "rb") as file:
            begin = file.read(4)
        if begin.startswith(PICKLE):
            raise ValueError("a bare pickle, which may run code and is refused")
        values = load_ours(path) if begin == ZIP else lua_checkpoint.from_lua(t7.load(path))
        checkpoint = Checkpoint(**values)
        checkpoint.require_consistent()
    except FileNotFoundError:
        raise UserError(f"File {path} does not exist. Are you sure you didn't forget to prepend cv/ ?") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged or not a checkpoint: {error}") from error
    return checkpoint


def load_ours(path: str | os.PathLike) -> dict:
    """The values in a `.t7.pt`. Raises ValueError for any other file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what PyTorch finds odd in a damaged file
            with zipfile.ZipFile(path) as archive:  # torch.load verifies no checksums, and reads nothing for a folder
                folders = [record.filename for record in archive.infolist() if record.external_attr & FOLDER]
                damaged = archive.testzip() or ", ".join(folders)
            values = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can make the unpickler raise nearly anything
        if code := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise ValueError(f"a pickle that wants to run {code[1]}, which is refused") from error
        raise ValueError("PyTorch cannot read it") from error
    if damaged:
        raise ValueError(f"{damaged} in it is not what was written")
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise ValueError("a file of PyTorch, but not one that train.py wrote")
    return values

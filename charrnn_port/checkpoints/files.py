"""Checkpoints on disk: ours, `lm_NAME_epochE_LOSS.t7.pt`, and the original's, `lm_NAME_epochE_LOSS.t7`.

Ours are files of `torch.save` with plain values and tensors only, so that `torch.load(weights_only=True)`
reads them and no file can run code. docs/files.md tells what is in them.
"""

import os
import re
import warnings
import zipfile
from pathlib import Path

import torch

from charrnn_port.checkpoints import lua
from charrnn_port.checkpoints.checkpoint import Checkpoint
from charrnn_port.torch7 import t7
from charrnn_port.version import __version__
from util.errors import UserError
from util.files import written_whole
from util.vocabulary import Vocabulary

FORMAT, OLDER_FORMAT = "charrnn_port checkpoint 2", "charrnn_port checkpoint 1"
ZIP, PICKLE = b"PK\3\4", b"\x80"  # how files of torch.save and of pickle begin
FOLDER = 0x10  # the mark of a folder in a zip file


def save_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike) -> None:
    """Write a checkpoint whole or not at all: for Torch7 where the name ends in `.t7`, else ours.

    Raises UserError where the disk is full or the folder cannot be written.
    """
    values = vars(checkpoint) | {"vocab": checkpoint.vocab.symbols, "version": __version__}
    try:
        with written_whole(path) as aside:
            if Path(path).suffix == ".t7":
                if isinstance(values["vocab"], str):
                    raise UserError(f"{path}: the Lua original has single bytes for characters, and cannot hold others")
                t7.save(aside, lua.to_lua(values))
            else:
                with aside.open("wb") as file:  # given a name, torch.save would not tell why it failed
                    torch.save({"format": FORMAT, **values}, file)
    except (OSError, RuntimeError) as error:  # torch's zip writer raises RuntimeError after the OSError of a full disk
        raise UserError(f"cannot save {path}: {reason(error)}; earlier checkpoints are untouched") from error


def load_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint of ours or of the original, told by its content, onto the CPU.

    Raises UserError for a file that is missing, damaged or something else. Runs no code that a file brings.
    """
    try:
        with open(path, "rb") as file:
            begin = file.read(4)
        if begin.startswith(PICKLE):
            raise ValueError("a bare pickle, which may run code and is refused")
        values = read_ours(path) if begin == ZIP else lua.from_lua(t7.load(path))
        if not isinstance(values.get("vocab"), bytes | str):
            raise ValueError(f"vocab is a {type(values.get('vocab')).__name__}")
        checkpoint = Checkpoint(**values | {"vocab": Vocabulary(values["vocab"])})
        checkpoint.require_consistent()
    except FileNotFoundError:
        raise UserError(f"File {path} does not exist. Are you sure you didn't forget to prepend cv/ ?") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged or not a checkpoint: {error}") from error
    return checkpoint


def reason(error: Exception) -> str:
    """Why writing failed, in the operating system's words where it has some."""
    for cause in (error, error.__context__):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(error).splitlines()[0]


def read_ours(path: str | os.PathLike) -> dict:
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
    format_ = values.pop("format", None) if isinstance(values, dict) else None
    if format_ == OLDER_FORMAT:
        return from_older(values)
    if format_ != FORMAT:
        newer = isinstance(format_, str) and format_.startswith(FORMAT[:-1])
        raise ValueError(
            f"{format_}, which a newer charrnn_port wrote"
            if newer
            else "a file of PyTorch, but not one that train.py wrote"
        )
    return values


def from_older(values: dict) -> dict:
    """Those of charrnn_port 0.1, which knew one optimiser only and kept its state among the rest."""
    progress = values.get("progress")
    if isinstance(progress, dict) and {"learning_rate", "mean_square"} <= set(progress):
        rest = {name: value for name, value in progress.items() if name not in ("learning_rate", "mean_square")}
        optimizer = {name: progress[name] for name in ("learning_rate", "mean_square")}
        values["progress"] = {"optimizer": optimizer, "schedule": {}, **rest}
    return values

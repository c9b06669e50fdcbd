"""Checkpoints on disk: ours, `lm_NAME_epochE_LOSS.t7.pt`, the original's, `lm_NAME_epochE_LOSS.t7`, torch-rnn's, and
files of safetensors.

Ours are files of `torch.save` with plain values and tensors only, so that `torch.load(weights_only=True)`
reads them and no file can run code. docs/files.md tells what is in them.
"""

import os
import reprlib
from dataclasses import MISSING, fields
from pathlib import Path

import torch

from charrnn_port.checkpoints import archive, lua, named, torch_rnn
from charrnn_port.checkpoints.checkpoint import Checkpoint
from charrnn_port.torch7 import t7
from charrnn_port.util.errors import UserError
from charrnn_port.util.file_types import CHOOSE, SAFETENSORS, FileTypeError, file_type_of, first_bytes, is_text
from charrnn_port.util.files import atomic_write
from charrnn_port.util.vocabulary import Vocabulary
from charrnn_port.version import __version__

FORMAT, OLDER_FORMAT = "charrnn_port checkpoint 2", "charrnn_port checkpoint 1"
WITH_UNKNOWN = "charrnn_port checkpoint 3"  # `unknown` is in it, which older versions do not know
ZIP, PICKLE = b"PK\3\4", b"\x80"  # how files of torch.save and of pickle begin
ASCII = tuple(b"%d\n" % tag for tag in range(9))  # how the original's ASCII files begin
TABLE = (b"\3\0\0\0\1\0\0\0", b"3\n1\n")  # and its checkpoints, binary and ASCII: a table, the first object


def save_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike) -> None:
    """Write a checkpoint whole or not at all, in the format that the name ends in: `.t7`, `.safetensors`, or else ours.

    Raises UserError where the disk is full, the folder cannot be written, or what the format needs is not installed.
    """
    values = vars(checkpoint) | {"vocab": checkpoint.vocab.symbols, "version": __version__}
    with_unknown = checkpoint.vocab.unknown is not None
    try:
        with atomic_write(path) as temporary:
            if Path(path).suffix == ".t7":
                t7.save(temporary, lua.to_lua(values | {"vocab": single_bytes(checkpoint.vocab, path)}))
            elif Path(path).suffix == ".safetensors":
                named.save(checkpoint, temporary)
            else:
                head = {"format": WITH_UNKNOWN, "unknown": True} if with_unknown else {"format": FORMAT}
                with temporary.open("wb") as file:  # given a name, torch.save would not tell why it failed
                    torch.save(head | values, file)
    except (OSError, RuntimeError) as error:  # torch's zip writer raises RuntimeError after the OSError of a full disk
        raise UserError(f"cannot save {path}: {reason(error)}; earlier checkpoints are untouched") from error


def single_bytes(vocab: Vocabulary, path: str | os.PathLike) -> bytes:
    """The symbols as the original has them. Raises UserError where it could not."""
    symbols = vocab.symbols if isinstance(vocab.symbols, bytes) else vocab.symbols.encode()
    if vocab.unknown is not None:
        raise UserError(f"{path}: the Lua original has no unknown symbol (-min_count), and cannot hold it")
    if len(symbols) > len(vocab):
        raise UserError(
            f"{path}: the Lua original has single bytes for characters, and cannot hold others (-encoding utf-8)"
        )
    return symbols


def load_file(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint of ours, of the original or of torch-rnn, told by its content, onto the CPU.

    Raises UserError for a file that is missing, damaged or something else. Runs no code that a file brings.
    """
    try:
        values = read(path)
        with_unknown = values.pop("unknown", False)
        require_names(values)
        if not isinstance(with_unknown, bool):
            raise ValueError(f"unknown is a {type(with_unknown).__name__}")
        if not isinstance(values["vocab"], bytes | str):
            raise ValueError(f"vocab is a {type(values['vocab']).__name__}")
        checkpoint = Checkpoint(**values | {"vocab": Vocabulary(values["vocab"], with_unknown)})
        checkpoint.require_consistent()
    except FileNotFoundError:
        raise UserError(f"File {path} does not exist. Are you sure you didn't forget to prepend cv/ ?") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except FileTypeError as error:
        raise UserError(f"{path} is {error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged or not a checkpoint: {error}") from error
    return checkpoint


def is_checkpoint(path: str | os.PathLike) -> bool:
    """Whether a file begins as checkpoints do, whole or damaged; a folder counts as one, and what is not there not."""
    try:
        if os.path.isdir(path):
            return True
        begin = first_bytes(path, "a checkpoint")
        return begin.startswith((ZIP, *TABLE)) or file_type_of(begin) is SAFETENSORS
    except (OSError, FileTypeError):
        return False


def reason(error: Exception) -> str:
    """Why writing failed, in the operating system's words where it has some."""
    for cause in (error, error.__context__):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(error).splitlines()[0]


def read(path: str | os.PathLike) -> dict:
    """The values in a checkpoint of any kind. Raises FileTypeError for what is known to be something else."""
    begin = first_bytes(path, "a checkpoint")
    kind = file_type_of(begin)
    if kind is SAFETENSORS:
        return named.load(path)
    if kind:
        raise FileTypeError(f"{kind.what}, not a checkpoint: {kind.to_do}")
    if begin.startswith(PICKLE):
        raise ValueError("a bare pickle, which may run code and is refused")
    if begin.startswith(ZIP):
        return read_ours(path)
    if is_text(begin) and not begin.startswith(ASCII):
        raise ValueError(f"it is plain text; {CHOOSE}")
    value = t7.load(path)
    return torch_rnn.from_torch_rnn(value) if torch_rnn.wrote(value) else lua.from_lua(value)


def require_names(values: dict) -> None:
    """Raises ValueError unless these are a Checkpoint's."""
    names = {field.name: field.default is MISSING for field in fields(Checkpoint)}
    for name, needed in names.items():
        if needed and name not in values:
            raise ValueError(f"{name} is missing")
    for name in values:
        if name not in names:
            raise ValueError(f"it has {reprlib.repr(name)}, which no checkpoint has")


def read_ours(path: str | os.PathLike) -> dict:
    """The values in a `.t7.pt`. Raises ValueError for any other file."""
    values = archive.load(path)
    format_ = values.pop("format", None) if isinstance(values, dict) else None
    if format_ == OLDER_FORMAT:
        return from_older(values)
    if format_ not in (FORMAT, WITH_UNKNOWN):
        newer = isinstance(format_, str) and format_.startswith(FORMAT[:-1])
        raise ValueError(
            f"{archive.shortened(format_)}, which a newer charrnn_port wrote"
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

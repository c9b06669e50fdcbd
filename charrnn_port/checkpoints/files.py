"""Reads and writes checkpoint files: this port's, the Lua original's and safetensors; reads torch-rnn's too.

This port's files, `lm_NAME_epochE_LOSS.t7.pt`, are files of `torch.save` with plain values and tensors only, so that
`torch.load(weights_only=True)` reads them and no file can run code. docs/files.md describes their contents. The
original's are `lm_NAME_epochE_LOSS.t7`.
"""

import os
import reprlib
from dataclasses import MISSING, fields
from pathlib import Path

import torch

from charrnn_port import hub
from charrnn_port.checkpoints import archive, lua, named, torch_rnn
from charrnn_port.checkpoints.checkpoint import Checkpoint
from charrnn_port.torch7 import t7
from charrnn_port.util.byte_pairs import BytePairs
from charrnn_port.util.errors import UserError
from charrnn_port.util.file_types import CHOOSE, SAFETENSORS, FileTypeError, file_type_of, first_bytes, is_text
from charrnn_port.util.files import atomic_write
from charrnn_port.util.vocabulary import Vocabulary
from charrnn_port.version import __version__

FORMAT, OLDER_FORMAT = "charrnn_port checkpoint 2", "charrnn_port checkpoint 1"
WITH_UNKNOWN = "charrnn_port checkpoint 3"  # has `unknown`, or words as `vocab`, which older versions cannot read
ZIP, PICKLE = b"PK\3\4", b"\x80"  # first bytes of files of torch.save and of pickle
ASCII = tuple(b"%d\n" % tag for tag in range(9))  # first bytes of the original's ASCII files
TABLE = (b"\3\0\0\0\1\0\0\0", b"3\n1\n")  # first bytes of its checkpoints: the tag of a table, index 1


def save_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike) -> None:
    """Write a checkpoint atomically. The extension chooses the format: `.t7`, `.safetensors`, else this port's.

    Raises UserError if the disk is full, the folder is not writable, or the format's package is not installed.
    """
    vocab = checkpoint.vocab
    symbols = list(map(list, vocab.merges)) if isinstance(vocab, BytePairs) else vocab.symbols
    values = vars(checkpoint) | {"vocab": list(symbols) if isinstance(symbols, tuple) else symbols}
    values["version"] = __version__
    with_unknown = checkpoint.vocab.unknown is not None
    try:
        with atomic_write(path) as temporary:
            if Path(path).suffix.lower() == ".t7":
                t7.save(temporary, lua.to_lua(values | {"vocab": single_bytes(checkpoint.vocab, path)}))
            elif Path(path).suffix.lower() == ".safetensors":
                named.save(checkpoint, temporary)
            else:
                newer = with_unknown or not vocab.of_characters
                head = {"format": WITH_UNKNOWN, "unknown": with_unknown} if newer else {"format": FORMAT}
                with temporary.open("wb") as file:  # with a path, torch.save would not report why it failed
                    torch.save(head | values, file)
    except (OSError, RuntimeError) as error:  # torch's zip writer raises RuntimeError after the OSError of a full disk
        raise UserError(f"cannot save {path}: {reason(error)}; earlier checkpoints are untouched") from error


def single_bytes(vocab: Vocabulary, path: str | os.PathLike) -> bytes:
    """Return the symbols as bytes, as the original stores them. Raises UserError if it cannot."""
    if not vocab.of_characters:
        raise UserError(f"{path}: .t7 files of the Lua original cannot hold {vocab.kind} (-encoding {vocab.encoding})")
    symbols = vocab.symbols if isinstance(vocab.symbols, bytes) else vocab.symbols.encode()
    if vocab.unknown is not None:
        raise UserError(f"{path}: .t7 files of the Lua original cannot hold an unknown symbol (-min_count)")
    if len(symbols) > len(vocab):
        raise UserError(
            f"{path}: .t7 files of the Lua original cannot hold characters of several bytes (-encoding utf-8)"
        )
    return symbols


def load_file(path: str | os.PathLike) -> Checkpoint:
    """Return the checkpoint in a file of any supported format, detected by its contents, on the CPU.

    Raises UserError for a file that is missing, corrupt or something else. Runs no code from the file.
    """
    try:
        values = read(path)
        with_unknown = values.pop("unknown", False)
        require_names(values)
        if not isinstance(with_unknown, bool):
            raise ValueError(f"unknown is a {type(with_unknown).__name__}")
        checkpoint = Checkpoint(**values | {"vocab": vocabulary_of(values["vocab"], with_unknown)})
        checkpoint.require_consistent()
    except FileNotFoundError:
        raise UserError(f"File {path} does not exist. Are you sure you didn't forget to prepend cv/ ?") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except FileTypeError as error:
        raise UserError(f"{path} is {error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is corrupt or not a checkpoint: {error}") from error
    return checkpoint


def vocabulary_of(symbols: object, with_unknown: bool) -> Vocabulary:
    """Return the vocabulary that is saved as bytes, characters, a list of words, or a list of merges.

    Raises ValueError if it is none of them.
    """
    if isinstance(symbols, bytes | str):
        return Vocabulary(symbols, with_unknown)
    if not isinstance(symbols, list):
        raise ValueError(f"vocab is a {type(symbols).__name__}")
    if symbols and all(isinstance(each, str) for each in symbols):
        return Vocabulary(tuple(symbols), with_unknown)
    if with_unknown or not all(isinstance(each, list) and len(each) == 2 for each in symbols):
        raise ValueError("vocab is a list of neither words nor merges")
    return BytePairs(symbols)


def is_checkpoint(path: str | os.PathLike) -> bool:
    """Return whether a path is a folder, a name on the hub, or a file that begins as a checkpoint does."""
    try:
        if os.path.isdir(path) or hub.is_name(path):
            return True
        begin = first_bytes(path, "a checkpoint")
        return begin.startswith((ZIP, *TABLE)) or file_type_of(begin) is SAFETENSORS
    except (OSError, FileTypeError):
        return False


def require_new_file(option: str, path: str, *inputs: str) -> None:
    """Raise UserError if writing `path` would replace a checkpoint, a folder or one of the files that are read."""
    if is_checkpoint(path):
        raise UserError(f"{option} {path}: cannot overwrite a checkpoint or a folder; name another file")
    if any(os.path.exists(each) and os.path.exists(path) and os.path.samefile(each, path) for each in inputs):
        raise UserError(f"{option} {path}: cannot overwrite a file that is read; name another one")


def reason(error: Exception) -> str:
    """Return why writing failed, with the operating system's message if there is one."""
    for cause in (error, error.__context__):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(error).splitlines()[0]


def read(path: str | os.PathLike) -> dict:
    """Return the values in a checkpoint of any format. Raises FileTypeError for a known other file type."""
    begin = first_bytes(path, "a checkpoint")
    kind = file_type_of(begin)
    if kind is SAFETENSORS:
        return named.load(path)
    if kind:
        raise FileTypeError(f"{kind.what}, not a checkpoint: {kind.to_do}")
    if begin.startswith(PICKLE):
        raise ValueError("a bare pickle is refused, because it may run code")
    if begin.startswith(ZIP):
        return read_ours(path)
    if is_text(begin) and not begin.startswith(ASCII):
        raise ValueError(f"plain text; {CHOOSE}")
    value = t7.load(path)
    return torch_rnn.from_torch_rnn(value) if torch_rnn.wrote(value) else lua.from_lua(value)


def require_names(values: dict) -> None:
    """Raise ValueError unless these are the fields of a Checkpoint."""
    names = {field.name: field.default is MISSING for field in fields(Checkpoint)}
    for name, needed in names.items():
        if needed and name not in values:
            raise ValueError(f"{name} is missing")
    for name in values:
        if name not in names:
            raise ValueError(f"unknown field {reprlib.repr(name)}")


def read_ours(path: str | os.PathLike) -> dict:
    """Return the values in a `.t7.pt` file. Raises ValueError for any other file."""
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
    """Return the current layout of values from charrnn_port 0.1, whose optimizer state was not separate."""
    progress = values.get("progress")
    if isinstance(progress, dict) and {"learning_rate", "mean_square"} <= set(progress):
        rest = {name: value for name, value in progress.items() if name not in ("learning_rate", "mean_square")}
        optimizer = {name: progress[name] for name in ("learning_rate", "mean_square")}
        values["progress"] = {"optimizer": optimizer, "schedule": {}, **rest}
    return values

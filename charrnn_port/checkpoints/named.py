"""Reads and writes checkpoints as safetensors: each parameter by name, and the other values as JSON in the metadata.

Any program that reads safetensors can use the network, and reading the file here is lossless. The training state
(`progress`) is not stored, as in a file for the original. docs/files.md lists the names.
"""

import json
import math
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from charrnn_port.checkpoints.checkpoint import Checkpoint
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.util.byte_pairs import BytePairs
from charrnn_port.util.errors import UserError, how_to_install
from charrnn_port.util.file_types import CHOOSE, FileTypeError
from charrnn_port.version import __version__

FORMAT = "charrnn_port network 1"
VALUES = ("opt", "i", "epoch", "train_losses", "val_losses", "val_loss", "version")


def library() -> ModuleType:
    """Return the module of safetensors. Raises UserError if it is not installed."""
    try:
        import safetensors.torch
    except ImportError:
        raise UserError(f"safetensors is not installed: {how_to_install('export')}") from None
    return safetensors


def metadata(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the values of a checkpoint that JSON can hold, without `params` and `progress`, and the format.

    `vocab` is an object with `encoding`, bytes, utf-8, words or bpe; `symbols`, a list of byte values, a string, a list
    of words, or a list of tokens, each a list of byte values; `unknown`, an id or None; with bpe also `merges`, pairs
    of ids. `val_losses` is a list of pairs of iteration and loss.
    """
    vocab = checkpoint.vocab
    values = {"format": FORMAT} | {name: getattr(checkpoint, name) for name in VALUES}
    values["version"] = __version__
    values["val_losses"] = list(checkpoint.val_losses.items())
    values["vocab"] = {
        "encoding": vocab.encoding,
        "symbols": vocab.symbols if vocab.encoding == "utf-8" else list(vocab.symbols),
        "unknown": vocab.unknown,
    }
    if isinstance(vocab, BytePairs):
        values["vocab"] |= {"symbols": list(map(list, vocab.symbols)), "merges": vocab.merges}
    return values


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write the file. Raises UserError without safetensors, OSError if it cannot be written."""
    sizes = [checkpoint.opt[name] for name in ("model", "rnn_size", "num_layers")]
    shapes = shapes_of(len(checkpoint.vocab), *sizes)
    parts = checkpoint.params.detach().split([math.prod(shape) for shape in shapes.values()])
    tensors = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    texts = {name: json.dumps(value) for name, value in metadata(checkpoint).items()}
    path.write_bytes(library().torch.save(tensors, texts))


def load(path: str | os.PathLike) -> dict[str, Any]:
    """Return the values in a file. Raises ValueError if it is corrupt, FileTypeError if it is of another program."""
    safetensors = library()
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            names = set(file.keys())
            if texts.get("format") != json.dumps(FORMAT):
                if {"decoder.weight", "decoder.bias"} <= names and any(name.startswith("layers.0.") for name in names):
                    raise FileTypeError(
                        "a safetensors file without the metadata of charrnn_port, such as the vocabulary: save it "
                        "again with the metadata of the original file (save_file(tensors, path, metadata=...))"
                    )
                raise FileTypeError(f"a safetensors file of another program, not a checkpoint: {CHOOSE}")
            tensors = {name: file.get_tensor(name) for name in names}
        values = {name: json.loads(texts[name]) for name in VALUES}
        values["val_losses"] = dict(values["val_losses"])
        vocab = json.loads(texts["vocab"])
        symbols, unknown = vocab["symbols"], vocab["unknown"]
        words = isinstance(symbols, list) and all(isinstance(each, str) for each in symbols)
        of_bytes = isinstance(symbols, list) and not words
        values["vocab"] = vocab["merges"] if "merges" in vocab else bytes(symbols) if of_bytes else symbols
        values["unknown"] = unknown is not None
        sizes = [values["opt"][name] for name in ("model", "rnn_size", "num_layers")]
        values["params"] = flat_vector(tensors, len(symbols) + values["unknown"], *sizes)
    except safetensors.SafetensorError as error:
        raise ValueError(f"cannot read the safetensors file ({error})") from None
    except KeyError as error:
        raise ValueError(f"{error} is missing") from None
    except RecursionError:
        raise ValueError("its metadata is nested too deeply") from None
    return values


def shapes_of(vocab_size: int, model: str, rnn_size: int, num_layers: int) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of each parameter, in the order of CharRNN's flat vector."""
    shapes = {}
    for layer in range(num_layers):
        for name, shape in CELLS[model].parameter_shapes(rnn_size if layer else vocab_size, rnn_size).items():
            shapes[f"layers.{layer}.{name}"] = shape
    return shapes | {"decoder.weight": (vocab_size, rnn_size), "decoder.bias": (vocab_size,)}


def flat_vector(tensors: dict[str, Tensor], vocab_size: int, model: str, rnn_size: int, num_layers: int) -> Tensor:
    """Return the parameters as one vector `[n]`. Raises ValueError for wrong names, shapes or types."""
    if not 0 < num_layers <= len(tensors):
        raise ValueError(f"{len(tensors)} tensors are too few for {num_layers} layers")
    shapes = shapes_of(vocab_size, model, rnn_size, num_layers)
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
        raise ValueError(f"its tensors are not those of {num_layers} layers of {model}")
    if len({tensor.dtype for tensor in tensors.values()}) > 1:
        raise ValueError("its tensors are of several types")
    params = torch.cat([tensors[name].flatten() for name in shapes])
    # Another program may have saved them in half precision, of which float32 holds all values.
    return params.float() if params.dtype in (torch.float16, torch.bfloat16) else params

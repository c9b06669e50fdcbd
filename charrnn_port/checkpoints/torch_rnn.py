"""Converts checkpoints of torch-rnn (Justin Johnson's successor of char-rnn, 2016) to plain values.

Its network differs from char-rnn's in two ways, which the conversion expresses in the parameters. Each layer has one
bias: it becomes i2h's, and h2h's is 0. Characters pass through an embedding (nn.LookupTable) before the first layer:
its product with the first layer's input weights becomes the first i2h, with a column for each character.

The file checkpoint_N.json beside it has no model and nothing else that is not in the .t7.
"""

import math
import re
from typing import Any

import torch
from torch import Tensor

from charrnn_port.checkpoints.checkpoint import shown
from charrnn_port.checkpoints.fields import (
    FieldError,
    get,
    number,
    options_in,
    plain,
    reading,
    require_parameters,
    whole,
)
from charrnn_port.torch7.t7 import Table, TorchObject
from charrnn_port.util.file_types import FileTypeError

LAYERS = {"lstm": ("nn.LSTM", 4), "rnn": ("nn.VanillaRNN", 1)}  # class, and number of gates (blocks of columns)
BYTE = re.compile(rb"\[(\d{1,3})\]")  # a byte that is not ASCII, as preprocess.py --encoding bytes writes it


def wrote(value: object) -> bool:
    """Return whether torch-rnn wrote this, judged by the class of its model."""
    model = value.get(b"model") if isinstance(value, Table) else None
    return isinstance(model, TorchObject) and model.class_name == "nn.LanguageModel"


@reading("torch-rnn")
def from_torch_rnn(checkpoint: object) -> dict[str, Any]:
    """Return plain values, as `lua.from_lua` does, from the object that t7.load returns for a torch-rnn checkpoint.

    - `opt`: its options, the network's `model`, `rnn_size`, `num_layers` and `dropout`, and `drawn_from`: float64;
    - `vocab`: str, or bytes if the tokens are those of `--encoding bytes`;
    - `params`: flat `[n]`, always float64, in which the product with the embedding is computed;
    - `epoch`: NaN, because the file does not record the length of an epoch.

    Raises ValueError for missing or invalid fields, FileTypeError for a network with batch normalization.
    """
    model = get(checkpoint, "model", TorchObject)
    opt = {name: plain(get(model, name, float)) for name in ("rnn_size", "num_layers", "dropout")}
    opt["model"] = plain(get(model, "model_type", bytes))
    modules = get(get(model, "net", TorchObject), "modules", Table).sequence()
    vocab = vocabulary(get(model, "idx_to_token", Table))
    val_losses = dict(
        zip(
            map(whole, get(checkpoint, "val_loss_history_it", Table).sequence()),
            map(number, get(checkpoint, "val_loss_history", Table).sequence()),
            strict=False,
        )
    )
    return {
        "opt": options_in(checkpoint) | opt | {"drawn_from": "float64"},
        "vocab": vocab,
        "params": flat_vector(modules, len(vocab), plain(get(model, "wordvec_dim", float)), opt),
        "i": whole(get(checkpoint, "i", float)),
        "epoch": math.nan,
        "train_losses": [number(loss) for loss in get(checkpoint, "train_loss_history", Table).sequence()],
        "val_losses": val_losses,
        "val_loss": next(reversed(val_losses.values()), math.nan),
    }


def vocabulary(table: Table) -> bytes | str:
    """Return the symbols in the order of their ids. Raises FieldError unless these are 1, 2, ..."""
    tokens = table.sequence()
    if not tokens or len(tokens) != len(table) or not all(isinstance(token, bytes) for token in tokens):
        raise FieldError("idx_to_token must number tokens from 1")
    try:
        if any(map(BYTE.fullmatch, tokens)):
            symbols = [bytes([int(byte[1])]) if (byte := BYTE.fullmatch(token)) else token for token in tokens]
        else:
            symbols = [token.decode() for token in tokens]
    except ValueError:
        raise FieldError("idx_to_token has a token that is neither UTF-8 nor a byte") from None
    if not all(len(symbol) == 1 for symbol in symbols):
        raise FieldError("idx_to_token has a token of several characters")
    return symbols[0][:0].join(symbols)


def flat_vector(modules: list, vocab_size: int, wordvec_size: int, opt: dict[str, Any]) -> Tensor:
    """Return the parameters `[n]` in the order of CharRNN's. Raises FieldError for wrong modules or shapes."""
    if "nn.BatchNormalization" in map(kind_of, modules):
        raise FileTypeError(
            "a checkpoint of torch-rnn with batch normalization, which is not supported: train one with -batchnorm 0"
        )
    model, rnn_size, num_layers = (opt[name] for name in ("model", "rnn_size", "num_layers"))
    sizes = (wordvec_size, rnn_size, num_layers)
    if model not in LAYERS or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise FieldError(f"model has {shown(wordvec_dim=wordvec_size, **opt)}")
    layer, blocks = LAYERS[model]
    found = [each for each in modules if kind_of(each) in ("nn.LookupTable", layer, "nn.Linear")]
    if len(found) != num_layers + 2 or kind_of(found[0]) != "nn.LookupTable" or kind_of(found[-1]) != "nn.Linear":
        raise FieldError(f"net has {len(found)} modules with parameters, expected {num_layers} layers of {model}")

    embedding = get(found[0], "weight", Tensor)
    parameters = [get(module, name, Tensor) for module in found[1:] for name in ("weight", "bias")]
    columns = blocks * rnn_size
    shapes = [(vocab_size, wordvec_size), (wordvec_size + rnn_size, columns), (columns,)]
    shapes += [(2 * rnn_size, columns), (columns,)] * (num_layers - 1)
    require_parameters([embedding, *parameters], [*shapes, (vocab_size, rnn_size), (vocab_size,)], model)

    embedding, *parameters = (parameter.double() for parameter in (embedding, *parameters))
    *layers, decoder = zip(parameters[::2], parameters[1::2], strict=True)
    parts: list[Tensor] = []
    for number_of_layer, (weight, bias) in enumerate(layers):
        i2h, h2h = weight[:-rnn_size], weight[-rnn_size:]
        if not number_of_layer:
            i2h = embedding @ i2h
        parts += [i2h.T, bias, h2h.T, torch.zeros_like(bias)]
    return torch.cat([part.flatten() for part in (*parts, *decoder)])


def kind_of(module: object) -> str:
    """Return the class name of a Torch object, or "" for anything else."""
    return module.class_name if isinstance(module, TorchObject) else ""

"""Checkpoints of torch-rnn (Justin Johnson's program after char-rnn, 2016), as the values that ours hold.

Its network is char-rnn's but for two things, and both come out in the parameters. Each layer has one bias: ours is
i2h's, and h2h's is 0. And characters go through an embedding (nn.LookupTable) before the first layer: its product with
the first layer's input weights is our first i2h, a column for each character.

What train.lua writes beside it, checkpoint_N.json, holds no model, and nothing that is not in the .t7.
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

LAYERS = {"lstm": ("nn.LSTM", 4), "rnn": ("nn.VanillaRNN", 1)}  # class, and how many blocks its columns are
BYTE = re.compile(rb"\[(\d{1,3})\]")  # a byte that is not ASCII, as preprocess.py --encoding bytes writes it


def wrote(value: object) -> bool:
    """Whether torch-rnn wrote this, by the class of the model in it."""
    model = value.get(b"model") if isinstance(value, Table) else None
    return isinstance(model, TorchObject) and model.class_name == "nn.LanguageModel"


@reading("torch-rnn")
def from_torch_rnn(checkpoint: object) -> dict[str, Any]:
    """Plain values, as lua.from_lua gives them, from what t7.load gives for a checkpoint of torch-rnn.

    - `opt`: its own, with `model`, `rnn_size`, `num_layers` and `dropout` of the network, and `drawn_from`: float64;
    - `vocab`: str, or bytes where the tokens are those of `--encoding bytes`;
    - `params`: flat `[n]`, always float64, for the product with the embedding is computed in it;
    - `epoch`: NaN, for the file does not tell how long one is.

    Raises ValueError for what is missing or does not fit, FileTypeError for a network with batch normalisation.
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
    """The symbols in the order of their ids, which must be 1, 2, ..."""
    tokens = table.sequence()
    if not tokens or len(tokens) != len(table) or not all(isinstance(token, bytes) for token in tokens):
        raise FieldError("idx_to_token does not number tokens from 1")
    try:
        if any(map(BYTE.fullmatch, tokens)):
            symbols = [bytes([int(byte[1])]) if (byte := BYTE.fullmatch(token)) else token for token in tokens]
        else:
            symbols = [token.decode() for token in tokens]
    except ValueError:
        raise FieldError("idx_to_token has what is neither UTF-8 nor a byte") from None
    if not all(len(symbol) == 1 for symbol in symbols):
        raise FieldError("idx_to_token has more than single characters")
    return symbols[0][:0].join(symbols)


def flat_vector(modules: list, vocab_size: int, wordvec_size: int, opt: dict[str, Any]) -> Tensor:
    """The parameters in the order of CharRNN's, after a look at their shapes."""
    if "nn.BatchNormalization" in map(kind_of, modules):
        raise FileTypeError(
            "a checkpoint of torch-rnn with batch normalisation, which no network here has: train one with -batchnorm 0"
        )
    model, rnn_size, num_layers = (opt[name] for name in ("model", "rnn_size", "num_layers"))
    sizes = (wordvec_size, rnn_size, num_layers)
    if model not in LAYERS or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise FieldError(f"model has {shown(wordvec_dim=wordvec_size, **opt)}")
    layer, blocks = LAYERS[model]
    found = [each for each in modules if kind_of(each) in ("nn.LookupTable", layer, "nn.Linear")]
    if len(found) != num_layers + 2 or kind_of(found[0]) != "nn.LookupTable" or kind_of(found[-1]) != "nn.Linear":
        raise FieldError(f"net has {len(found)} modules with parameters, not those of {num_layers} layers of {model}")

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
    return module.class_name if isinstance(module, TorchObject) else ""

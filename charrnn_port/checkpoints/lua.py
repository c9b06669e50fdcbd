"""Converts between checkpoints of the Lua original and plain values.

The original saves its network as nngraph's object graph: an nn.gModule with nodes, their modules, and in these the
parameters. `from_lua` extracts the parameters; `to_lua` builds the graph, as model/*.lua do with the nngraph, graph and
nn packages of 2017.

`to_lua` leaves out some values that Torch7 saves but does not need:

- `_debugLabel` in the nodes' annotations: the line of Lua that created the node, for error messages and drawings;
- the values of gradWeight and gradBias, zero here: train.lua sets them to zero before every batch;
- the first element of nn.Reshape's batchsize, zero here: undefined until overwritten with the batch size;
- the state of modules that have run (outputs, masks, sums, after -init_from): recomputed when they run.
"""

import math
import reprlib
from typing import Any

import torch
from torch import Tensor

from charrnn_port.checkpoints.checkpoint import shown
from charrnn_port.checkpoints.fields import (
    FieldError,
    encode,
    get,
    number,
    options_in,
    plain,
    reading,
    require_parameters,
    whole,
)
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.torch7.nngraph import apply, empty, g_module, record, split
from charrnn_port.torch7.t7 import Storage, Table, TorchObject
from charrnn_port.util.file_types import CHOOSE, FileTypeError


@reading("char-rnn")
def from_lua(checkpoint: object) -> dict[str, Any]:
    """Return plain values from the object that t7.load returns for a checkpoint of the original, from CPU or GPU.

    - `opt`: dict[str, str | int | float], without values of other types; `dropout` is the network's (with -init_from
      the option may differ);
    - `vocab`: bytes, the character of each id (from 0);
    - `params`: flat `[n]` on the CPU, float64 or float32 as in the file, in nngraph's order, which is CharRNN's;
    - `i`, `epoch`, `train_losses` (list), `val_losses` (dict by iteration), `val_loss`: as in train.lua.

    Linear modules are identified by their order in the graph, because only lstm's have names, and only since September
    2015. Raises ValueError if any of this is missing or invalid, FileTypeError for a known other file type.
    """
    if what := other_program(checkpoint):
        raise FileTypeError(what)
    opt = options_in(checkpoint)
    model, rnn_size, num_layers = (opt.get(name) for name in ("model", "rnn_size", "num_layers"))
    if model not in CELLS or not all(isinstance(size, int) and size > 0 for size in (rnn_size, num_layers)):
        raise FieldError(f"opt has {shown(model=model, rnn_size=rnn_size, num_layers=num_layers)}")
    vocab = vocabulary(get(checkpoint, "vocab", Table))

    network = get(get(checkpoint, "protos", Table), "rnn", TorchObject)
    nodes = get(network, "forwardnodes", Table).sequence()
    modules = [get(node, "data", Table).get(b"module") for node in nodes]
    modules = [module for module in modules if isinstance(module, TorchObject)]
    linear = [module for module in modules if module.class_name == "nn.Linear"]
    dropout = {get(module, "p", float) for module in modules if module.class_name == "nn.Dropout"} or {0.0}
    if len(dropout) > 1 or not 0 <= min(dropout) < 1:
        raise FieldError(f"expected one dropout from 0 to below 1, got {reprlib.repr(sorted(dropout))}")
    return {
        "opt": opt | {"dropout": plain(dropout.pop())},
        "vocab": vocab,
        "params": flat_vector(linear, model, len(vocab), rnn_size, num_layers),
        "i": whole(get(checkpoint, "i", float)),
        "epoch": get(checkpoint, "epoch", float),
        "train_losses": [number(loss) for loss in get(checkpoint, "train_losses", Table).sequence()],
        "val_losses": {whole(i): number(loss) for i, loss in get(checkpoint, "val_losses", Table).items()},
        "val_loss": get(checkpoint, "val_loss", float),
    }


def to_lua(values: dict[str, Any]) -> Table:
    """Return the object that the original would save (for t7.save), from the values that `from_lua` describes.

    All numbers are double and on the CPU. Raises ValueError if `params` does not fit the other values.
    """
    opt, vocab = values["opt"], values["vocab"]
    network = char_rnn(opt["model"], len(vocab), opt["rnn_size"], opt["num_layers"], opt["dropout"])
    fill_linear(network, values["params"])
    criterion = TorchObject(
        "nn.ClassNLLCriterion",
        record(
            sizeAverage=True,
            ignoreIndex=-100,
            output=0,
            gradInput=empty(),
            output_tensor=torch.zeros(1, dtype=torch.float64, device="cpu"),
            total_weight_tensor=torch.ones(1, dtype=torch.float64, device="cpu"),
            target=torch.zeros(1, dtype=torch.int64, device="cpu"),
        ),
    )
    return record(
        protos=record(rnn=network, criterion=criterion),
        opt=record(
            **{
                name: encode(value) if isinstance(value, str) else value
                for name, value in opt.items()
                if name != "drawn_from"  # sample.lua always uses float32
            }
        ),
        vocab=Table((vocab[i : i + 1], i + 1) for i in range(len(vocab))),
        i=values["i"],
        epoch=values["epoch"],
        train_losses=Table(enumerate(values["train_losses"], 1)),
        val_losses=Table(values["val_losses"]),
        val_loss=values["val_loss"],
    )


def other_program(value: object) -> str | None:
    """Return what a Torch7 file is and what to do, if it is known not to be a checkpoint of char-rnn's final layout."""
    if isinstance(value, Tensor) and value.dtype == torch.uint8:
        return f"a text in the format of the Lua original (data.t7), not a checkpoint: {CHOOSE}"
    if not isinstance(value, Table):
        return None
    if value and all(isinstance(name, bytes) and isinstance(id_, float) for name, id_ in value.items()):
        return f"a vocabulary in the format of the Lua original (vocab.t7), not a checkpoint: {CHOOSE}"
    protos = value.get(b"protos")
    if isinstance(protos, Table) and {b"embed", b"softmax"} & set(protos):
        return (
            "a checkpoint that char-rnn wrote before 3 June 2015, in an older layout, which a later sample.lua "
            "cannot read either: train again, or sample with a char-rnn of May 2015"
        )
    return None


def vocabulary(table: Table) -> bytes:
    """Return the characters in the order of their ids. Raises FieldError unless these are 1, 2, ..."""
    characters = {id_: character for character, id_ in table.items()}
    vocab = [characters.get(id_) for id_ in range(1, len(table) + 1)]
    if not vocab or not all(isinstance(character, bytes) and len(character) == 1 for character in vocab):
        raise FieldError("vocab must number single characters from 1")
    return b"".join(vocab)


def flat_vector(linear: list[TorchObject], model: str, vocab_size: int, rnn_size: int, num_layers: int) -> Tensor:
    """Return the parameters of the linear modules as one vector `[n]`. Raises FieldError for wrong shapes."""
    parameters = [get(module, name, Tensor) for module in linear for name in ("weight", "bias")]
    first, other = (CELLS[model].parameter_shapes(size, rnn_size).values() for size in (vocab_size, rnn_size))
    if len(parameters) != len(first) * num_layers + 2:
        raise FieldError(f"{len(linear)} linear modules do not fit {num_layers} layers of {model}")
    shapes = [*first, *(list(other) * (num_layers - 1)), (vocab_size, rnn_size), (vocab_size,)]
    require_parameters(parameters, shapes, model)
    return torch.cat([parameter.flatten() for parameter in parameters])


# The networks of model/LSTM.lua, GRU.lua and RNN.lua.


def add(*inputs: TorchObject) -> TorchObject:
    return apply("nn.CAddTable", *inputs, gradInput=Table())


def multiply(*inputs: TorchObject) -> TorchObject:
    return apply("nn.CMulTable", *inputs, gradInput=Table())


def linear(x: TorchObject, input_size: int, output_size: int, name: str | None = None) -> TorchObject:
    """A linear module; in place of parameters it has their sizes until `fill_linear`."""
    return apply("nn.Linear", x, name=name, weight=(output_size, input_size), bias=(output_size,))


def fill_linear(network: TorchObject, params: Tensor) -> None:
    """Give the linear modules views of a copy of `params` `[n]`, and of zeros for their gradients."""
    modules = [member for member in network.fields[b"modules"].values() if member.class_name == "nn.Linear"]
    count = sum(math.prod(member.fields[name]) for member in modules for name in (b"weight", b"bias"))
    if params.shape != (count,):
        raise ValueError(f"parameters of shape {list(params.shape)} for a network of {count}")
    values = torch.zeros(count, dtype=torch.float64, device="cpu").copy_(params.detach())
    gradients = torch.zeros_like(values)
    place = 0
    for member in modules:
        for name, grad_name in ((b"weight", b"gradWeight"), (b"bias", b"gradBias")):
            size = member.fields[name]
            part = slice(place, place := place + math.prod(size))
            member.fields[name], member.fields[grad_name] = values[part].view(size), gradients[part].view(size)


def lstm(layer: int, x: TorchObject, state: list[TorchObject], input_size: int, rnn_size: int) -> list[TorchObject]:
    prev_c, prev_h = state
    i2h = linear(x, input_size, 4 * rnn_size, f"i2h_{layer}")
    h2h = linear(prev_h, rnn_size, 4 * rnn_size, f"h2h_{layer}")
    reshaped = apply(
        "nn.Reshape",
        add(i2h, h2h),
        size=Storage(torch.tensor([4, rnn_size], device="cpu")),
        batchsize=Storage(torch.tensor([0, 4, rnn_size], device="cpu")),
        nelement=4 * rnn_size,
    )
    parts = split(apply("nn.SplitTable", reshaped, dimension=2), 4)
    in_gate, forget_gate, out_gate = (apply("nn.Sigmoid", part) for part in parts[:3])
    in_transform = apply("nn.Tanh", parts[3])
    next_c = add(multiply(forget_gate, prev_c), multiply(in_gate, in_transform))
    next_h = multiply(out_gate, apply("nn.Tanh", next_c))
    return [next_c, next_h]


def gru(layer: int, x: TorchObject, state: list[TorchObject], input_size: int, rnn_size: int) -> list[TorchObject]:
    (prev_h,) = state
    update_gate, reset_gate = (
        apply("nn.Sigmoid", add(linear(x, input_size, rnn_size), linear(prev_h, rnn_size, rnn_size))) for _ in range(2)
    )
    p2 = linear(multiply(reset_gate, prev_h), rnn_size, rnn_size)
    p1 = linear(x, input_size, rnn_size)
    hidden_candidate = apply("nn.Tanh", add(p1, p2))
    negated = apply("nn.MulConstant", update_gate, constant_scalar=-1, inplace=False)
    kept = apply("nn.AddConstant", negated, constant_scalar=1, inplace=False)
    return [add(multiply(update_gate, hidden_candidate), multiply(kept, prev_h))]


def rnn(layer: int, x: TorchObject, state: list[TorchObject], input_size: int, rnn_size: int) -> list[TorchObject]:
    (prev_h,) = state
    return [apply("nn.Tanh", add(linear(x, input_size, rnn_size), linear(prev_h, rnn_size, rnn_size)))]


LAYERS = {"lstm": lstm, "gru": gru, "rnn": rnn}


def char_rnn(model: str, vocab_size: int, rnn_size: int, num_layers: int, dropout: float) -> TorchObject:
    """Return the gModule of one time step: {x, state of each layer} to {state of each layer, log-probabilities}."""

    def dropped(x: TorchObject) -> TorchObject:
        if not dropout:
            return x
        return apply("nn.Dropout", x, p=dropout, train=True, v2=True, stochastic_inference=False, noise=empty())

    width = len(CELLS[model].STATE)
    inputs = [apply("nn.Identity") for _ in range(1 + num_layers * width)]
    x = apply("OneHot", inputs[0], outputSize=vocab_size, _eye=torch.eye(vocab_size, dtype=torch.float64, device="cpu"))
    input_size, outputs = vocab_size, []
    for layer in range(num_layers):
        state = inputs[1 + layer * width :][:width]
        outputs += LAYERS[model](layer + 1, x, state, input_size, rnn_size)
        x, input_size = dropped(outputs[-1]), rnn_size
    decoder = linear(x, rnn_size, vocab_size, "decoder" if model == "lstm" else None)
    return g_module(inputs, [*outputs, apply("nn.LogSoftMax", decoder)])

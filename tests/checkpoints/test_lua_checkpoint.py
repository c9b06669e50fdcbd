"""Tests that checkpoints of the original, of any version, are read correctly, and that we write the graph that Torch7
saved.

The recordings in recordings/lua_checkpoints are the last checkpoints of some of the runs in torch7.h5.
"""

import math
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import torch
from conftest import RECORDINGS, arguments_of
from t7_helpers import assert_same_graph, mutate
from torch import Tensor

from charrnn_port.checkpoints.lua import from_lua, to_lua
from charrnn_port.model.char_rnn import CELLS, CharRNN
from charrnn_port.torch7.t7 import T7Error, Table, TorchObject, load, save

RECORDED = sorted(path.stem for path in (RECORDINGS / "lua_checkpoints").glob("*.t7"))
MUTATIONS = int(os.environ.get("T7_MUTATIONS", "100"))

# What to_lua leaves out or replaces. The docstring of lua.py says why Torch7 does not need it.
LEFT_OUT = frozenset([b"_debugLabel"])
OTHER_VALUES = frozenset([b"gradWeight", b"gradBias", b"batchsize"])


def recorded(name: str) -> Table:
    return load(RECORDINGS / "lua_checkpoints" / f"{name}.t7")


def modules(checkpoint: Table, class_name: str) -> list[TorchObject]:
    network = checkpoint[b"protos"][b"rnn"].fields
    return [module for module in network[b"modules"].sequence() if module.class_name == class_name]


def graph_nodes(checkpoint: Table) -> list[TorchObject]:
    return checkpoint[b"protos"][b"rnn"].fields[b"forwardnodes"].sequence()


def made(model: str = "lstm", num_layers: int = 2, dropout: float = 0.25, rnn_size: int = 3) -> dict:
    """Return plain values of a checkpoint with a vocabulary of four characters."""
    params = CharRNN(model, 4, rnn_size, num_layers).params
    return {
        "opt": {"model": model, "rnn_size": rnn_size, "num_layers": num_layers, "dropout": dropout, "data_dir": "dätä"},
        "vocab": b"\n ab",
        "params": torch.arange(len(params), dtype=torch.float64),
        "i": 3,
        "epoch": 0.75,
        "train_losses": [1.5, 1.25, 1.0],
        "val_losses": {2: 1.125, 3: float("inf")},
        "val_loss": float("inf"),
    }


def assert_same_values(ours: dict, theirs: dict) -> None:
    assert ours | {"params": None} == theirs | {"params": None}
    assert ours["params"].dtype == theirs["params"].dtype
    assert torch.equal(ours["params"], theirs["params"])


# Reading


@pytest.mark.parametrize("name", RECORDED)
def test_values_are_those_of_the_run(name: str, recordings: h5py.File):
    run, values = recordings["runs"][name], from_lua(recorded(name))
    stdout = run["stdout"][()].tobytes().decode()
    arguments = arguments_of(run)
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        assert str(values["opt"][option.removeprefix("-")]) == value
    assert values["opt"]["learning_rate"] == 0.002
    assert type(values["opt"]["seed"]) is int
    assert values["opt"]["init_from"] == ""
    assert values["vocab"] == bytes(sorted(set((RECORDINGS / "play" / "input.txt").read_bytes())))
    assert (values["i"], values["epoch"]) == (285, 0.3)
    assert [f"{loss:.8f}" for loss in values["train_losses"]] == re.findall(r"train_loss = (\S+),", stdout)
    assert sorted(values["val_losses"]) == [100, 200, 285]
    assert values["val_loss"] == values["val_losses"][285]
    assert run.attrs["checkpoints"][-1] == f"lm_lstm_epoch0.30_{values['val_loss']:.4f}.t7"


@pytest.mark.parametrize("name", RECORDED)
def test_parameters_are_those_of_the_linear_modules(name: str):
    """The recorded modules are contiguous views of one vector, in the order of `params`."""
    checkpoint = recorded(name)
    values = from_lua(checkpoint)
    weight = modules(checkpoint, "nn.Linear")[0].fields[b"weight"]
    whole = torch.empty(0, dtype=torch.float64).set_(weight.untyped_storage())
    assert torch.equal(values["params"], whole)
    opt = values["opt"]
    assert values["params"].shape == CharRNN(opt["model"], 60, opt["rnn_size"], opt["num_layers"]).params.shape


def test_parameters_that_share_no_storage():
    checkpoint = recorded("gru")
    expected = from_lua(checkpoint)
    for module in modules(checkpoint, "nn.Linear"):
        module.fields[b"weight"] = module.fields[b"weight"].t().clone().t()
        module.fields[b"bias"] = module.fields[b"bias"].clone()
    assert_same_values(from_lua(checkpoint), expected)


@pytest.mark.parametrize("name", RECORDED)
def test_nodes_without_names(name: str):
    """Before September 2015 lstm's nodes had no names; the other models' never had."""
    checkpoint = recorded(name)
    expected = from_lua(checkpoint)
    for node in graph_nodes(checkpoint):
        node.fields[b"data"][b"annotations"].pop(b"name", None)
    assert_same_values(from_lua(checkpoint), expected)


def test_gates_by_narrow():
    """Before July 2015 lstm split its gates with other modules, around the same linear ones."""
    checkpoint = recorded("lstm")
    expected = from_lua(checkpoint)
    for node in graph_nodes(checkpoint):
        module = node.fields[b"data"].get(b"module")
        if module and module.class_name in ("nn.Reshape", "nn.SplitTable"):
            module.class_name = "nn.Narrow"
    assert_same_values(from_lua(checkpoint), expected)


def test_dropout_is_that_of_the_network():
    """A run with -init_from keeps the checkpoint's dropout, regardless of its own option."""
    checkpoint = recorded("lstm_dropout")
    assert from_lua(checkpoint)["opt"]["dropout"] == 0.5
    checkpoint[b"opt"][b"dropout"] = 0.1
    assert from_lua(checkpoint)["opt"]["dropout"] == 0.5
    checkpoint = recorded("lstm")
    checkpoint[b"opt"][b"dropout"] = 0.1
    assert from_lua(checkpoint)["opt"]["dropout"] == 0


def test_options_that_are_neither_text_nor_number():
    """They are left out, and so are those without a name."""
    checkpoint = recorded("rnn")
    expected = from_lua(checkpoint)
    checkpoint[b"opt"].update({b"table": Table(), b"flag": True, b"tensor": torch.zeros(1), 1.0: b"text"})
    assert_same_values(from_lua(checkpoint), expected)


@pytest.mark.parametrize("model", CELLS)
def test_float_files_from_cuda(model: str, tmp_path: Path):
    values = made(model)
    checkpoint = to_lua(values)
    for module in modules(checkpoint, "nn.Linear"):
        for name in (b"weight", b"bias"):
            module.fields[name] = module.fields[name].float()
    path = tmp_path / "float.t7"
    save(path, checkpoint)
    for kind in (b"Tensor", b"Storage"):
        cpu, cuda = b"torch.Float" + kind, b"torch.Cuda" + kind
        old, new = (len(name).to_bytes(4, "little") + name for name in (cpu, cuda))
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))
    assert_same_values(from_lua(load(path)), values | {"params": values["params"].float()})


# Writing


@pytest.mark.parametrize("name", RECORDED)
def test_writes_the_recorded_graph(name: str, tmp_path: Path):
    """The graphs are compared node by node; writing and reading changes nothing."""
    original = recorded(name)
    save(tmp_path / "ours.t7", to_lua(from_lua(original)))
    ours = load(tmp_path / "ours.t7")
    assert_same_graph(ours, original, LEFT_OUT, OTHER_VALUES)
    assert_same_values(from_lua(ours), from_lua(original))


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_left_out_or_other(name: str):
    original, ours = recorded(name), to_lua(from_lua(recorded(name)))
    for node in graph_nodes(original):
        assert node.fields[b"data"][b"annotations"][b"_debugLabel"].startswith(b"[")
    for node in graph_nodes(ours):
        assert b"_debugLabel" not in node.fields[b"data"][b"annotations"]
    for theirs, mine in zip(modules(original, "nn.Linear"), modules(ours, "nn.Linear"), strict=True):
        assert torch.count_nonzero(theirs.fields[b"gradWeight"]) > 0
        assert torch.count_nonzero(mine.fields[b"gradWeight"]) == torch.count_nonzero(mine.fields[b"gradBias"]) == 0
    for theirs, mine in zip(modules(original, "nn.Reshape"), modules(ours, "nn.Reshape"), strict=True):
        assert theirs.fields[b"batchsize"].values.tolist()[1:] == mine.fields[b"batchsize"].values.tolist()[1:]


def test_the_comparison_sees_a_difference():
    """The comparison above must detect a difference in an edge, a field, an element, a shared table or a key."""
    expected = recorded("rnn")

    def changed(change: Callable[[Table], object]) -> Table:
        checkpoint = recorded("rnn")
        change(checkpoint[b"protos"][b"rnn"].fields)
        return checkpoint

    def swap_ends(network: Table) -> None:
        edge = network[b"fg"].fields[b"edges"][5].fields
        edge[b"from"], edge[b"to"] = edge[b"to"], edge[b"from"]

    def unshare_data(network: Table) -> None:
        node = network[b"forwardnodes"][8].fields
        node[b"data"] = Table(node[b"data"])

    def unmap(network: Table) -> None:
        table = network[b"outnode"].fields[b"data"][b"mapindex"]
        table[table[1]] = 2.0

    changes = [
        swap_ends,
        unshare_data,
        unmap,
        lambda network: network.pop(b"nInputs"),
        lambda network: network[b"modules"][3].fields[b"weight"].view(-1)[7].zero_(),
        lambda network: network[b"innode"].fields.update({b"id": 19.0}),
        lambda network: network[b"outnode"].fields[b"data"][b"reverseMap"].update({network[b"outnode"]: True}),
    ]
    assert_same_graph(changed(lambda network: None), expected)
    for change in changes:
        with pytest.raises(AssertionError):
            assert_same_graph(changed(change), expected, LEFT_OUT, OTHER_VALUES)


@pytest.mark.parametrize("model", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2, 5])
@pytest.mark.parametrize("dropout", [0, 0.25])
def test_values_come_back(model: str, num_layers: int, dropout: float, tmp_path: Path):
    values = made(model, num_layers, dropout)
    save(tmp_path / "ours.t7", to_lua(values))
    assert_same_values(from_lua(load(tmp_path / "ours.t7")), values)


def test_network_deeper_than_python_recurses():
    checkpoint = to_lua(made(num_layers=120))
    assert len(graph_nodes(checkpoint)) > 2 * sys.getrecursionlimit()
    assert len(modules(checkpoint, "nn.Linear")) == 241


def test_float_parameters_become_double(tmp_path: Path):
    values = made() | {"params": made()["params"].float()}
    save(tmp_path / "ours.t7", to_lua(values))
    assert_same_values(from_lua(load(tmp_path / "ours.t7")), made())


def test_parameters_are_copied():
    values = made()
    checkpoint = to_lua(values)
    values["params"].zero_()
    assert modules(checkpoint, "nn.Linear")[0].fields[b"weight"].count_nonzero() > 0


def test_parameters_that_do_not_fit():
    with pytest.raises(ValueError, match=r"^parameters of shape \[3\] for a network of 220$"):
        to_lua(made() | {"params": torch.zeros(3)})


# Files that are not a checkpoint of char-rnn


def replace(*path: bytes, by: object) -> Callable[[Table], None]:
    """Put another value, or nothing, at a path of fields."""

    def change(checkpoint: Table) -> None:
        for name in path[:-1]:
            checkpoint = checkpoint.fields[name] if isinstance(checkpoint, TorchObject) else checkpoint[name]
        fields = checkpoint.fields if isinstance(checkpoint, TorchObject) else checkpoint
        if by is None:
            del fields[path[-1]]
        else:
            fields[path[-1]] = by

    return change


def each_linear(name: bytes, by: Callable[[Tensor], object]) -> Callable[[Table], None]:
    def change(checkpoint: Table) -> None:
        for module in modules(checkpoint, "nn.Linear"):
            module.fields[name] = by(module.fields[name])

    return change


def expand_everything(checkpoint: Table) -> None:
    for module in modules(checkpoint, "nn.Linear"):
        for name in (b"weight", b"bias"):
            module.fields[name] = torch.zeros(1, dtype=torch.float64).expand(module.fields[name].shape)


def with_dropout(*probabilities: float) -> Callable[[Table], None]:
    def change(checkpoint: Table) -> None:
        for module, probability in zip(modules(checkpoint, "nn.Dropout"), probabilities, strict=True):
            module.fields[b"p"] = probability

    return change


MALFORMED = {
    "no opt": (replace(b"opt", by=None), "opt is missing"),
    "opt a number": (replace(b"opt", by=1.0), "opt is a float"),
    "no model": (replace(b"opt", b"model", by=None), "model None"),
    "unknown model": (replace(b"opt", b"model", by=b"tcn"), "model 'tcn'"),
    "half a layer": (replace(b"opt", b"num_layers", by=1.5), "num_layers 1.5"),
    "rnn_size a string": (replace(b"opt", b"rnn_size", by=b"3"), "rnn_size '3'"),
    "other rnn_size": (replace(b"opt", b"rnn_size", by=4.0), r"parameters of size \(12, 4\) where lstm has \(16, 4\)"),
    "no layers": (replace(b"opt", b"num_layers", by=0.0), "num_layers 0"),
    "negative layers": (replace(b"opt", b"num_layers", by=-1.0), "num_layers -1"),
    "more layers": (replace(b"opt", b"num_layers", by=3.0), "5 linear modules do not fit 3 layers"),
    "endless layers": (replace(b"opt", b"num_layers", by=1e18), "linear modules do not fit"),
    "endless rnn_size": (replace(b"opt", b"rnn_size", by=1e300), "parameters of size"),
    "another model": (replace(b"opt", b"model", by=b"gru"), "do not fit 2 layers of gru"),
    "no vocab": (replace(b"vocab", by=None), "vocab is missing"),
    "empty vocab": (replace(b"vocab", by=Table()), "vocab must number single characters from 1"),
    "vocab with a gap": (replace(b"vocab", b"a", by=7.0), "vocab must number"),
    "vocab with an id twice": (replace(b"vocab", b"a", by=1.0), "vocab must number"),
    "vocab of words": (replace(b"vocab", by=Table({b"to": 1.0, b"be": 2.0})), "vocab must number"),
    "vocab of numbers": (replace(b"vocab", by=Table({1.0: 1.0})), "vocab must number"),
    "larger vocab": (replace(b"vocab", b"z", by=5.0), r"parameters of size \(12, 4\) where lstm has \(12, 5\)"),
    "no protos": (replace(b"protos", by=None), "protos is missing"),
    "no network": (replace(b"protos", b"rnn", by=None), "rnn is missing"),
    "network a table": (replace(b"protos", b"rnn", by=Table()), "rnn is a Table"),
    "no nodes": (replace(b"protos", b"rnn", b"forwardnodes", by=None), "forwardnodes is missing"),
    "empty nodes": (replace(b"protos", b"rnn", b"forwardnodes", by=Table()), "0 linear modules"),
    "nodes that are numbers": (replace(b"protos", b"rnn", b"forwardnodes", by=Table({1: 1.0})), "data is missing"),
    "no bias": (each_linear(b"bias", lambda bias: True), "bias is a bool"),
    "transposed": (each_linear(b"weight", lambda weight: weight.t()), "parameters of size"),
    "half floats": (each_linear(b"weight", lambda weight: weight.half()), "must be all double or all float"),
    "float and double": (each_linear(b"bias", lambda bias: bias.float()), "must be all double or all float"),
    "expanded": (expand_everything, "the parameters overlap"),
    "different dropout": (with_dropout(0.25, 0.75), r"one dropout from 0 to below 1, got \[0.25, 0.75\]"),
    "all dropped": (with_dropout(1.0, 1.0), r"one dropout from 0 to below 1, got \[1.0\]"),
    "dropout NaN": (with_dropout(math.nan, math.nan), r"one dropout from 0 to below 1, got \[nan\]"),
    "no i": (replace(b"i", by=None), "i is missing"),
    "half an iteration": (replace(b"i", by=0.5), "an iteration is 0.5"),
    "no epoch": (replace(b"epoch", by=None), "epoch is missing"),
    "no train_losses": (replace(b"train_losses", by=None), "train_losses is missing"),
    "train_losses of strings": (replace(b"train_losses", by=Table({1: b"x"})), "a loss is a bytes"),
    "val_losses by name": (replace(b"val_losses", by=Table({b"x": 1.0})), "an iteration is b'x'"),
    "val_loss true": (replace(b"val_loss", by=True), "val_loss is a bool"),
}


@pytest.mark.parametrize(("change", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_checkpoints_are_refused(change: Callable, message: str, tmp_path: Path):
    checkpoint = loaded_again(to_lua(made()))
    change(checkpoint)
    with pytest.raises(ValueError, match=f"^not a checkpoint of char-rnn: .*{message}[^\n]*$"):
        from_lua(checkpoint)


@pytest.mark.parametrize("value", [None, 1.0, b"text", True, Table(), TorchObject("nn.Linear"), torch.zeros(3)])
def test_other_objects_are_refused(value: object):
    with pytest.raises(ValueError, match=r"^not a checkpoint of char-rnn: opt is missing$"):
        from_lua(value)


def test_mutated_at_random(tmp_path: Path):
    """Each file gives values or one clear error, quickly.

    More of them: T7_MUTATIONS=100000 pytest tests/checkpoints/test_lua_checkpoint.py -k mutated.
    """
    path = tmp_path / "mutated.t7"
    contents = []
    for model in CELLS:
        save(path, to_lua(made(model, num_layers=1)))
        contents.append(path.read_bytes())
    errors = []
    for seed in range(MUTATIONS):
        path.write_bytes(mutate(random.Random(seed).choice(contents), random.Random(seed)))
        began = time.process_time()
        try:
            from_lua(load(path))
        except ValueError as error:
            errors.append(error)
        assert time.process_time() - began < 1
    assert 0 < len(errors) < MUTATIONS
    others = [str(error) for error in errors if not isinstance(error, T7Error)]
    assert all(re.fullmatch("not a checkpoint of char-rnn: .*", message) for message in others)


def loaded_again(checkpoint: Table) -> Table:
    """Return the values after writing and reading, with numbers of the types that reading gives."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder, "checkpoint.t7"), checkpoint)
        return load(Path(folder, "checkpoint.t7"))

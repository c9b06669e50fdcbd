"""Tests that writing and reading safetensors is lossless, and that other files are refused with a one-line error."""

import json
import math
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RECORDINGS, REFERENCE, run_sample
from safetensors import safe_open
from safetensors.torch import save_file
from t7_helpers import mutate

import charrnn_port
from charrnn_port.checkpoints import Checkpoint, is_checkpoint
from charrnn_port.model.char_rnn import CELLS, CharRNN
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

LUA = RECORDINGS / "lua_checkpoints"
CHECKPOINTS = [*sorted(LUA.glob("*.t7")), *sorted((REFERENCE / "torch_rnn").glob("*.t7"))]
CHECKPOINTS.append(REFERENCE / "checkpoints/charrnn_port_0.1.t7.pt")


def assert_same(ours: Checkpoint, theirs: Checkpoint) -> None:
    """Assert that all stored values are equal, with NaN equal to itself, and that numbers have the same types."""
    for name in ("opt", "vocab", "i", "epoch", "train_losses", "val_losses", "val_loss"):
        assert repr(getattr(ours, name)) == repr(getattr(theirs, name))
    assert ours.params.dtype == theirs.params.dtype
    assert torch.equal(ours.params, theirs.params)
    assert ours.progress is None


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.name)
def test_there_and_back(path, tmp_path):
    saved = charrnn_port.load_checkpoint(path)
    charrnn_port.save_checkpoint(saved, tmp_path / "lm.safetensors")
    assert is_checkpoint(tmp_path / "lm.safetensors")
    assert_same(charrnn_port.load_checkpoint(tmp_path / "lm.safetensors"), saved)


def made(model: str = "lstm", symbols: bytes | str = "\n\x00é文", with_unknown: bool = True) -> Checkpoint:
    vocab = Vocabulary(symbols, with_unknown)
    network = CharRNN(model, len(vocab), 3, 2, dtype=torch.float32)
    network.params.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    opt = {"model": model, "rnn_size": 3, "num_layers": 2, "dropout": 0.5, "data_dir": "d\udce4tä\n", "seed": 2**40}
    losses = [1 / 3, math.inf, math.nan]
    return Checkpoint(opt, vocab, network.params.detach().clone(), 3, 0.1, losses, {2: math.nan, 3: 0.1}, math.nan)


@pytest.mark.parametrize(
    ("symbols", "unknown"), [("\n\x00é文", True), ("ab", False), (bytes(range(255, -1, -1)), False)]
)
@pytest.mark.parametrize("model", CELLS)
def test_values_of_any_kind(model, symbols, unknown, tmp_path):
    """An invalid UTF-8 path, NaN losses, all bytes, an unknown symbol, single precision."""
    saved = made(model, symbols, unknown)
    charrnn_port.save_checkpoint(saved, tmp_path / "lm.safetensors")
    assert_same(charrnn_port.load_checkpoint(tmp_path / "lm.safetensors"), saved)


def test_parameters_by_name(tmp_path):
    saved = made()
    charrnn_port.save_checkpoint(saved, tmp_path / "lm.safetensors")
    network = saved.build("plain", torch.float32)
    with safe_open(tmp_path / "lm.safetensors", framework="numpy") as file:
        for index, layer in enumerate(network.layers):
            for name, parameter in layer.items():
                assert np.array_equal(file.get_tensor(f"layers.{index}.{name}"), parameter.detach().numpy())
        for name, parameter in network.decoder.items():
            assert np.array_equal(file.get_tensor(f"decoder.{name}"), parameter.detach().numpy())
        assert len(file.keys()) == 10


def test_the_same_text(tmp_path):
    charrnn_port.save_checkpoint(charrnn_port.load_checkpoint(LUA / "gru.t7"), tmp_path / "lm.safetensors")
    arguments = ["-length", 100, "-temperature", 0.5]
    assert run_sample(tmp_path / "lm.safetensors", *arguments).output == run_sample(LUA / "gru.t7", *arguments).output


def test_in_a_folder(tmp_path):
    """It is one of the folder's checkpoints, after the file that it was made from; a file of another program is not."""
    save_file({"weight": torch.zeros(2)}, tmp_path / "another.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x08")
    with pytest.raises(UserError, match="has no valid checkpoint"):
        charrnn_port.load_checkpoint(tmp_path)
    saved, said = made(), []
    saved.val_losses, saved.val_loss = {3: 1.25}, 1.25
    charrnn_port.save_checkpoint(saved, tmp_path / "lm.safetensors")
    assert_same(charrnn_port.load_checkpoint(tmp_path, said.append), saved)
    charrnn_port.save_checkpoint(saved, tmp_path / "lm.t7.pt")
    charrnn_port.load_checkpoint(tmp_path, said.append)
    assert said == [f"loading {tmp_path / name}, the best in {tmp_path}" for name in ("lm.safetensors", "lm.t7.pt")]


# Other files, and corrupt ones


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        charrnn_port.load_checkpoint(path)
    message = str(caught.value).removeprefix(f"{path} is ")
    assert len(message) < 400
    assert "\n" not in message
    return message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_saved_again_in_half_precision(dtype, tmp_path):
    """The parameters are read as float32, which holds all values of both types."""
    saved = made()
    charrnn_port.save_checkpoint(saved, tmp_path / "lm.safetensors")
    with safe_open(tmp_path / "lm.safetensors", "pt") as file:
        half = {name: file.get_tensor(name).to(dtype) for name in file.keys()}  # noqa: SIM118
        save_file(half, tmp_path / "half.safetensors", file.metadata())
    read = charrnn_port.load_checkpoint(tmp_path / "half.safetensors")
    assert read.params.dtype == torch.float32
    assert torch.equal(read.params, saved.params.to(dtype).float())
    save_file(half, tmp_path / "half.safetensors")
    assert refusal(tmp_path / "half.safetensors") == (
        "a safetensors file without the metadata of charrnn_port, such as the vocabulary: save it again with the "
        "metadata of the original file (save_file(tensors, path, metadata=...))"
    )


def test_of_another_program(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert refusal(tmp_path / "other.safetensors").startswith("a safetensors file of another program, not a checkpoint")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", {"format": "pt"})
    assert refusal(tmp_path / "other.safetensors").startswith("a safetensors file of another program, not a checkpoint")


def changed(folder: Path, tensors: dict | None = None, **values: str | None) -> Path:
    """Write a file with changed tensors or metadata; None deletes an entry."""
    path = folder / "lm.safetensors"
    charrnn_port.save_checkpoint(made(), path)
    with safe_open(path, framework="pt") as file:
        texts = file.metadata() | values
        kept = {name: file.get_tensor(name) for name in file.keys()} | (tensors or {})  # noqa: SIM118
    kept = {name: tensor for name, tensor in kept.items() if tensor is not None}
    save_file(kept, path, {name: text for name, text in texts.items() if text is not None})
    return path


OPT = {"model": "lstm", "rnn_size": 3, "num_layers": 2, "dropout": 0}
MALFORMED = {
    "no opt": ({"opt": None}, "'opt' is missing"),
    "opt a list": ({"opt": "[]"}, ""),
    "no JSON": ({"vocab": "{"}, "Expecting"),
    "too deep": ({"val_losses": "[" * 10**5}, "its metadata is nested too deeply"),
    "a huge number": ({"i": "9" * 10**4}, "Exceeds the limit"),
    "another model": ({"opt": json.dumps(OPT | {"model": "tcn"})}, "'tcn' is missing"),
    "another cell": ({"opt": json.dumps(OPT | {"model": "rnn"})}, "its tensors are not those of 2 layers of rnn"),
    "endless layers": ({"opt": json.dumps(OPT | {"num_layers": 10**18})}, "10 tensors are too few for 10000000"),
    "endless size": ({"opt": json.dumps(OPT | {"rnn_size": 10**300})}, "its tensors are not those of"),
    "half a size": ({"opt": json.dumps(OPT | {"rnn_size": 1.5})}, "its tensors are not those of"),
    "layers in text": ({"opt": json.dumps(OPT | {"num_layers": "2"})}, ""),
    "symbols a number": ({"vocab": '{"symbols": 1000000000000, "unknown": null}'}, ""),
    "symbols of words": ({"vocab": '{"symbols": ["a", "b"], "unknown": null}'}, ""),
    "a symbol twice": ({"vocab": '{"symbols": "aabc", "unknown": 4}'}, "one of them twice"),
    "half a character": ({"vocab": '{"symbols": "abc\\ud800", "unknown": 4}'}, "vocab has unpaired surrogates"),
    "losses without pairs": ({"val_losses": "[1, 2]"}, ""),
    "losses by name": ({"val_losses": '[["a", 1]]'}, "val_losses must have iterations as keys"),
    "i a string": ({"i": '"3"'}, "i is a str"),
    "no tensor": ({"tensors": {"decoder.bias": None}}, "its tensors are not those of"),
    "one more": ({"tensors": {"x": torch.zeros(1)}}, "its tensors are not those of"),
    "two types": ({"tensors": {"decoder.bias": torch.zeros(5).double()}}, "its tensors are of several types"),
    "another shape": ({"tensors": {"decoder.bias": torch.zeros(5, 1)}}, "its tensors are not those of"),
}


@pytest.mark.parametrize(("change", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_files_are_refused(change, message, tmp_path):
    found = refusal(changed(tmp_path, **change))
    assert found.startswith("corrupt or not a checkpoint: ")
    assert message in found


def test_a_header_that_claims_much(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", 2**31) + b'{"a":' + bytes(100))
    assert refusal(tmp_path / "x.safetensors").startswith("corrupt or not a checkpoint: cannot read the safetensors")


def test_mutated_at_random(tmp_path):
    """Each file gives values or one clear error."""
    path, errors = tmp_path / "lm.safetensors", 0
    charrnn_port.save_checkpoint(made(), path)
    content = path.read_bytes()
    for seed in range(300):
        path.write_bytes(mutate(content, random.Random(seed)))
        try:
            charrnn_port.load_checkpoint(path)
        except UserError:
            errors += 1
    assert 0 < errors < 300

"""Tests that a trace, as a file and from Python, has exactly what the plain cells compute."""

import json

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from conftest import RECORDINGS, assert_one_line_error, full_disk

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.sampling import Model, Session, trace
from charrnn_port.util.vocabulary import Vocabulary

LUA = RECORDINGS / "lua_checkpoints"
PLAY = (RECORDINGS / "play/input.txt").read_bytes()
TEXT = b"jdaakbcfegihhd"


def network(model: str, backend: str = "plain", torch7: str = "2017"):
    made = BACKENDS[backend](model, 11, 6, 2, torch7=torch7)
    made.params.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(5))
    return made


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(charrnn.trace, [str(word) for word in arguments], input=stdin)


@pytest.mark.parametrize("torch7", ["2015", "2017"])
@pytest.mark.parametrize("backend", ["plain", "fused"])
@pytest.mark.parametrize("model", list(CELLS))
def test_states_and_predictions_are_those_of_the_plain_cells(model, backend, torch7):
    """They are equal after each character; a model of a fused network traces with plain cells too."""
    plain, vocab = network(model, torch7=torch7), Vocabulary(b"abcdefghijk")
    if backend == "plain":
        steps = list(trace(plain, vocab.encode(TEXT)))
    else:
        steps = list(Session(Model(network(model, "fused", torch7), vocab)).trace(TEXT))
    ids, state = vocab.encode(TEXT), plain.zero_state(1)
    assert [step.id for step in steps] == ids
    for step in steps:
        log_probs, state = plain.log_probs(torch.tensor([[step.id]]), state)
        assert (step.log_probs == log_probs[0, 0].detach().numpy()).all()
        found = [layer[name] for layer in step.layers for name in plain.cell.STATE]
        for value, tensor in zip(found, state, strict=True):
            assert (value == tensor[0].detach().numpy()).all()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("model", list(CELLS))
def test_gates_are_their_formulas(model):
    """Recomputed in NumPy from the states in the trace, in both layers, to 1e-12."""
    plain = network(model)
    weights = [{name: tensor.detach().numpy() for name, tensor in layer.items()} for layer in plain.layers]

    def affine(layer: int, name: str, value: np.ndarray) -> np.ndarray:
        return weights[layer][f"{name}_weight"] @ value + weights[layer][f"{name}_bias"]

    before = [dict.fromkeys(plain.cell.STATE, np.zeros(6))] * 2
    for step in trace(plain, Vocabulary(b"abcdefghijk").encode(TEXT)):
        x = np.eye(11)[step.id]
        for layer, (now, then) in enumerate(zip(step.layers, before, strict=True)):
            assert list(now) == [*plain.cell.GATE_NAMES, *plain.cell.STATE]
            h = then["h"]
            if model == "lstm":
                pre_activations = np.split(affine(layer, "i2h", x) + affine(layer, "h2h", h), 4)
                expected = dict(zip(now, map(sigmoid, pre_activations), strict=False))
                expected["transform"] = np.tanh(pre_activations[3])
                expected["c"] = expected["forget"] * then["c"] + expected["in"] * expected["transform"]
                expected["h"] = expected["out"] * np.tanh(expected["c"])
            elif model == "gru":
                expected = {
                    name: sigmoid(affine(layer, f"{name}_i2h", x) + affine(layer, f"{name}_h2h", h))
                    for name in ("update", "reset")
                }
                expected["candidate"] = np.tanh(
                    affine(layer, "candidate_i2h", x) + affine(layer, "candidate_h2h", expected["reset"] * h)
                )
                expected["h"] = expected["update"] * expected["candidate"] + (1 - expected["update"]) * h
            else:
                expected = {"h": np.tanh(affine(layer, "i2h", x) + affine(layer, "h2h", h))}
            for name, value in now.items():
                assert np.abs(value - expected[name]).max() < 1e-12, name
            x = now["h"]
        before = step.layers


def test_a_session_is_traced_from_its_state_and_keeps_it():
    """The session's state comes from another backend, so the tolerance is 1e-12."""
    model = Model(network("lstm", "fused"), Vocabulary(b"abcdefghijk"))
    session = Session(model)
    whole = list(session.trace(TEXT))
    session.feed(model.vocab.encode(TEXT[:5]))
    scores = session.scores
    for step, expected in zip(session.trace(TEXT[5:].decode()), whole[5:], strict=True):
        assert np.abs(step.layers[1]["c"] - expected.layers[1]["c"]).max() < 1e-12
        assert np.abs(step.log_probs - expected.log_probs).max() < 1e-12
    assert session.scores is scores


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_the_file_holds_the_trace(name, tmp_path):
    """All values exactly, and the attributes that describe them."""
    path = tmp_path / "text"
    path.write_bytes(PLAY[1000:1300])
    result = run(LUA / f"{name}.t7", path, "-o", tmp_path / "trace.h5")
    assert (result.exit_code, result.stdout) == (0, "")
    checkpoint = charrnn_port.load_checkpoint(LUA / f"{name}.t7")
    cell = CELLS[name]
    with h5py.File(tmp_path / "trace.h5") as file:
        assert file["vocab"][()].tobytes() == checkpoint.vocab.symbols
        assert bytes(file["vocab"][()][file["ids"][()]]) == path.read_bytes()
        assert file["positions"][()].tolist() == list(range(300))
        assert set(file) == {"ids", "positions", "log_probs", "vocab", "layer1", "layer2"}
        steps = list(Session(Model.of(checkpoint)).trace(path.read_bytes()))
        assert (file["log_probs"][()] == [step.log_probs for step in steps]).all()
        for index in range(2):
            group = file[f"layer{index + 1}"]
            assert set(group) == {*cell.GATE_NAMES, *cell.STATE}
            for part in group:
                assert (group[part][()] == [step.layers[index][part] for step in steps]).all()
        assert json.loads(file.attrs["options"])["file"] == str(path)
        assert json.loads(file.attrs["opt"]) == checkpoint.opt
        assert file.attrs["model"] == name
        assert file.attrs["num_layers"] == 2


def test_layers_units_and_gates_are_selected(tmp_path):
    chosen = ["-layers", "2", "-units", "0-2,5", "-gates", "c,forget", "-dtype", "float32"]
    assert run(LUA / "lstm.t7", "-", "-o", tmp_path / "few.h5", *chosen, stdin=PLAY[:200]).exit_code == 0
    assert run(LUA / "lstm.t7", "-", "-o", tmp_path / "all.h5", stdin=PLAY[:200]).exit_code == 0
    with h5py.File(tmp_path / "few.h5") as few, h5py.File(tmp_path / "all.h5") as whole:
        assert set(few) == {"ids", "positions", "log_probs", "vocab", "layer2"}
        assert set(few["layer2"]) == {"c", "forget"}
        assert few["layer2"].attrs["units"].tolist() == [0, 1, 2, 5]
        assert few["layer2/c"].dtype == np.float32
        for name in ("c", "forget"):
            difference = few["layer2"][name][()] - whole["layer2"][name][()][:, [0, 1, 2, 5]]
            assert 0 < np.abs(difference).max() < 1e-5


def test_the_size_is_printed_first(tmp_path):
    """It is within 5 % of the size of the file."""
    (tmp_path / "text").write_bytes(PLAY[:640])
    line = run(LUA / "gru.t7", tmp_path / "text", "-o", tmp_path / "trace.h5").stderr
    size = (tmp_path / "trace.h5").stat().st_size
    number, unit = line.split("at most ")[1].split()[:2]
    assert float(number) * {"kB": 1e3, "MB": 1e6}[unit] == pytest.approx(size, rel=0.05)


def test_unknown_characters(tmp_path):
    """An error leaves an existing file unchanged; with -unknown skip the positions show which are left out."""
    (tmp_path / "text").write_bytes(PLAY[:3000] + b"\xff" + PLAY[3000:3010])
    (tmp_path / "trace.h5").write_bytes(b"something")
    result = run(LUA / "rnn.t7", tmp_path / "text", "-o", tmp_path / "trace.h5", "-units", "0")
    assert result.exit_code == 1
    assert "Error: " in result.stderr
    assert "0xff at position 3000" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"text", "trace.h5"}
    assert (tmp_path / "trace.h5").read_bytes() == b"something"
    skip = ["-units", "0", "-unknown", "skip"]
    result = run(LUA / "rnn.t7", tmp_path / "text", "-o", tmp_path / "trace.h5", *skip)
    assert "1 characters of" in result.stderr
    with h5py.File(tmp_path / "trace.h5") as file:
        assert file["positions"][-11:].tolist() == [2999, *range(3001, 3011)]


@pytest.mark.parametrize("limit", [0, 3000, 40_000, 150_000])
def test_a_disk_that_is_full(limit, tmp_path):
    """It ends with a one-line error and without a file, wherever the disk becomes full."""
    with full_disk(limit):
        result = run(LUA / "rnn.t7", "-", "-o", tmp_path / "trace.h5", stdin=PLAY[:300])
    assert result.exit_code == 1, result.output
    assert "Error: cannot write " in result.stderr
    assert "File too large" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_vocabulary_of_unicode_characters(tmp_path):
    checkpoint = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    checkpoint.vocab = Vocabulary("".join(map(chr, range(0x400, 0x400 + len(checkpoint.vocab)))))
    charrnn_port.save_checkpoint(checkpoint, tmp_path / "a.t7.pt")
    assert run(tmp_path / "a.t7.pt", "-", "-o", tmp_path / "t.h5", stdin="ЀЂ".encode()).exit_code == 0
    with h5py.File(tmp_path / "t.h5") as file:
        assert file["vocab"][()].decode() == checkpoint.vocab.symbols
        assert file["ids"][()].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ([], 2, ["-o"]),
        (["-o", "t.h5", "-layers", "3"], 2, ["-layers", "from 1 to 2"]),
        (["-o", "t.h5", "-units", "5-1"], 2, ["-units", "5-1"]),
        (["-o", "t.h5", "-units", "x"], 2, ["-units", "'x'"]),
        (["-o", "t.h5", "-gates", "cell"], 2, ["-gates", "'cell'", "forget"]),
        (["-o", "nowhere/t.h5"], 1, ["nowhere/t.h5"]),
        (["-o", LUA / "gru.t7"], 1, ["gru.t7", "checkpoint"]),
        (["-o", "./text"], 1, ["cannot overwrite a file that is read"]),
    ],
)
def test_errors(options, status, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_bytes(PLAY[:20])
    result = run(LUA / "lstm.t7", "text", *options)
    if status == 2:
        assert_one_line_error(result, status, *words)
    else:
        assert result.exit_code == status
        assert all(word in result.stderr for word in words)

"""Exported files of one time step compute what this package computes, and load without this package."""

import json
import math
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from conftest import RECORDINGS, REFERENCE, ROOT, assert_one_line_error
from pages import blocks

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.util.vocabulary import Vocabulary

LUA = RECORDINGS / "lua_checkpoints"
PLAY = (RECORDINGS / "play/input.txt").read_bytes()
ENDINGS = ("onnx", "pt2", "torchscript")
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


def export(checkpoint: object, target: Path, *options: object) -> Path:
    """Run `charrnn export`. Return the target."""
    result = CliRunner().invoke(charrnn.export, [str(word) for word in (checkpoint, target, *options)])
    assert result.exit_code == 0, result.output
    return target


def step_of(path: Path):
    """Return a function that runs the step in a file on NumPy arrays."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path)
        return lambda ids, state: session.run(None, {"ids": ids, "state": state})
    step = torch.export.load(path).module() if path.suffix == ".pt2" else torch.jit.load(path)
    return lambda *arrays: [tensor.detach().numpy() for tensor in step(*map(torch.from_numpy, arrays))]


def log_probs(path: Path, ids: np.ndarray, states: int, rnn_size: int, dtype: str) -> np.ndarray:
    """Return the log-probabilities `[T, B, V]` that a file computes for ids `[T, B]`."""
    step, state, found = step_of(path), np.zeros((states, ids.shape[1], rnn_size), dtype), []
    for row in ids:
        scores, state = step(row, state)
        found.append(scores)
    return np.stack(found)


@pytest.mark.parametrize("weights", ["float64", pytest.param("float32", marks=pytest.mark.long)])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ["lstm", *(pytest.param(name, marks=pytest.mark.long) for name in ("gru", "rnn"))])
def test_log_probabilities(name, ending, weights, tmp_path):
    """Log-probabilities of trained networks, for batches of three and of one, agree to 1e-12; in float32 to 1e-6.

    The error is relative where a log-probability is larger than 1 in magnitude.
    """
    saved = charrnn_port.load_checkpoint(LUA / f"{name}.t7")
    path = export(LUA / f"{name}.t7", tmp_path / f"model.{ending}", "-weights", weights)
    ids = np.array([saved.vocab.encode(PLAY[begin : begin + 40]) for begin in (0, 777, 5000)]).T
    network = saved.build("plain", torch.float64)
    expected = network.log_probs(torch.from_numpy(ids), network.zero_state(3))[0].detach().numpy()
    states, rnn_size = saved.opt["num_layers"] * len(CELLS[name].STATE), saved.opt["rnn_size"]
    for several in (slice(0, 3), slice(1, 2)):
        found = log_probs(path, np.ascontiguousarray(ids[:, several]), states, rnn_size, weights)
        difference = np.abs(found - expected[:, several]) / np.maximum(1, np.abs(expected[:, several]))
        assert found.dtype == weights
        assert difference.max() < {"float64": 1e-12, "float32": 1e-6}[weights]


def made(model: str) -> Checkpoint:
    """Return a checkpoint of a network of one layer, with an unknown symbol and without a validation loss."""
    vocab = Vocabulary("aé文", with_unknown=True)
    opt = {"model": model, "rnn_size": 5, "num_layers": 1, "dropout": 0.0, "data_dir": "d\udce4ta"}
    checkpoint = Checkpoint(opt, vocab, torch.zeros(0), 0, 0.0, [], {}, math.nan)
    count = sum(math.prod(shape) for shape in CELLS[model].parameter_shapes(4, 5).values()) + 4 * 5 + 4
    checkpoint.params = torch.rand(count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return checkpoint


@pytest.mark.parametrize("ending", ENDINGS)
def test_metadata(ending, tmp_path):
    """The metadata has vocabulary, options and separator in JSON, and the size of the state: one gru layer is run."""
    saved = made("gru")
    saved.opt["separator"] = "éa"
    charrnn_port.save_checkpoint(saved, tmp_path / "lm.t7.pt")
    path = export(tmp_path / "lm.t7.pt", tmp_path / f"model.{ending}")
    if ending == "onnx":
        texts = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        metadata = {name: json.loads(text) for name, text in texts.items()}
    else:
        inside = {"charrnn_port.json": ""}
        if ending == "pt2":
            torch.export.load(path, extra_files=inside)
        else:
            torch.jit.load(path, _extra_files=inside)
        metadata = json.loads(inside["charrnn_port.json"])
    assert metadata["vocab"] == {"encoding": "utf-8", "symbols": "aé文", "unknown": 3}
    assert (metadata["opt"], metadata["states"], metadata["format"]) == (saved.opt, 1, "charrnn_port network 1")
    assert metadata["separator"] == [1, 0]
    assert math.isnan(metadata["val_loss"])
    states, rnn_size = metadata["states"], metadata["opt"]["rnn_size"]
    assert log_probs(path, np.array([[3], [0]]), states, rnn_size, "float64").shape == (2, 1, 4)


@pytest.mark.parametrize("ending", ENDINGS)
def test_ids_out_of_range_are_an_error(ending, tmp_path):
    charrnn_port.save_checkpoint(made("rnn"), tmp_path / "lm.t7.pt")
    step = step_of(export(tmp_path / "lm.t7.pt", tmp_path / f"model.{ending}"))
    state = np.zeros((1, 2, 5))
    assert np.isfinite(step(np.array([0, 3]), state)[0]).all()
    for wrong in (4, 100_000, -1, -4, -(2**40)):
        with pytest.raises(Exception, match=r"out of (range|data bounds)"):
            step(np.array([0, wrong]), state)


# Without this package

WITHOUT = "import sys\nfor name in {names}: sys.modules[name] = None  # importing it raises ImportError\n"
OURS = ["charrnn_port", "model", "util", "train", "sample"]


def block(name: str) -> str:
    """Return a program of docs/export.md."""
    (found,) = [each for each in blocks(ROOT / "docs/export.md") if each.info == f"python {name}"]
    return found.text


def run_alone(program: str, folder: Path, python: str = sys.executable, without: tuple[str, ...] = ()) -> str:
    """Run a Python program that cannot import this package. Return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    extra = [place for place in path if place and not Path(place, "charrnn_port").exists()]
    start = f"import sys; sys.path += {extra}\n" + WITHOUT.format(names=[*OURS, *without])
    return subprocess.run(
        [python, "-I", "-c", start + program], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


def greedy_text(length: int) -> str:
    """Return the text that the programs on the page print."""
    saved = charrnn_port.load_checkpoint(LUA / "lstm.t7")
    return b"".join(charrnn_port.sample_bytes(saved, length, primetext="The ", argmax=True)).decode()


@pytest.mark.parametrize("ending", ["onnx", pytest.param("pt2", marks=pytest.mark.long)])
def test_a_text_from_the_file_alone(ending, tmp_path):
    """The program on the page prints the text of sample.py; for ONNX without torch."""
    export(LUA / "lstm.t7", tmp_path / f"model.{ending}")
    printed = run_alone(block(ending), tmp_path, without=("torch", "onnx") if ending == "onnx" else ())
    assert printed == greedy_text(97) + "\n"


@pytest.mark.long
def test_tensors_from_the_file_alone(tmp_path):
    """The programs on the page for TorchScript and safetensors."""
    for ending in ("torchscript", "safetensors"):
        export(LUA / "lstm.t7", tmp_path / f"model.{ending}")
    printed = run_alone(block("safetensors") + block("torchscript"), tmp_path)
    opt = charrnn_port.load_checkpoint(LUA / "lstm.t7").opt
    assert printed.splitlines() == ["lstm 60", f"(60, {opt['rnn_size']})", greedy_text(1)[-1]]


@pytest.mark.long
def test_a_new_environment_with_onnxruntime_alone(tmp_path):
    """onnxruntime is installed from the package index."""
    export(LUA / "lstm.t7", tmp_path / "model.onnx")
    venv.create(tmp_path / "environment", with_pip=True)
    python = str(tmp_path / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "onnxruntime"], check=True)
    assert run_alone(block("onnx"), tmp_path, python) == greedy_text(97) + "\n"


# Errors


@pytest.mark.parametrize("ending", ENDINGS)
def test_half_precision_is_for_pages(ending, tmp_path):
    result = CliRunner().invoke(
        charrnn.export, [str(LUA / "rnn.t7"), str(tmp_path / f"x.{ending}"), "-weights", "float16"]
    )
    assert_one_line_error(result, 1, "-weights float16 is only for .html and .mjs", "use float32")


def test_safetensors_have_their_own_precision(tmp_path):
    result = CliRunner().invoke(
        charrnn.export, [str(LUA / "rnn.t7"), str(tmp_path / "x.safetensors"), "-weights", "float32"]
    )
    words = "-weights float32 is not supported for .safetensors, which keeps the checkpoint's precision"
    assert_one_line_error(result, 1, words)


@pytest.mark.parametrize("ending", [*ENDINGS, "safetensors"])
def test_a_file_that_cannot_be_written(ending, tmp_path):
    target = tmp_path / f"none/x.{ending}"
    result = CliRunner().invoke(charrnn.export, [str(LUA / "rnn.t7"), str(target)])
    assert result.exit_code == 1
    assert f"{target}: No such file or directory" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("library", ["onnx", "safetensors"])
def test_a_library_that_is_not_installed(library, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"{library}.torch", raising=False)
    result = CliRunner().invoke(charrnn.export, [str(LUA / "rnn.t7"), str(tmp_path / f"model.{library}")])
    assert_one_line_error(result, 1, f"{library} is not installed", '".[export]"')
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["export", "convert"])
def test_what_was_written_is_named(verb, tmp_path):
    """An extension may be in capital letters. Results of a verb that writes a file are in the file."""
    target = tmp_path / "model.SAFETENSORS"
    result = CliRunner().invoke(charrnn.verbs()[verb], [str(LUA / "rnn.t7"), str(target)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"wrote {target}, {target.stat().st_size / 1e3:.1f} kB\n"
    assert charrnn_port.load_checkpoint(target).fingerprint == charrnn_port.load_checkpoint(LUA / "rnn.t7").fingerprint


def test_torchscript_is_said_to_be_deprecated(tmp_path):
    result = CliRunner().invoke(charrnn.export, [str(LUA / "rnn.t7"), str(tmp_path / "model.torchscript")])
    assert "TorchScript is deprecated: use .pt2" in result.stderr


def test_a_step_is_not_a_checkpoint(tmp_path):
    """Each file is rejected in one line where a checkpoint is expected."""
    for ending in ENDINGS:
        path = export(REFERENCE / "torch_rnn/c_100.t7", tmp_path / f"model.{ending}")
        result = CliRunner().invoke(charrnn.inspect, [str(path)])
        assert_one_line_error(result, 1, f"{path} is ")

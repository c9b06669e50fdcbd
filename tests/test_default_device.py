"""Another default device of PyTorch, which a user's program may set, changes nothing: tensors name their device."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from conftest import CPU_BACKENDS, RECORDINGS, REFERENCE, run_sample, run_train
from runs import log_lines

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.sampling import Model, Session

LSTM = RECORDINGS / "lua_checkpoints/lstm.t7"
TEXT = RECORDINGS / "play/input.txt"
SIZES = "-rnn_size 8 -batch_size 10 -seq_length 20 -max_epochs 0.05 -gpuid -1 -dropout 0.3 -optimizer adam".split()


def both(function):
    """Return what a function returns by itself, and where the default device is one without memory."""
    usual = function()
    with torch.device("meta"):
        return usual, function()


@pytest.mark.long
@pytest.mark.parametrize("cell", CPU_BACKENDS)
def test_training(cell, play, tmp_path):
    def losses():
        arguments = ["-cell", cell, "-data_dir", play, "-checkpoint_dir", tmp_path / "cv", "-sample_every", 10]
        result = run_train(*SIZES, *arguments)
        assert result.exit_code == 0, result.output
        return log_lines(result.stdout)

    usual, other = both(losses)
    assert usual == other != []


@pytest.mark.parametrize("options", [[], ["-beam", 3], ["-top_k", 3], ["-clamp", "1:0=0"], ["-n", 3]], ids=str)
def test_sampling(options):
    usual, other = both(lambda: run_sample(LSTM, "-length", 40, "-gpuid", -1, *options))
    assert usual.exit_code == other.exit_code == 0
    assert usual.stdout_bytes == other.stdout_bytes


def test_checkpoints_and_models():
    """Of torch-rnn and this port; a model in PyTorch, and its state."""
    files = REFERENCE / "torch_rnn/b_100.t7", REFERENCE / "checkpoints/charrnn_port_0.1.t7.pt"
    for path in files:
        usual, other = both(lambda path=path: charrnn_port.load_checkpoint(path).fingerprint)
        assert usual == other
    saved = charrnn_port.load_checkpoint(LSTM)
    network = saved.build("fused", torch.float64)
    usual, other = both(lambda: list(Session(Model(network, saved.vocab, use_numpy=False)).sample(20, sampler)))
    assert usual == other


def sampler(scores):
    return int(scores.argmax())


@pytest.mark.parametrize(
    "words",
    [["score", LSTM, "short.txt"], pytest.param(["trace", LSTM, "short.txt", "-o", "a.h5"], marks=pytest.mark.long),
     pytest.param(["look", LSTM, TEXT, "-o", "a.html", "-length", 500], marks=pytest.mark.long),
     *(["convert", LSTM, f"a.{ending}"] for ending in ("t7", "t7.pt")),
     *(["export", LSTM, f"a.{ending}"] for ending in ("mjs", "onnx", "pt2", "safetensors"))],
    ids=lambda words: f"{words[0]} {str(words[-1]).rpartition('/')[2]}",
)  # fmt: skip
def test_verbs(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("short.txt").write_bytes(TEXT.read_bytes()[:2000])
    for library in {"onnx": ["onnx"], "safetensors": ["safetensors"]}.get(str(words[-1])[2:], []):
        pytest.importorskip(library)
    with torch.device("meta"):
        result = CliRunner().invoke(getattr(charrnn, words[0]), [str(word) for word in words[1:]])
    assert result.exit_code == 0, result.output

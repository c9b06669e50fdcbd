"""A network with NaN or infinite parameters is refused by all that would compute with it, and can be inspected."""

import json
import math

import pytest
from click.testing import CliRunner
from conftest import RECORDINGS, assert_one_line_error, run_sample, run_train

import charrnn_port
from charrnn_port import __main__ as charrnn

WHOLE = RECORDINGS / "lua_checkpoints/rnn.t7"
TEXT = RECORDINGS / "play/input.txt"
MESSAGE = (
    "Error: 1 of the network's 7,100 parameters are NaN or infinite, as after a loss that diverged: use an earlier "
    "checkpoint"
)


@pytest.fixture(params=[math.nan, -math.inf])
def broken(request, tmp_path):
    checkpoint = charrnn_port.load_checkpoint(WHOLE)
    checkpoint.params[3] = request.param
    charrnn_port.save_checkpoint(checkpoint, tmp_path / "broken.t7.pt")
    return tmp_path / "broken.t7.pt"


VERBS = [
    ["score", "CHECKPOINT", TEXT],
    ["trace", "CHECKPOINT", TEXT, "-o", "a.h5"],
    ["look", "CHECKPOINT", TEXT, "-o", "a.html"],
    ["evaluate", "CHECKPOINT", "-data_dir", "DATA"],
    ["convert", "CHECKPOINT", "a.t7"],
    *(["export", "CHECKPOINT", f"a.{ending}"] for ending in ("html", "mjs", "onnx", "pt2", "safetensors")),
    ["serve", "CHECKPOINT"],
]


@pytest.mark.parametrize("words", VERBS, ids=lambda words: f"{words[0]} {words[-1]}".split("/")[0])
def test_verbs(words, broken, play, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verb, *rest = [str({"CHECKPOINT": broken, "DATA": play}.get(word, word)) for word in words]
    result = CliRunner().invoke(getattr(charrnn, verb), rest)
    assert result.exit_code == 1
    assert [line for line in result.stderr.splitlines() if line.startswith("Error: ")] == [MESSAGE]
    assert [path.name for path in tmp_path.iterdir()] == [broken.name]


def test_sampling_and_training(broken, play, tmp_path):
    assert_one_line_error(run_sample(broken), 1, MESSAGE)
    start = ["-data_dir", play, "-checkpoint_dir", tmp_path / "cv", "-gpuid", -1]
    assert_one_line_error(run_train(*start, "-init_from", broken), 1, MESSAGE)
    with pytest.raises(charrnn_port.UserError, match="NaN or infinite"):
        charrnn_port.sample_bytes(charrnn_port.load_checkpoint(broken), 10)


def test_it_can_be_inspected(broken):
    def inspected(path):
        return json.loads(CliRunner().invoke(charrnn.inspect, [str(path), "-json"]).stdout)

    assert inspected(broken)["not_finite"] == 1
    assert "not_finite" not in inspected(WHOLE)
    assert "not_finite" in CliRunner().invoke(charrnn.inspect, [str(broken)]).stdout

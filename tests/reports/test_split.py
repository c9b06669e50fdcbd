"""Tests that `charrnn split` writes the pieces that a run trained on, validated on and kept for testing."""

import json

import pytest
from click.testing import CliRunner, Result
from conftest import RECORDINGS, assert_one_line_error, run_train
from runs import EVERY, SMALL

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.util.minibatch_loader import pieces_of

PLAY = (RECORDINGS / "play/input.txt").read_text()[:3000].replace("e", "é")
LUA = RECORDINGS / "lua_checkpoints/lstm.t7"


def run(verb: str, *arguments: object) -> Result:
    return CliRunner().invoke(charrnn.verbs()[verb], [str(word) for word in arguments])


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(PLAY.encode())
    return tmp_path / "data"


def trained(data, *more) -> None:
    words = [*SMALL, *EVERY, *more, "-max_epochs", 0.1, "-data_dir", data, "-checkpoint_dir", data / "cv"]
    assert run_train(*words).exit_code == 0


@pytest.mark.parametrize("encoding", ["bytes", "utf-8"])
def test_the_parts_are_the_pieces_of_each_row(data, encoding):
    """Joined in order; together they are the text without its last, incomplete batch. stderr names files and sizes."""
    trained(data, "-train_frac", 0.5, "-val_frac", 0.25, "-encoding", encoding)
    out = data / "new/parts"
    result = run("split", data / "cv", "-o", out)
    assert result.exit_code == 0, result.output
    text = PLAY.encode() if encoding == "bytes" else PLAY
    pieces = pieces_of(len(text), 4, 10, 0.5, 0.25)
    unit = "bytes" if encoding == "bytes" else "characters"
    notes = []
    for name in ("train", "val", "test"):
        parts = [text[piece.start : piece.stop] for piece in pieces[name]]
        joined = text[:0].join(parts)
        assert (out / f"{name}.txt").read_bytes() == (joined if encoding == "bytes" else joined.encode())
        notes.append(f"{out / name}.txt: {len(joined)} {unit} in 4 pieces")
    assert result.stderr.splitlines()[1:] == notes  # after the name of the checkpoint
    assert sum(len(piece) for rows in pieces.values() for piece in rows) == len(text) // 40 * 40


def test_only_parts_that_exist_are_written(data):
    """A split without a test part makes no test.txt. A part of one row is scored as its split is."""
    trained(data, "-batch_size", 1)
    out = data / "parts"
    assert run("split", data / "cv", "-o", out).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["train.txt", "val.txt"]
    whole = json.loads(run("score", data / "cv", "-split", "train", "-json", "-gpuid", -1).stdout)
    alone = json.loads(run("score", data / "cv", out / "train.txt", "-json", "-gpuid", -1).stdout)
    assert alone["characters"] == whole["characters"] - 1  # the last target is the first character of val.txt
    assert "100 % of this text was trained on" in run("score", data / "cv", out / "train.txt", "-gpuid", -1).stderr
    assert "None of this text was trained on" in run("score", data / "cv", out / "val.txt", "-gpuid", -1).stderr


def test_another_text_is_split_alike(data):
    """And is reported to differ; files that exist are replaced."""
    trained(data)
    (data / "other.txt").write_bytes(PLAY.encode() * 2)
    out = data / "parts"
    for _ in range(2):
        result = run("split", data / "cv", data / "other.txt", "-o", out)
        assert "differs from the text that the run was trained on" in result.stderr
    pieces = pieces_of(2 * len(PLAY.encode()), 4, 10, 0.95, 0.05)
    assert len((out / "val.txt").read_bytes()) == sum(map(len, pieces["val"]))


def test_errors(data, tmp_path, monkeypatch):
    """Each is one line, and no file is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("short")
    assert_one_line_error(run("split", LUA), 1, "data/play/input.txt", "after the checkpoint")
    assert_one_line_error(run("split", LUA, "short.txt"), 1, "short.txt", "shorter than a batch")
    assert_one_line_error(run("split", LUA, data / "input.txt", "-o", "short.txt"), 1, "short.txt")
    assert charrnn_port.load_checkpoint(LUA).opt["data_dir"] == "data/play"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "short.txt"]


def test_the_text_is_not_replaced_by_its_own_part(data):
    trained(data)
    (data / "train.txt").write_bytes(PLAY.encode())
    result = run("split", data / "cv", data / "train.txt", "-o", data)
    assert result.exit_code == 1
    assert "cannot overwrite a file that is read" in result.stderr
    assert (data / "train.txt").read_text() == PLAY

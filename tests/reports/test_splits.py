"""Tests that -split reads the very pieces of a text that a run trained on, validated on or kept for testing."""

import csv
import io
import json

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import RECORDINGS, assert_one_line_error, run_train
from runs import EVERY, SMALL

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.reports.splits import cut_of, pieces_of_run
from charrnn_port.util.minibatch_loader import MinibatchLoader, pieces_of

LUA = RECORDINGS / "lua_checkpoints/lstm.t7"
PLAY = (RECORDINGS / "play/input.txt").read_text()
THIRDS = "-train_frac 0.4 -val_frac 0.25".split()


def run(verb: str, *arguments: object) -> Result:
    return CliRunner().invoke(charrnn.verbs()[verb], [str(word) for word in arguments])


@pytest.fixture(scope="module", params=["bytes rows", "utf-8 rows", "utf-8 end"])
def trained(request, tmp_path_factory):
    """Return the checkpoint folder and the text of a short run; the text has characters of several bytes."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "data").mkdir()
    text = folder / "data/input.txt"
    text.write_text(PLAY[:3000].replace("e", "é"), encoding="utf-8", newline="")
    encoding, split_by = request.param.split()
    words = [*SMALL, *EVERY, *THIRDS, "-max_epochs", 1, "-encoding", encoding, "-split_by", split_by]
    assert run_train(*words, "-data_dir", text.parent, "-checkpoint_dir", folder / "cv").exit_code == 0
    return folder / "cv", text


def units_of(path, checkpoint):
    """Return a text in the units of a checkpoint: bytes or characters."""
    content = path.read_bytes()
    return content if checkpoint.vocab.encoding == "bytes" else content.decode()


@pytest.mark.parametrize("fractions", [(0.95, 0.05), (0.5, 0.25), (1, 0), (0, 1)])
@pytest.mark.parametrize("size", [90, 40, 39])
def test_pieces_are_those_of_the_loader(size, fractions, tmp_path):
    """Each position of the loader's batches is in the piece of its row and split, in order."""
    (tmp_path / "input.txt").write_bytes(bytes(range(size)))
    pieces = pieces_of(size, 4, 5, *fractions)
    assert [len(rows) for rows in pieces.values()] == [4, 4, 4]
    loader = MinibatchLoader(tmp_path, 4, 5, *fractions, echo=lambda line: None, writes=False)
    for number, rows in enumerate(pieces.values(), 1):
        batches = [loader.next_batch(number)[0] for _ in range(loader.split_sizes[number])]
        read = np.concatenate([np.empty((0, 4), int), *batches]).T
        assert read.tolist() == [list(row) for row in rows]


def test_a_text_without_a_batch_has_empty_pieces():
    assert {len(piece) for rows in pieces_of(19, 4, 5, 0.5, 0.25).values() for piece in rows} == {0}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_score_of_a_split_is_its_evaluation(trained, split):
    """To 1e-12: that of the run's own text by default, and of the same text under another name."""
    cv, text = trained
    expected = json.loads(run("evaluate", cv, "-split", split, "-json", "-gpuid", -1).stdout)
    found = json.loads(run("score", cv, "-split", split, "-json", "-gpuid", -1).stdout)
    assert (found["split"], found["text"]) == (split, str(text))
    assert found["characters"] == expected["characters"]
    assert abs(found["nats_per_character"] - expected["nats_per_character"]) < 1e-12
    again = json.loads(run("score", cv, text, "-split", split, "-json", "-gpuid", -1).stdout)
    assert again == found


def test_validation_loss_of_the_checkpoint(trained):
    """The loss that the run recorded, to 1e-12."""
    cv, _ = trained
    found = json.loads(run("score", cv, "-split", "val", "-json", "-gpuid", -1).stdout)
    assert abs(found["nats_per_character"] - charrnn_port.load_checkpoint(cv).val_loss) < 1e-12


def test_positions_and_lines_are_those_of_the_text(trained):
    """In the CSV and the table of lines. A piece's first character has no prediction; its last is a target only."""
    cv, text = trained
    checkpoint = charrnn_port.load_checkpoint(cv)
    units = units_of(text, checkpoint)
    pieces = pieces_of_run(checkpoint, "cv", units)["test"]
    end = pieces[-1].stop
    _, *rows = csv.reader(io.StringIO(run("score", cv, "-split", "test", "-csv", "-gpuid", -1).stdout))
    positions = [int(row[0]) for row in rows]
    assert positions == [place % end for piece in pieces for place in range(piece.start, piece.stop + 1)]
    first = [place for place, row in enumerate(rows) if not row[2]]
    assert [positions[place] for place in first] == [piece.start for piece in pieces]
    lines = json.loads(run("score", cv, "-split", "test", "-lines", 1, "-json", "-gpuid", -1).stdout)["lines"]
    cut = units[:end] + units[:1]  # the very last target is the first character
    whole = (cut if isinstance(cut, str) else cut.decode()).split("\n")
    for line in lines:
        if "\\" not in line["text"]:  # a character of several bytes that a piece cuts is shown as escapes
            assert line["text"] in whole[line["line"] - 1]


def test_a_trace_has_each_piece_from_the_zero_state(trained, tmp_path):
    """Its predictions have the mean loss of the split, and positions show where a piece begins."""
    cv, text = trained
    checkpoint = charrnn_port.load_checkpoint(cv)
    result = run("trace", cv, "-split", "val", "-o", tmp_path / "trace.h5")
    assert result.exit_code == 0, result.output
    with h5py.File(tmp_path / "trace.h5") as file:
        ids, positions, log_probs = (file[name][:] for name in ("ids", "positions", "log_probs"))
    units = units_of(text, checkpoint)
    (cut,) = [cut_of({"cv": checkpoint}, "val")]
    places = cut(units, "text")
    assert positions.tolist() == np.concatenate(places).tolist()
    length = len(places[0])
    rows, targets = log_probs.reshape(4, length, -1)[:, :-1], ids.reshape(4, length)[:, 1:]
    losses = -np.take_along_axis(rows, targets[..., None], 2)
    assert abs(losses.mean() - checkpoint.val_loss) < 1e-12


def test_connectivity_does_not_reach_into_another_piece(trained, tmp_path):
    cv, text = trained
    result = run("trace", cv, "-split", "val", "-connectivity", 5, "-o", tmp_path / "trace.h5")
    assert result.exit_code == 0, result.output
    checkpoint = charrnn_port.load_checkpoint(cv)
    length = len(cut_of({"cv": checkpoint}, "val")(units_of(text, checkpoint), "text")[0])
    with h5py.File(tmp_path / "trace.h5") as file:
        found = file["connectivity"][:]
    for place in range(0, len(found), length):
        for after, row in enumerate(found[place : place + 6]):
            assert np.flatnonzero(row).tolist() == list(range(min(after, 5)))


def test_a_heatmap_has_a_blank_line_between_pieces(trained):
    cv, text = trained
    checkpoint = charrnn_port.load_checkpoint(cv)
    if checkpoint.vocab.encoding == "utf-8":
        units = units_of(text, checkpoint)
        shown = run("score", cv, "-split", "val", "-heat", 1, "-gpuid", -1).stdout
        places = cut_of({"cv": checkpoint}, "val")(units, "text")
        assert shown == "\n\n".join("".join(units[place] for place in piece) for piece in places)


def test_several_checkpoints_have_the_same_split(trained):
    cv, text = trained
    first, second = sorted(cv.glob("*.t7.pt"))[:2]
    result = run("score", first, second, text, "-split", "val", "-gpuid", -1)
    assert result.exit_code == 0, result.output
    assert_one_line_error(run("score", first, LUA, text, "-split", "val", "-gpuid", -1), 2, "-split val", "seq_length")


def test_errors(trained, tmp_path, monkeypatch):
    """Without a text, for an empty split, and if the run's text is gone."""
    cv, _ = trained
    monkeypatch.chdir(tmp_path)
    for verb in ("score", "trace", "look"):
        more = ("-o", "new.h5") if verb == "trace" else ()
        assert_one_line_error(run(verb, cv, *more), 2, "FILE", "-split val")
        (tmp_path / "short.txt").write_text("short")
        short = run(verb, cv, "short.txt", "-split", "val", *more)
        assert short.exit_code == 1
        assert "Error: short.txt has no characters in the val split" in short.stderr
        assert_one_line_error(run(verb, LUA, "-split", "val", *more), 1, "input.txt", "after the checkpoint")
    assert [path.name for path in tmp_path.iterdir()] == ["short.txt"]


def test_files_are_read_as_training_reads_them(tmp_path):
    """-split val reads -val_file, and has the run's loss to 1e-12; so has evaluate. The test file is read alike."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "input.txt").write_text(PLAY[:2000])
    for name, text in (("val", PLAY[:300]), ("test", PLAY[300:600])):
        (tmp_path / f"{name}.txt").write_text(text)
    files = ["-val_file", tmp_path / "val.txt", "-test_file", tmp_path / "test.txt"]
    cv = tmp_path / "cv"
    words = [*SMALL, *EVERY, *files, "-max_epochs", 1, "-data_dir", data, "-checkpoint_dir", cv]
    assert run_train(*words).exit_code == 0
    for split in ("train", "val", "test"):
        name = str(data / "input.txt" if split == "train" else tmp_path / f"{split}.txt")
        expected = json.loads(run("evaluate", cv, "-split", split, "-json", "-gpuid", -1).stdout)
        found = json.loads(run("score", cv, "-split", split, "-json", "-gpuid", -1).stdout)
        assert (found["text"], found["characters"]) == (name, expected["characters"])
        assert abs(found["nats_per_character"] - expected["nats_per_character"]) < 1e-12
        if split == "val":
            assert abs(found["nats_per_character"] - charrnn_port.load_checkpoint(cv).val_loss) < 1e-12
    assert_one_line_error(run("split", cv), 1, "files already", "val.txt")
    whole = json.loads(run("evaluate", cv, "-split", "all", "-json", "-gpuid", -1).stdout)
    assert whole["characters"] == 2000
    (tmp_path / "val.txt").write_text(PLAY[:301])
    assert_one_line_error(run_train("-resume", "latest", "-checkpoint_dir", cv), 1, "differs")
    assert_one_line_error(run_train("-test_file", "x.txt"), 2, "-val_file")

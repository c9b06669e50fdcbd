"""Tests of how much of a text a network was trained on: for training text, held out text, other text and a mixture."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import RECORDINGS, run_train
from runs import EVERY, SMALL

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.reports.look import silence, units
from charrnn_port.reports.splits import pieces_of_run
from charrnn_port.reports.trained_on import WINDOW, TrainedOn, passages

PLAY = (RECORDINGS / "play/input.txt").read_bytes()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a run on a text with a training and a validation split."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "data").mkdir()
    (folder / "data/input.txt").write_bytes(PLAY[:3200])
    words = [*SMALL, *EVERY, "-max_epochs", "0.2", "-train_frac", 0.75, "-val_frac", 0.25]
    assert run_train(*words, "-data_dir", folder / "data", "-checkpoint_dir", folder / "cv").exit_code == 0
    return folder


def share(checkpoint, *texts):
    overlap = TrainedOn(checkpoint, "cv")
    for text in texts:
        overlap.add(checkpoint.vocab.encode(text))
    return overlap.share()


def test_shares(run):
    checkpoint = charrnn_port.load_checkpoint(run / "cv")
    pieces = pieces_of_run(checkpoint, "cv", bytes(3200))
    train, val = ([PLAY[piece.start : piece.stop] for piece in pieces[split]] for split in ("train", "val"))
    assert share(checkpoint, *train) == 1
    assert share(checkpoint, *val) == 0
    assert share(checkpoint, train[1][100:500], val[2][:1] * 400) == 0.5
    assert share(checkpoint, PLAY[:3200]) == pytest.approx(0.75, abs=0.1)
    assert share(checkpoint, PLAY[: WINDOW - 1]) is None


def test_memory_is_less_than_a_byte_per_character(run):
    overlap, ids = TrainedOn(charrnn_port.load_checkpoint(run / "cv"), "cv"), [1] * 5000
    tracemalloc.start()
    for _ in range(20):
        overlap.add(ids)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 20 * len(ids)


def test_unknown_if_the_training_text_is_another(run, tmp_path):
    checkpoint = charrnn_port.load_checkpoint(run / "cv")
    other = {"data_dir": str(tmp_path)}
    assert share(replace(checkpoint, opt=checkpoint.opt | other), PLAY[:3200]) is None
    (tmp_path / "input.txt").write_bytes(PLAY[:3200] + b" ")
    assert share(replace(checkpoint, opt=checkpoint.opt | other), PLAY[:3200]) is None
    assert share(replace(checkpoint, progress=None), PLAY[:3200]) is None


def test_passages_differ_unless_all_their_characters_are_equal():
    ids = np.random.RandomState(1).randint(0, 3, 300)
    again = np.concatenate([ids[50:200], ids])
    found = passages(again)
    assert len(found) == len(again) - WINDOW + 1
    windows = [again[begin : begin + WINDOW].tolist() for begin in range(len(found))]
    assert len(set(found.tolist())) == len({tuple(each) for each in windows})
    assert found[0] == found[200]


@pytest.mark.parametrize(
    ("split", "sentence"), [("val", "None of"), ("train", "100 % of"), ("all", " % of"), ("other", "is unknown")]
)
def test_programs_say_it(run, tmp_path, monkeypatch, split, sentence):
    """On stderr, and on the page of `charrnn look`."""
    monkeypatch.setattr(silence, "LENGTH", 20)  # these two take less time
    monkeypatch.setattr(units, "TRIED", 20)
    (tmp_path / "short.txt").write_bytes(PLAY[:40])
    which = {"other": [tmp_path / "short.txt"], "all": [run / "data/input.txt"]}.get(split, ["-split", split])
    verbs = {"score": [], "trace": ["-o", tmp_path / "a.h5"]}
    if split == "val":
        verbs["look"] = ["-length", 300, "-o", tmp_path / "a.html"]
    for verb, more in verbs.items():
        result = CliRunner().invoke(charrnn.verbs()[verb], [str(word) for word in (run / "cv", *which, *more)])
        assert result.exit_code == 0, result.output
        assert sentence in result.stderr.splitlines()[-1]
        assert "trained on" in result.stderr.splitlines()[-1]
    if split == "val":
        assert json.dumps(result.stderr.splitlines()[-1], ensure_ascii=False) in (tmp_path / "a.html").read_text()

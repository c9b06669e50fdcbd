"""Tests that `charrnn evaluate` gives the losses that a run recorded, and the losses of other texts."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from conftest import CPU_BACKENDS, RECORDINGS, REFERENCE, assert_one_line_error, loss_of, run_train, train_options
from runs import EVERY, SMALL, TEXT, saved

import charrnn_port
from charrnn_port import Model, Session
from charrnn_port import __main__ as charrnn
from charrnn_port.checkpoints import save_checkpoint
from charrnn_port.training import prepare

LUA = RECORDINGS / "lua_checkpoints"
TINYSHAKESPEARE = Path("data/tinyshakespeare")
THIRDS = "-train_frac 0.4 -val_frac 0.25".split()


def run_evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(charrnn.evaluate, [str(word) for word in arguments])


def evaluated(*arguments: object) -> dict:
    """Return the object that -json prints."""
    result = run_evaluate(*arguments, "-json", "-gpuid", -1)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a run on TEXT, with checkpoints in cv/ and some text in each split."""
    folder = tmp_path_factory.mktemp("run")
    write(folder / "data", TEXT)
    start = [*SMALL, *EVERY, *THIRDS, "-data_dir", folder / "data", "-checkpoint_dir", folder / "cv"]
    assert run_train(*start).exit_code == 0
    return folder


def write(folder: Path, text: bytes) -> Path:
    folder.mkdir()
    (folder / "input.txt").write_bytes(text)
    return folder


def direct_reading(checkpoint: charrnn_port.Checkpoint, text: bytes) -> tuple[float, float]:
    """Return nats per character and accuracy of one sequence, by single characters; its last target is its first."""
    model = Model.of(checkpoint)
    session, nats, right = Session(model), 0.0, 0
    ids = model.vocab.encode(text)
    for id_, target in zip(ids, ids[1:] + ids[:1], strict=True):
        session.feed([id_])
        log_probs = session.log_probs()
        nats -= log_probs[target]
        right += int(np.argmax(log_probs)) == target
    return nats / len(ids), right / len(ids)


@pytest.mark.parametrize("name", ["lstm", "lstm_1layer", "lstm_dropout", "gru", "rnn"])
def test_the_originals_checkpoints_have_the_loss_that_they_record(name, play):
    result = evaluated(LUA / f"{name}.t7", "-data_dir", play)
    recorded = charrnn_port.load_checkpoint(LUA / f"{name}.t7").val_loss
    assert result["nats_per_character"] == pytest.approx(recorded, rel=0, abs=1e-12)
    assert result["recorded_val_loss"] == recorded


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_with_any_cell(backend, play):
    result = evaluated(LUA / "gru.t7", "-data_dir", play, "-cell", backend)
    assert result["nats_per_character"] == pytest.approx(result["recorded_val_loss"], rel=0, abs=1e-12)


def test_our_checkpoints_have_the_loss_that_they_record(run):
    """Each loss of a run is equal in all bits; the text is where the checkpoint says."""
    checkpoints = saved(run / "cv")
    assert len(checkpoints) > 2
    for path, checkpoint in checkpoints.values():
        assert evaluated(path)["nats_per_character"] == checkpoint.val_loss


def test_a_run_in_single_precision(run, tmp_path):
    arguments = [*SMALL, *EVERY, "-data_dir", run / "data", "-checkpoint_dir", tmp_path / "cv", "-dtype", "float32"]
    assert run_train(*arguments, "-max_epochs", 0.5).exit_code == 0
    path, checkpoint = saved(tmp_path / "cv")[20]
    result = evaluated(path)
    assert (result["dtype"], result["nats_per_character"]) == ("float32", checkpoint.val_loss)
    in_double = evaluated(path, "-dtype", "float64")
    assert in_double["dtype"] == "float64"
    assert in_double["nats_per_character"] == pytest.approx(checkpoint.val_loss, rel=0, abs=1e-5)


def test_a_run_of_2015(run, tmp_path, monkeypatch):
    """The run's log-softmax is used; a file that does not record it gives another loss. A GPU refuses it."""
    arguments = [*SMALL, *EVERY, "-data_dir", run / "data", "-checkpoint_dir", tmp_path / "cv", "-torch7", "2015"]
    assert run_train(*arguments, "-max_epochs", 0.5).exit_code == 0
    path, checkpoint = saved(tmp_path / "cv")[20]
    result = evaluated(path)
    assert (result["torch7"], result["nats_per_character"]) == ("2015", checkpoint.val_loss)
    later = evaluated(path, "-torch7", "2017")
    assert later["torch7"] == "2017"
    assert 1e-8 < abs(later["nats_per_character"] - checkpoint.val_loss) < 1e-3
    monkeypatch.setattr("charrnn_port.reports.evaluate.choose_device", lambda *arguments: torch.device("cuda"))
    assert_one_line_error(run_evaluate(path), 1, "-torch7 2015", "-gpuid -1")


@pytest.mark.skipif(
    not (TINYSHAKESPEARE / "input.txt").exists(), reason="needs data/tinyshakespeare; `python train.py` fetches it"
)
def test_the_checkpoint_of_december_2015():
    """It was converted from a .t7, which does not record the log-softmax."""
    path = REFERENCE / "2015/lm_lstm_epoch2.36_1.7753.t7.pt"
    result = evaluated(path, "-torch7", "2015", "-data_dir", TINYSHAKESPEARE)
    assert result["nats_per_character"] == pytest.approx(result["recorded_val_loss"], rel=0, abs=1e-12)
    assert evaluated(path, "-data_dir", TINYSHAKESPEARE)["torch7"] == "2017"


@pytest.mark.parametrize(("split", "number"), [("train", 1), ("val", 2), ("test", 3)])
def test_splits_are_those_of_training(split, number, run):
    path = max(saved(run / "cv").items())[1][0]
    options = train_options(*SMALL, *THIRDS, "-data_dir", run / "data", "-init_from", path, "-model", "lstm")
    training = prepare(options)
    training.network.params.copy_(charrnn_port.load_checkpoint(path).params)  # -init_from sets the forget gates
    result = evaluated(path, "-split", split)
    assert result["nats_per_character"] == loss_of(training.evaluate(number))
    assert result["characters"] == training.loader.split_sizes[number] * 4 * 10
    assert result["split"] == split


@pytest.mark.parametrize("seq_length", [1, 7])
def test_a_single_row_is_read_from_its_beginning(seq_length, run, tmp_path):
    """Compared with the definition, one character at a time. The text lacks some characters of the vocabulary."""
    text = b"five boxing wizards jump over the lazy dog"
    data = write(tmp_path / "other", text)
    path, checkpoint = saved(run / "cv")[20]
    result = evaluated(path, "-split", "all", "-data_dir", data, "-batch_size", 1, "-seq_length", seq_length)
    nats, accuracy = direct_reading(checkpoint, text)
    assert result["nats_per_character"] == pytest.approx(nats, rel=1e-12)
    assert result["bits_per_character"] == pytest.approx(nats / math.log(2), rel=1e-12)
    assert result["accuracy"] == accuracy
    assert result["characters"] == len(text)
    assert (result["batch_size"], result["seq_length"]) == (1, seq_length)


def test_the_table_has_the_values_of_json_with_fewer_digits(run):
    """Eight decimals, as the original prints for losses."""
    path, checkpoint = saved(run / "cv")[20]
    result = run_evaluate(path, "-gpuid", -1)
    values = evaluated(path)
    for name in ("nats_per_character", "bits_per_character", "bits_per_byte", "accuracy", "recorded_val_loss"):
        values[name] = f"{values[name]:.8f}"
    values["epoch"] = f"{values['epoch']:.3f}"
    lines = [f"  {name} : {value}" for name, value in values.items()]
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == lines
    assert f"  nats_per_character : {checkpoint.val_loss:.8f}" in lines
    assert not [line for line in lines if re.search(r"\.\d{9}", line)]
    assert "  iteration : 20" in lines


def test_the_best_of_a_folder(run):
    path, checkpoint = min(saved(run / "cv").values(), key=lambda each: each[1].val_loss)
    result = run_evaluate(run / "cv", "-json", "-gpuid", -1)
    assert result.stderr == f"loading {path}, the best in {run / 'cv'}\n"
    assert json.loads(result.stdout)["nats_per_character"] == checkpoint.val_loss


def test_another_text_is_reported(run, tmp_path):
    path = saved(run / "cv")[20][0]
    result = run_evaluate(path, "-data_dir", write(tmp_path / "other", TEXT[:-1]), "-gpuid", -1)
    assert result.exit_code == 0
    assert result.stderr == f"the text in {tmp_path / 'other'} differs from the text that the run was trained on\n"
    copy = write(tmp_path / "copy", TEXT)
    assert run_evaluate(path, "-data_dir", copy, "-gpuid", -1).stderr == ""


def test_what_was_trained_on_in_batches_of_another_shape_is_reported(run):
    """The run's four rows of 510 characters begin with 200 for training. In a single row, the 510 characters from 820
    on are for validation: they contain the 200 of the third row.
    """
    path = saved(run / "cv")[20][0]
    result = run_evaluate(path, "-batch_size", 1, "-gpuid", -1)
    assert result.exit_code == 0
    assert result.stderr.startswith("39 % of this val split was trained on, since another -batch_size")
    for same in (["-batch_size", 4], ["-batch_size", 1, "-split", "train"], ["-batch_size", 1, "-split", "all"]):
        assert run_evaluate(path, *same, "-gpuid", -1).stderr == ""


def test_errors(run, play, tmp_path):
    path = saved(run / "cv")[20][0]
    assert_one_line_error(run_evaluate(LUA / "rnn.t7", "-gpuid", -1), 1, "no text at data/play/input.txt", "-data_dir")
    result = run_evaluate(LUA / "rnn.t7", "-data_dir", play, "-split", "test", "-gpuid", -1)
    assert_one_line_error(result, 1, "no batches in the test split", "0 for testing", "another -split")
    other = write(tmp_path / "other", TEXT + "é".encode())
    assert_one_line_error(run_evaluate(path, "-data_dir", other, "-gpuid", -1), 1, str(other), "the byte 0xa9")
    result = run_evaluate(path, "-data_dir", run / "data", "-batch_size", 10**6, "-gpuid", -1)
    assert_one_line_error(result, 1, "one batch needs", "10000000", "-batch_size")
    assert_one_line_error(run_evaluate(path, "-split", "validation"), 2, "-split", "train, val, test, all")
    assert_one_line_error(run_evaluate(tmp_path, "-gpuid", -1), 1, f"{tmp_path} is a folder, not a checkpoint")
    assert_one_line_error(run_evaluate(), 2, "MODEL")


def test_options_that_cannot_be(play, tmp_path):
    """Invalid options are those of a corrupt checkpoint; missing ones have train.py's defaults."""
    checkpoint = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    save_checkpoint(replace(checkpoint, opt=checkpoint.opt | {"seq_length": -3}), tmp_path / "wrong.t7.pt")
    assert_one_line_error(run_evaluate(tmp_path / "wrong.t7.pt", "-gpuid", -1), 1, "wrong.t7.pt", "-seq_length: -3")
    opt = {name: checkpoint.opt[name] for name in ("model", "rnn_size", "num_layers", "dropout")}
    save_checkpoint(replace(checkpoint, opt=opt), tmp_path / "few.t7.pt")
    result = evaluated(tmp_path / "few.t7.pt", "-data_dir", play, "-batch_size", 4)
    assert (result["batch_size"], result["seq_length"]) == (4, 50)


def test_characters_and_the_unknown_symbol(tmp_path):
    """With -encoding utf-8 and -min_count, the loss is the recorded one too, and any text can be read."""
    text = "Ein schöner Tag im März; ein Wort wie jedes andere, nur einmal ß.\n" * 30 + "€"
    data = write(tmp_path / "data", text.encode())
    start = [*SMALL, *EVERY, "-data_dir", data, "-checkpoint_dir", tmp_path / "cv"]
    assert run_train(*start, "-encoding", "utf-8", "-min_count", 40).exit_code == 0
    path, checkpoint = next(value for value in saved(tmp_path / "cv").values() if value[1].val_losses)
    assert checkpoint.vocab.unknown is not None
    assert evaluated(path)["nats_per_character"] == checkpoint.val_loss
    other = write(tmp_path / "other", "Другой текст, 另一个文本.\n".encode() * 30)
    assert math.isfinite(evaluated(path, "-data_dir", other, "-split", "all")["nats_per_character"])

"""Tests that invalid input gives a one-line error and a nonzero status, and leaves saved files unchanged."""

import errno
import math
import os
import re
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, assert_one_line_error, full_disk, run_sample, run_train, without_notes
from runs import log_lines

import charrnn_port

SMALL = "-gpuid -1 -rnn_size 4 -num_layers 1 -batch_size 2 -seq_length 5 -max_epochs 0.05 -eval_val_every 2".split()


@pytest.fixture
def data(tmp_path):
    """Return a data folder with a short text."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "input.txt").write_bytes(b"the quick brown fox jumps over the lazy dog.\n" * 20)
    return folder


@pytest.fixture
def small(data, tmp_path):
    """Return the arguments of a very short run."""
    return ["-data_dir", data, "-checkpoint_dir", tmp_path / "cv", *SMALL]


@pytest.fixture
def saved(small, tmp_path):
    """Return a checkpoint."""
    assert run_train(*small).exit_code == 0
    return sorted((tmp_path / "cv").glob("*.t7.pt"))[0]


def test_missing_data_dir(tmp_path):
    assert_one_line_error(run_train("-data_dir", tmp_path / "none"), 1, "none/input.txt", "-data_dir")


def test_empty_text(data, small):
    (data / "input.txt").write_bytes(b"")
    assert_one_line_error(run_train(*small), 1, "input.txt is empty")


def test_text_shorter_than_a_batch(data, small):
    (data / "input.txt").write_bytes(b"abcdefghi")
    result = run_train(*small)
    assert_one_line_error(result, 1, "9 bytes", "10", "-batch_size 1 -seq_length 1")


@pytest.mark.parametrize("size", [50, 70, 500, 3000, 20_000, 149_999])
def test_the_sizes_that_an_error_names_would_do(size, tmp_path):
    """The suggested sizes can be pasted and train with at least 50 batches."""
    (tmp_path / "input.txt").write_bytes(b"abcdefghij" * (size // 10))
    arguments = ["-gpuid", -1, "-rnn_size", 2, "-max_epochs", 0.01, "-eval_val_every", 99]
    arguments += ["-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv"]
    error = run_train(*arguments, "-batch_size", 1000, "-seq_length", 1000).stderr
    advised = re.search(r"-batch_size \d+ -seq_length \d+", error)[0].split()
    result = run_train(*arguments, *advised)
    assert result.exit_code == 0, result.stderr
    assert "WARNING: less than 50 batches" not in result.stdout


def test_few_batches_are_warned_of(small):
    result = run_train(*small, "-batch_size", 5)
    assert "WARNING: less than 50 batches" in result.stdout
    assert result.exit_code == 0


def test_training_without_validation(small, tmp_path):
    """As in the original, the mean over no batches is nan, in the file's name and contents, and training continues."""
    no_split = ["-train_frac", 1, "-val_frac", 0]
    result = run_train(*small, *no_split, "-keep_last", 1)
    assert result.exit_code == 0
    said, cell, *evaluations = result.stderr.splitlines()
    assert said.startswith("no batches in the validation split: validation losses will be nan")
    assert cell.startswith("cell: ")
    assert all("no batches to evaluate" in line for line in evaluations)
    lines = result.stdout.splitlines()
    place = lines.index("evaluating loss over split index 2")
    assert lines[place + 1] == f"saving checkpoint to {tmp_path}/cv/lm_lstm_epoch0.02_nan.t7.pt"
    (path,) = (tmp_path / "cv").glob("*.t7.pt")  # the newest: none is the best
    saved = charrnn_port.load_checkpoint(path)
    assert math.isnan(saved.val_loss)
    assert saved.i == 4
    assert all(math.isnan(loss) for loss in saved.val_losses.values())
    resumed = run_train("-resume", "latest", "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 0.1)
    assert resumed.exit_code == 0
    whole = run_train(*small, *no_split, "-max_epochs", 0.1, "-checkpoint_dir", tmp_path / "whole")
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[4:]


def test_without_validation_the_state_is_not_touched(small, tmp_path):
    """An empty evaluation does not run the cells, so that the losses are those of a run that never evaluates."""
    options = [*small, "-train_frac", 1, "-val_frac", 0, "-max_epochs", 0.2]
    evaluating = run_train(*options)
    never = run_train(*options, "-eval_val_every", 1000, "-checkpoint_dir", tmp_path / "never")
    assert log_lines(evaluating.stdout) == log_lines(never.stdout)


def test_no_validation_batches_is_no_matter_where_none_are_needed(small):
    result = run_train(*small, "-train_frac", 1, "-val_frac", 0, "-eval_val_every", 1000, "-max_epochs", 0.035)
    assert result.exit_code == 0
    assert "train_loss" in result.stdout
    assert "no batches" not in result.stderr


def test_no_training_batches(small):
    assert_one_line_error(run_train(*small, "-train_frac", 0, "-val_frac", 1), 1, "no batches in the train split")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rnn_size", 0), ("num_layers", 0), ("seq_length", 0), ("batch_size", -1), ("dropout", 1), ("dropout", -0.1),
        ("train_frac", 1.1), ("val_frac", -0.1), ("rnn_size", "large"), ("rnn_size", 1.5), ("model", "gnu"),
        ("grad_clip", 0), ("decay_rate", -0.1), ("learning_rate", "nan"), ("print_every", 0), ("eval_val_every", 0),
    ],
)  # fmt: skip
def test_values_out_of_range(small, name, value):
    assert_one_line_error(run_train(*small, f"-{name}", value), 2, f"-{name}: ", str(value))


def test_fractions_above_one_together(small):
    assert_one_line_error(run_train(*small, "-train_frac", 0.9, "-val_frac", 0.2), 1, "0.9", "0.2", "more than 1")


@pytest.mark.parametrize("temperature", [0, -1])
def test_temperature(saved, temperature):
    assert_one_line_error(run_sample(saved, "-temperature", temperature), 2, "-temperature: ", str(temperature))


def test_temperature_zero_names_greedy_sampling(saved):
    assert_one_line_error(run_sample(saved, "-temperature", 0), 2, "must be above 0; ", "use -sample 0")


def test_data_dir_that_is_the_text(data, small):
    path = data / "input.txt"
    assert_one_line_error(run_train(*small, "-data_dir", path), 1, f"-data_dir {path} is a file: name its folder")


def test_fewer_epochs_than_an_iteration(small):
    """As in the original nothing is trained and the status is 0, but a warning says how much would be."""
    result = run_train(*small, "-max_epochs", 0.001)
    assert result.exit_code == 0, result.output
    assert "-max_epochs 0.001 is less than one iteration, so nothing is trained: an epoch has" in result.stderr
    enough = float(re.search(r"use ([\d.e-]+) or more", result.stderr)[1])
    assert "train_loss" in run_train(*small, "-max_epochs", enough).stdout


def test_primetext_outside_the_vocabulary(saved):
    assert_one_line_error(run_sample(saved, "-primetext", "the Fox"), 1, "'F'", "position 4")


def test_missing_checkpoint(small, tmp_path):
    assert_one_line_error(run_sample(tmp_path / "none.t7.pt"), 1, "none.t7.pt does not exist")
    assert_one_line_error(run_train(*small, "-init_from", tmp_path / "none.t7.pt"), 1, "none.t7.pt does not exist")


def test_truncated_checkpoint(saved, small):
    whole = saved.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:size])
        assert_one_line_error(run_sample(saved), 1, str(saved))
        assert_one_line_error(run_train(*small, "-init_from", saved), 1, str(saved))


def test_not_a_checkpoint(data, tmp_path):
    assert_one_line_error(run_sample(data / "input.txt"), 1, "input.txt is corrupt or not a checkpoint")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    assert_one_line_error(run_sample(tmp_path / "other.pt"), 1, "other.pt", "not one that train.py wrote")


class Payload:
    """A class whose pickle would run code."""

    def __reduce__(self):
        return os.mkdir, ("payload_ran",)


def test_a_checkpoint_with_code_runs_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": Payload()}, "hostile.t7.pt")
    assert_one_line_error(run_sample("hostile.t7.pt"), 1, "hostile.t7.pt", "mkdir", "refused")
    assert not (tmp_path / "payload_ran").exists()


def test_checkpoint_of_another_vocabulary(saved, data, small):
    text = data / "input.txt"
    text.write_bytes(text.read_bytes().replace(b"q", b"Q"))
    result = run_train(*small, "-init_from", saved)
    assert_one_line_error(result, 1, "vocabulary", "'Q' is in the text but not the checkpoint")


def test_checkpoint_dir_that_cannot_be_written(small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = run_train(*small, "-checkpoint_dir", tmp_path / "file" / "cv")
    assert_one_line_error(result, 1, "file/cv", "-checkpoint_dir")
    assert "train_loss" not in result.stdout


def test_text_that_cannot_be_read(data, small):
    (data / "input.txt").unlink()
    (data / "input.txt").mkdir()
    assert_one_line_error(run_train(*small), 1, "no text at", "input.txt")


def test_cache_that_cannot_be_written(data, small):
    (data / "data.h5").mkdir()
    assert_one_line_error(run_train(*small), 1, "data.h5")


@pytest.mark.long
def test_full_disk_while_saving(saved, small, tmp_path):
    whole = saved.read_bytes()
    command = [sys.executable, ROOT / "train.py", *small, "-savefile", "second"]
    with full_disk(2000):
        process = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert process.returncode == 1
    error = without_notes(process.stderr)
    assert error.count("\n") == 1
    assert error.startswith("Error: cannot save ")
    assert f"{os.strerror(errno.EFBIG)}; earlier checkpoints are untouched" in process.stderr
    assert saved.read_bytes() == whole
    assert not [file for file in saved.parent.iterdir() if "second" in file.name]

"""Bad input ends in one line on stderr and a status that is not 0; nothing saved before is touched."""

import errno
import os
import resource
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, assert_one_line_error, run_sample, run_train

SMALL = "-gpuid -1 -rnn_size 4 -num_layers 1 -batch_size 2 -seq_length 5 -max_epochs 0.05 -eval_val_every 2".split()


@pytest.fixture
def data(tmp_path):
    """A data folder with a short text."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "input.txt").write_bytes(b"the quick brown fox jumps over the lazy dog.\n" * 20)
    return folder


@pytest.fixture
def small(data, tmp_path):
    """Arguments of a run that takes no time."""
    return ["-data_dir", data, "-checkpoint_dir", tmp_path / "cv", *SMALL]


@pytest.fixture
def saved(small, tmp_path):
    """A checkpoint."""
    assert run_train(*small).exit_code == 0
    return sorted((tmp_path / "cv").glob("*.t7.pt"))[0]


def test_missing_data_dir(tmp_path):
    assert_one_line_error(run_train("-data_dir", tmp_path / "none"), 1, "none/input.txt", "-data_dir")


def test_empty_text(data, small):
    (data / "input.txt").write_bytes(b"")
    assert_one_line_error(run_train(*small), 1, "input.txt is empty")


def test_text_shorter_than_a_batch(data, small):
    (data / "input.txt").write_bytes(b"abcdefghi")
    assert_one_line_error(run_train(*small), 1, "9 bytes", "10", "-batch_size", "-seq_length")


def test_few_batches_are_warned_of(small):
    result = run_train(*small, "-batch_size", 5)
    assert "WARNING: less than 50 batches" in result.stdout
    assert result.exit_code == 0


def test_no_validation_batches_is_said_at_the_start(small):
    result = run_train(*small, "-train_frac", 1, "-val_frac", 0)
    assert_one_line_error(result, 1, "no batches in the validation split")
    assert "train_loss" not in result.stdout


def test_no_validation_batches_is_no_matter_where_none_are_needed(small):
    result = run_train(*small, "-train_frac", 1, "-val_frac", 0, "-eval_val_every", 1000, "-max_epochs", 0.035)
    assert result.exit_code == 0
    assert "train_loss" in result.stdout


def test_no_training_batches(small):
    assert_one_line_error(run_train(*small, "-train_frac", 0, "-val_frac", 1), 1, "no batches in the train split")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rnn_size", 0), ("num_layers", 0), ("seq_length", 0), ("batch_size", -1), ("dropout", 1), ("dropout", -0.1),
        ("train_frac", 1.1), ("val_frac", -0.1), ("rnn_size", "large"), ("rnn_size", 1.5), ("model", "gnu"),
        ("grad_clip", 0), ("decay_rate", 1), ("learning_rate", "nan"), ("print_every", 0), ("eval_val_every", 0),
    ],
)  # fmt: skip
def test_values_out_of_range(small, name, value):
    assert_one_line_error(run_train(*small, f"-{name}", value), 2, f"-{name}: ", str(value))


def test_fractions_above_one_together(small):
    assert_one_line_error(run_train(*small, "-train_frac", 0.9, "-val_frac", 0.2), 1, "0.9", "0.2", "more than 1")


@pytest.mark.parametrize("temperature", [0, -1])
def test_temperature(saved, temperature):
    assert_one_line_error(run_sample(saved, "-temperature", temperature), 2, "-temperature: ", str(temperature))


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
    assert_one_line_error(run_sample(data / "input.txt"), 1, "input.txt is damaged or not a checkpoint")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    assert_one_line_error(run_sample(tmp_path / "other.pt"), 1, "other.pt", "not one that train.py wrote")


class Payload:
    """What a hostile pickle would run."""

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


def limit_file_size() -> None:
    """Let no file grow beyond 2000 bytes, which stands in for a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


def test_full_disk_while_saving(saved, small, tmp_path):
    whole = saved.read_bytes()
    command = [sys.executable, ROOT / "train.py", *small, "-savefile", "second"]
    process = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, preexec_fn=limit_file_size, check=False
    )
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert process.stderr.startswith("Error: cannot save ")
    assert f"{os.strerror(errno.EFBIG)}; earlier checkpoints are untouched" in process.stderr
    assert saved.read_bytes() == whole
    assert not [file for file in saved.parent.iterdir() if "second" in file.name]

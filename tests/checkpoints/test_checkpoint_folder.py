"""Tests that a checkpoint folder is locked by one run, keeps the right checkpoints, and may have any name."""

import errno
import math
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import replace

import pytest
import torch
from conftest import ROOT, assert_one_line_error, run_sample, run_train
from runs import EVERY, SMALL, TEXT, log_lines, saved

import charrnn_port
from charrnn_port.checkpoints import folder, save_checkpoint
from charrnn_port.options import TrainOptions
from charrnn_port.training import Training
from charrnn_port.util import files
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import temporary_path


@pytest.fixture
def start(tmp_path):
    """Return the arguments of a run of 144 iterations that evaluates and saves seven times."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return [*SMALL, *EVERY, "-data_dir", tmp_path / "data", "-checkpoint_dir", tmp_path / "cv"]


@pytest.fixture
def other(start):
    """Start another process that trains in the folder during the test, and return its process id."""
    command = [sys.executable, ROOT / "train.py", *start, "-max_epochs", 1e6, "-savefile", "other"]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    while not process.stdout.readline().startswith("20/"):
        pass
    os.kill(process.pid, signal.SIGSTOP)  # so that it does not fill the disk
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused(start, other, tmp_path):
    text = tmp_path / "data/input.txt"
    text.write_bytes(TEXT * 2)  # would need preprocessing
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert_one_line_error(run_train(*start), 1, str(other.pid), str(tmp_path / "cv"), "-checkpoint_dir")
    assert_one_line_error(run_train("-resume", "latest", "-checkpoint_dir", tmp_path / "cv"), 1, str(other.pid))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.long
def test_reading_is_not_refused(start, other, tmp_path):
    path = saved(tmp_path / "cv")[20][0]
    assert run_sample(path, "-length", 10).exit_code == 0
    result = run_train(*start, "-init_from", path, "-checkpoint_dir", tmp_path / "mine", "-max_epochs", 0.1)
    assert result.exit_code == 0


@pytest.mark.long
def test_the_lock_dies_with_its_process(start, other, tmp_path):
    other.kill()
    other.wait()
    assert run_train(*start).exit_code == 0


def test_a_lock_that_is_a_link_is_not_followed(start, tmp_path):
    (tmp_path / "precious").write_text("content")
    (tmp_path / "cv").mkdir()
    (tmp_path / "cv/.lock").symlink_to(tmp_path / "precious")
    result = run_train(*start)
    assert_one_line_error(result, 1, f"{tmp_path / 'cv'}: .lock in it is a link", "delete it")
    assert (tmp_path / "precious").read_text() == "content"


def test_nothing_stays_of_the_trial(start, tmp_path):
    file = folder.claim(TrainOptions(checkpoint_dir=tmp_path / "new/cv"))
    assert os.listdir(tmp_path / "new/cv") == [".lock"]
    assert (tmp_path / "new/cv/.lock").read_text() == f"{os.getpid()}\n"
    with pytest.raises(UserError, match=f"process {os.getpid()}, writes its"):
        folder.claim(TrainOptions(checkpoint_dir=tmp_path / "new/cv"))
    file.close()
    (tmp_path / "new/cv/.lock").write_text("1234567 and more than this process writes")
    folder.claim(TrainOptions(checkpoint_dir=tmp_path / "new/cv")).close()
    assert (tmp_path / "new/cv/.lock").read_text() == f"{os.getpid()}\n"


def test_a_trial_writes_through_no_link(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "temporary_path", lambda path: tmp_path / "cv/aside")
    (tmp_path / "precious").write_text("content")
    (tmp_path / "cv").mkdir()
    (tmp_path / "cv/aside").symlink_to(tmp_path / "precious")
    folder.claim(TrainOptions(checkpoint_dir=tmp_path / "cv")).close()
    assert (tmp_path / "precious").read_text() == "content"
    assert os.listdir(tmp_path / "cv") == [".lock"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-savefile", "a/b"], ["-savefile: 'a/b'", "-checkpoint_dir"]),
        (["-savefile", "../x"], ["-savefile: '../x'", "-checkpoint_dir"]),
        (["-savefile", "/"], ["-savefile: '/'"]),
        (["-savefile", "a\0b"], ["-savefile: 'a\\x00b'"]),
        (["-savefile", "\ud800"], ["-savefile: '\\ud800'"]),
        (["-checkpoint_dir", ""], ["-checkpoint_dir: ''", "the current folder is ."]),
        (["-checkpoint_dir", "a\0b"], ["-checkpoint_dir: 'a\\x00b'"]),
    ],
)
def test_names_that_can_never_be_are_refused_at_the_start(start, options, words, tmp_path):
    assert_one_line_error(run_train(*start, *options), 2, *words)
    assert os.listdir(tmp_path) == ["data"]
    assert os.listdir(tmp_path / "data") == ["input.txt"]


def test_names_too_long_for_the_file_system(start, tmp_path):
    """The file system reports the limit, which is tested with the longest name that the run will write."""
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    with pytest.raises(UserError) as caught:
        folder.claim(TrainOptions(checkpoint_dir=tmp_path / "cv", savefile="x" * longest))
    written = len(temporary_path(tmp_path / "lm__epoch50.00_1.2345.t7.pt").name)
    assert f"shorter -savefile ({longest} characters)" in str(caught.value)
    result = run_train(*start, "-savefile", "x" * (longest - written + 1))
    assert_one_line_error(result, 1, "file name too long", "-savefile")
    assert "train_loss" not in result.stdout
    result = run_train(*start, "-savefile", "x" * (longest - written - 12), "-max_epochs", 0.5)
    assert result.exit_code == 0, result.output
    assert saved(tmp_path / "cv")
    assert_one_line_error(run_train(*start, "-checkpoint_dir", tmp_path / ("x" * (longest + 1))), 1, "-checkpoint_dir")


def test_a_run_of_endless_epochs_has_names(tmp_path):
    folder.claim(TrainOptions(checkpoint_dir=tmp_path, max_epochs=1e300)).close()


@pytest.mark.parametrize("locks", ["no fcntl", "no locks there"])
def test_systems_without_locks(start, monkeypatch, locks):
    def flock(*arguments: object) -> None:
        raise OSError("no locks available")

    if locks == "no fcntl":
        monkeypatch.setattr(files, "fcntl", None)
    else:
        monkeypatch.setattr(files.fcntl, "flock", flock)
    assert run_train(*start, "-max_epochs", 0.1).exit_code == 0


def test_what_a_killed_run_was_writing_is_no_checkpoint_and_goes(start, ended_pid, tmp_path):
    run_train(*start, "-max_epochs", 0.6)  # to iteration 28, where the run ends
    whole = saved(tmp_path / "cv")[20][0]
    leftover = tmp_path / f"cv/lm_lstm_epoch0.83_2.0.t7.pt.part.{platform.node()}.{ended_pid}"
    leftover.write_bytes(whole.read_bytes())
    backup = tmp_path / "cv" / f"{whole.name}.1"
    backup.write_bytes(b"not ours")
    os.utime(leftover, (time.time() + 9, time.time() + 9))
    assert folder.load_latest(tmp_path / "cv").i == 28
    assert leftover.exists()
    run_train("-resume", "latest", "-checkpoint_dir", tmp_path / "cv")
    assert not leftover.exists()
    assert backup.exists()


def test_what_others_write_there_stays(start, ended_pid, tmp_path):
    """Files of processes on other machines, whose state is unknown here, and of live processes on this one."""
    names = [f"not-{platform.node()}.{ended_pid}", f"{platform.node()}.{os.getppid()}"]
    others = [tmp_path / f"cv/lm_other_epoch1.00_2.0000.t7.pt.part.{name}" for name in names]
    others[0].parent.mkdir()
    for path in others:
        path.touch()
    assert run_train(*start, "-max_epochs", 0.6).exit_code == 0
    assert all(path.exists() for path in others)


LOSSES = {20: 3.0, 40: 1.0, 60: math.nan, 80: 1.5, 100: 1.4, 120: 1.3, 140: 1.2, 144: 1.1}


@pytest.fixture
def evaluations(monkeypatch):
    """Make evaluations return LOSSES, of which the lowest is neither the first nor the last."""
    losses = iter(LOSSES.values())

    def evaluate(*_: object) -> Generator[None, None, float]:
        yield from ()
        return next(losses)

    monkeypatch.setattr(Training, "evaluate", evaluate)


@pytest.mark.parametrize(
    ("keep", "kept"), [(0, set(LOSSES)), (1, {40, 144}), (3, {40, 120, 140, 144}), (99, set(LOSSES))]
)
def test_keep_last_keeps_the_newest_and_the_best(start, evaluations, keep, kept, tmp_path):
    assert run_train(*start, "-keep_last", keep).exit_code == 0
    assert set(saved(tmp_path / "cv")) == kept


def test_keep_last_after_resume_and_beside_other_runs(start, evaluations, tmp_path):
    run_train(*start, "-max_epochs", 1.3)  # to iteration 62
    first = saved(tmp_path / "cv")
    others = [tmp_path / "cv" / name for name in ("lm_lstm_epoch0.42_9.0000.t7.pt", "lm_gru_epoch0.42_3.0000.t7.pt")]
    for other in others:
        other.write_bytes(first[20][0].read_bytes())
    first[60][0].rename(tmp_path / "from.t7.pt")
    first[60][0].mkdir()  # cannot be deleted as a file, which is ignored
    resumed = run_train("-resume", tmp_path / "from.t7.pt", "-max_epochs", 3, "-keep_last", 1)
    assert resumed.exit_code == 0, resumed.output
    for other in others:
        other.unlink()
    first[60][0].rmdir()
    assert set(saved(tmp_path / "cv")) == {40, 62, 144}  # 62 is where the first part ended


def test_keep_last_deletes_nothing_before_the_next_is_saved(start, evaluations, monkeypatch, tmp_path):
    save, calls = torch.save, []

    def third_fails(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(torch, "save", third_fails)
    assert_one_line_error(run_train(*start, "-keep_last", 1), 1, "No space left", "untouched")
    assert set(saved(tmp_path / "cv")) == {40}


@pytest.fixture
def checkpoint(start, tmp_path):
    """Return a checkpoint after 20 iterations, and options that keep only the newest and the best."""
    run_train(*start, "-max_epochs", 0.5)
    options = TrainOptions(savefile="x", checkpoint_dir=tmp_path, keep_last=1)
    return saved(tmp_path / "cv")[20][1], options


def test_keep_last_keeps_a_name_that_two_evaluations_share(checkpoint, tmp_path):
    checkpoint, options = checkpoint
    path = tmp_path / "lm_x_epoch0.00_2.0000.t7.pt"
    save_checkpoint(checkpoint, path)
    folder.delete_older(options, replace(checkpoint, val_losses={1: 2.00002, 2: 2.00001}), ntrain=1000)
    assert path.exists()


def test_keep_last_deletes_no_other_run_s_of_the_same_name(checkpoint, tmp_path):
    checkpoint, options = checkpoint
    ours, theirs = (tmp_path / f"lm_x_epoch0.00_{loss}.0000.t7.pt" for loss in (4, 3))
    save_checkpoint(checkpoint, ours)
    save_checkpoint(replace(checkpoint, train_losses=[1.0] * 20), theirs)
    folder.delete_older(options, replace(checkpoint, val_losses={1: 4.0, 2: 3.0, 3: 2.0}), ntrain=1000)
    assert (ours.exists(), theirs.exists()) == (False, True)


def test_checkpoints_of_another_run_are_not_overwritten(start, tmp_path):
    """A checkpoint of another run is kept: this run's gets another name, which is reported. Its own is overwritten."""
    end = ["-max_epochs", 0.55]  # 26.4 iterations
    assert run_train(*start, *end).exit_code == 0
    first = tmp_path / "cv/lm_lstm_finished.t7.pt"
    before = first.read_bytes()
    again = run_train(*start, *end)
    assert "of another run" not in again.stderr
    other = run_train(*start, *end, "-seed", 7)
    second = tmp_path / "cv/lm_lstm_finished.2.t7.pt"
    assert f"{first} belongs to another run: saving to {second} instead" in other.stderr
    assert first.read_bytes() == before
    assert charrnn_port.load_checkpoint(second).opt["seed"] == 7
    (tmp_path / "cv/lm_lstm_finished.3.t7.pt").write_bytes(b"something else")
    third = run_train(*start, *end, "-seed", 8)
    assert str(tmp_path / "cv/lm_lstm_finished.4.t7.pt") in third.stderr


def names() -> list:
    """Return folder names with unusual characters."""
    harder = ["with  two spaces", "Größe 文字 🙂"]
    return [*harder, *([os.fsdecode(b"not \xff text")] if sys.platform == "linux" else [])]


@pytest.mark.parametrize("name", names(), ids=ascii)
def test_names_of_folders(start, name, tmp_path):
    (tmp_path / "data").rename(tmp_path / f"data {name}")
    (tmp_path / "target").mkdir()
    (tmp_path / name).symlink_to(tmp_path / "target")
    folders = ["-data_dir", tmp_path / f"data {name}", "-checkpoint_dir", tmp_path / name]
    whole = run_train(*start, *folders)
    assert whole.exit_code == 0, whole.output
    for path, found in saved(tmp_path / name).values():
        if found.i > 40:
            path.unlink()
    resumed = run_train("-resume", "latest", "-checkpoint_dir", tmp_path / name)
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[40:]
    assert run_sample(saved(tmp_path / "target")[144][0], "-length", 10).exit_code == 0
    assert_one_line_error(run_sample(tmp_path / name / "none.t7.pt"), 1, "does not exist")

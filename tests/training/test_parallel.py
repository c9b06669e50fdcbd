"""Several processes under torchrun print the lines of a single one, write its checkpoints, and end together."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from conftest import RECORDINGS, arguments_of, assert_one_line_error, run_train
from runs import comparable, log_lines
from torchrun import Torchrun, two_hosts

import charrnn_port

SMALL = "-gpuid -1 -rnn_size 8 -batch_size 4 -seq_length 10 -max_epochs 3 -eval_val_every 20 -dropout 0.5".split()
TEXT = b"the quick brown fox jumps over the lazy dog; the five boxing wizards jump quickly.\n" * 25


@pytest.fixture
def small(tmp_path):
    """Return arguments of a run of 144 iterations that evaluates and saves seven times."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return [*SMALL, "-data_dir", tmp_path / "data"]


@pytest.mark.long
def test_prints_what_the_original_printed_alone(recordings, tmp_path):
    """A recorded run with dropout on two hosts; then the rest of it in one process, from their checkpoint.

    Each host has its own copy of the text, and only the first one writes checkpoints.
    """
    run = recordings["runs/lstm_dropout"]
    hosts = []
    for number, words in enumerate(two_hosts()):
        folder = tmp_path / f"host{number}"
        shutil.copytree(RECORDINGS / "play", folder / "play")
        hosts.append(Torchrun("-data_dir", "play", *arguments_of(run), count=1, words=words, folder=folder))
    assert [host.end() for host in hosts] == [0, 0]
    recorded = comparable(bytes(run["stdout"][:]).decode())
    assert comparable(hosts[0].stdout) == recorded
    assert hosts[1].stdout == ""
    assert hosts[0].stdout.count("preprocessing input text file") == 1
    cv = tmp_path / "host0/cv"
    assert {file.name for file in cv.glob("lm_*")} == {f"{name}.pt" for name in run.attrs["checkpoints"]}
    assert (tmp_path / "host1/play/data.h5").exists()
    assert not (tmp_path / "host1/cv").exists()

    checkpoint = cv / f"{run.attrs['checkpoints'][0]}.pt"
    options = ["-data_dir", tmp_path / "host0/play", "-checkpoint_dir", tmp_path / "rest"]
    rest = log_lines(run_train("-resume", checkpoint, *options).stdout)
    assert len(rest) == 185
    assert rest == log_lines("\n".join(recorded))[-185:]


@pytest.mark.long
@pytest.mark.parametrize("words", ["", "-optimizer adamw -weight_decay 0.1 -clip_norm 2 -lr_schedule cosine"])
def test_goes_on_with_what_one_saved(small, words, tmp_path):
    """And saves what a single process would: all options, and all rows of the state, up to rounding."""
    whole = run_train(*small, *words.split(), "-checkpoint_dir", tmp_path / "cv")
    one = {path.name: charrnn_port.load_checkpoint(path) for path in (tmp_path / "cv").glob("lm_*")}
    begin = next(tmp_path / "cv" / name for name, checkpoint in one.items() if checkpoint.i == 40)
    together = Torchrun("-resume", begin, "-checkpoint_dir", tmp_path / "rest", count=4)
    assert together.end() == 0
    assert log_lines(together.stdout) == log_lines(whole.stdout)[40:]
    path = max((tmp_path / "rest").glob("lm_*"), key=os.path.getmtime)
    ours, theirs = charrnn_port.load_checkpoint(path), one[path.name]
    assert {**ours.opt, "checkpoint_dir": ""} == {**theirs.opt, "checkpoint_dir": ""}
    assert ours.progress["random"] == theirs.progress["random"]
    for a, b in zip(ours.progress["state"], theirs.progress["state"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


needs_children = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="asks Linux for a process's children"
)


@pytest.mark.long
@needs_children
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_runs_go_on(small, number, tmp_path):
    """The main process gets the signal twice, since torchrun forwards signals; the second process gets it once."""
    whole = log_lines(run_train(*small, "-checkpoint_dir", tmp_path / "whole").stdout)
    together = Torchrun(*small, "-checkpoint_dir", tmp_path / "cv")
    together.read(until="30/")
    os.kill(together.children()[0], number)
    together.process.send_signal(number)
    assert together.end() != 0
    assert together.errors == []
    resumed = run_train("-resume", tmp_path / "cv/lm_lstm_interrupted.t7.pt", "-checkpoint_dir", tmp_path / "rest")
    assert log_lines(together.stdout) + log_lines(resumed.stdout) == whole


@pytest.mark.long
@needs_children
@pytest.mark.parametrize("rank", [0, 1])
def test_all_end_when_one_is_killed(small, rank, tmp_path):
    run = ["-checkpoint_dir", tmp_path / "cv", "-max_epochs", 1000, "-batch_size", 6]
    together = Torchrun(*small, *run, count=3)
    together.read(until="30/")
    os.kill(together.children()[rank], signal.SIGKILL)
    assert together.end() != 0
    (error,) = together.errors
    assert "another process of this run ended" in error
    assert "-resume latest" in error
    checkpoints = [charrnn_port.load_checkpoint(path) for path in (tmp_path / "cv").glob("*.t7.pt")]
    assert 20 in {checkpoint.i for checkpoint in checkpoints}


@pytest.mark.long
def test_rows_that_cannot_be_shared_out(small, tmp_path):
    together = Torchrun(*small, "-batch_size", 5, "-checkpoint_dir", tmp_path / "cv")
    assert together.end() != 0
    (error,) = together.errors
    assert "-batch_size 5" in error
    assert "use 4 or another multiple of 2" in error
    assert together.stdout == ""


def test_one_process_does_not_touch_torch_distributed(small, tmp_path):
    assert run_train(*small, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 0.1).exit_code == 0
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RANK": "0", "WORLD_SIZE": "1"}, "LOCAL_RANK is 'not set'"),
        ({"RANK": "x", "WORLD_SIZE": "1"}, "RANK is 'x'"),
        ({"RANK": "", "WORLD_SIZE": "1"}, "RANK is ''"),
        (dict.fromkeys("RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE MASTER_PORT".split(), "1"), "MASTER_ADDR is not"),
    ],
)
def test_an_environment_that_is_half_of_torchrun_s(small, monkeypatch, environment, words, tmp_path):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = run_train(*small, "-checkpoint_dir", tmp_path / "cv")
    assert_one_line_error(result, 1, words, "unset RANK")

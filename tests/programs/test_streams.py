"""Tests the programs with `| head`, without a terminal, and with closed streams."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RECORDINGS, ROOT, run_train, without_notes
from runs import EVERY, SMALL, TEXT, log_lines, saved

import charrnn_port


@pytest.fixture
def start(tmp_path):
    """Return the arguments of a run of 144 iterations that evaluates and saves seven times."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return [*SMALL, *EVERY, "-data_dir", tmp_path / "data", "-checkpoint_dir", tmp_path / "cv"]


def command(program: str, *arguments: object) -> list[str]:
    return [str(word) for word in (sys.executable, ROOT / program, *arguments)]


def read_until(command: list[str], last: bytes) -> tuple[int, str]:
    """Read a program's output up to a line with this beginning, then close it; return the exit status and stderr."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not process.stdout.readline().startswith(last):
        pass
    process.stdout.close()
    errors = process.stderr.read()
    return process.wait(), without_notes(errors.decode())


def test_train_into_head(start, tmp_path):
    """It saves as if interrupted and prints no error; the status is that of SIGPIPE."""
    assert read_until(command("train.py", *start, "-max_epochs", 1e6), b"30/") == (141, "")
    interrupted = tmp_path / "cv/lm_lstm_interrupted.t7.pt"
    done = charrnn_port.load_checkpoint(interrupted).i
    assert done >= 30
    epochs = (done + 20.5) / 48
    resumed = run_train("-resume", interrupted, "-checkpoint_dir", tmp_path / "rest", "-max_epochs", epochs)
    whole = run_train(*start, "-checkpoint_dir", tmp_path / "whole", "-max_epochs", epochs)
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[done:]


@pytest.mark.long
def test_train_into_head_before_the_first_iteration(start):
    assert read_until(command("train.py", *start, "-max_epochs", 1e6), b"") == (141, "")


@pytest.mark.long
def test_sample_into_head(start, tmp_path):
    run_train(*start, "-max_epochs", 0.5)
    checkpoint = saved(tmp_path / "cv")[20][0]
    assert read_until(command("sample.py", checkpoint, "-length", 0), b"-----") == (141, "")


@pytest.mark.parametrize(
    "streams", ["0<&- 1>&- 2>&-", pytest.param("</dev/null >/dev/null 2>/dev/null", marks=pytest.mark.long)]
)
def test_train_without_a_terminal(start, streams, tmp_path):
    run = subprocess.run(
        ["sh", "-c", f'exec "$@" {streams}', "sh", *command("train.py", *start)], capture_output=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, b"")
    assert set(saved(tmp_path / "cv")) == {20, 40, 60, 80, 100, 120, 140, 144}


@pytest.mark.long
def test_sample_needs_somewhere_to_write(start, tmp_path):
    run_train(*start, "-max_epochs", 0.5)
    checkpoint = saved(tmp_path / "cv")[20][0]
    run = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command("sample.py", checkpoint)], stderr=subprocess.PIPE, check=False
    )
    assert run.returncode == 1
    assert run.stderr.startswith(b"Error: ")
    assert run.stderr.count(b"\n") == 1


@pytest.mark.parametrize("verb", ["inspect", pytest.param("score", marks=pytest.mark.long)])
def test_a_report_needs_stdout(verb, tmp_path):
    """Its result is not lost in silence."""
    (tmp_path / "text").write_bytes(TEXT[:100])
    words = [sys.executable, "-m", "charrnn_port", verb, RECORDINGS / "lua_checkpoints/lstm.t7"]
    words += [tmp_path / "text", "-unknown", "skip"] if verb == "score" else []
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *map(str, words)]
    run = subprocess.run(closed, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == "Error: stdout: not writable"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_help_on_a_full_device():
    command = ["sh", "-c", f"{sys.executable} -m charrnn_port -help >/dev/full"]
    run = subprocess.run(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert (run.returncode, run.stderr) == (1, "Error: stdout: No space left on device\n")

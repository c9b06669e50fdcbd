"""Runs of thousands of iterations need no more memory than short ones; killed runs lose only time."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, run_train
from runs import TEXT, assert_same, log_lines, saved

pytestmark = pytest.mark.long
KILLS = 50
ITERATIONS = 10_000


def started(*arguments: object) -> subprocess.Popen:
    command = [str(word) for word in (sys.executable, ROOT / "train.py", *arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@pytest.fixture
def data(tmp_path):
    """Return a data folder with a text of 14 kB."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "input.txt").write_bytes(TEXT * 7)
    return folder


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow(data, tmp_path):
    """Less than 5 MB after the first 100 iterations, with evaluations and checkpoints in both parts."""
    small = "-gpuid -1 -batch_size 2 -seq_length 5 -val_frac 0.002 -train_frac 0.998 -eval_val_every 50 -keep_last 1"
    epochs = (ITERATIONS + 0.5) / int(0.998 * (len(TEXT * 7) // 10))
    process = started(*small.split(), "-data_dir", data, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", epochs)
    resident = {}
    for line in process.stdout:
        if match := re.match(rb"(100|5000|10000)/", line):
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            resident[int(match[1])] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    assert process.wait() == 0
    assert resident[ITERATIONS] - resident[100] < 5, resident


def killed_at_random(process: subprocess.Popen, rng: random.Random) -> str:
    """Kill a run before its first line or some lines later; return the whole lines that it printed."""
    if rng.random() < 0.15:
        time.sleep(rng.uniform(0, 2))
        lines = []
    else:
        lines = [process.stdout.readline() for _ in range(rng.randint(1, 500))]
        time.sleep(rng.uniform(0, 0.005))
    process.kill()
    lines += process.stdout.readlines()
    process.wait()
    return b"".join(line for line in lines if line.endswith(b"\n")).decode()


def test_killed_runs_lose_nothing(data, tmp_path):
    """Killed with SIGKILL at random moments and resumed until it is done, a run prints and learns the same."""
    small = "-gpuid -1 -rnn_size 8 -seq_length 10 -batch_size 5 -max_epochs 1.5 -eval_val_every 9".split()
    whole = run_train(*small, "-data_dir", data, "-checkpoint_dir", tmp_path / "whole")
    expected, (end, (_, last)) = log_lines(whole.stdout), max(saved(tmp_path / "whole").items())
    rng = random.Random(1)
    kills = runs = 0
    while kills < KILLS:
        runs += 1
        folder = tmp_path / f"run{runs}"
        (data / "data.h5").unlink(missing_ok=True)  # so that preprocessing may be interrupted too
        killed = True
        while killed:
            resume = ["-resume", "latest"] if list(folder.glob("*.t7.pt")) else [*small, "-data_dir", data]
            process = started(*resume, "-checkpoint_dir", folder)
            output = killed_at_random(process, rng)
            killed = process.returncode == -signal.SIGKILL
            assert killed or process.returncode == 0
            kills += killed
            resumed = re.search(r"resuming after iteration (\d+)", output)
            done = int(resumed[1]) if resumed else 0
            lines = log_lines(output)
            assert lines == expected[done : done + len(lines)]
            saved(folder)  # loads all checkpoints
        assert_same(saved(folder)[end][1], last)
    assert runs > 1

"""-dry_run 1: what it prints is correct, and it writes no files."""

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT, assert_one_line_error, run_train
from runs import EVERY, SMALL, TEXT, saved

import charrnn_port


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT + b"\xff")
    return [*SMALL, *EVERY, "-data_dir", tmp_path / "data", "-checkpoint_dir", tmp_path / "cv"]


def files(folder):
    """Return all paths in a folder, with the contents and times of the files."""
    return {path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")}


def row(output, name):
    (found,) = re.findall(rf"^{name} +(\S.*)$", output, re.M)
    return found


def test_it_writes_nothing(arguments, tmp_path):
    before = files(tmp_path)
    assert run_train(*arguments, "-dry_run", 1).exit_code == 0
    assert files(tmp_path) == before


def test_a_run_that_is_there_is_left_alone(arguments, tmp_path):
    run_train(*arguments, "-log", 1)
    before = files(tmp_path)
    result = run_train(*arguments, "-dry_run", 1, "-log", 1)
    assert row(result.stdout, "iterations").startswith("144 of ")
    resumed = run_train("-resume", saved(tmp_path / "cv")[100][0], "-dry_run", 1)
    assert row(resumed.stdout, "iterations").startswith("44 of ")
    assert row(resumed.stdout, "evaluations").startswith("3 of ")
    assert files(tmp_path) == before


def test_what_it_counts(arguments):
    """Compared with the text and with what the run itself prints."""
    output = run_train(*arguments, "-dry_run", 1).stdout
    size = len(TEXT) + 1
    assert row(output, "text") == f"{size:,} bytes"
    assert row(output, "vocabulary").startswith(f"{len(set(TEXT)) + 1} characters; the rarest: ")
    assert row(output, "train") == "48 batches of 4 x 10 = 1,920 characters"
    assert row(output, "validation") == "3 batches of 4 x 10 = 120 characters"
    assert row(output, "left out") == f"{size - 51 * 40} characters at the end"
    assert row(output, "evaluations").startswith("8 of ")
    printed = run_train(*arguments).stdout
    assert f"number of parameters in the model: {row(output, 'parameters').replace(',', '')}\n" in printed


def test_the_rarest_characters(arguments, tmp_path):
    """The characters left out at the end do not count; the rarest come first."""
    (tmp_path / "data/input.txt").write_bytes(b"aaaa" * 300 + b"bbb\n" + b"cc" + b"a" * 34)
    output = run_train(*arguments, "-dry_run", 1).stdout
    assert row(output, "vocabulary") == r"4 characters; the rarest: '\n' 1, 'c' 2, 'b' 3, 'a' 1234"


def test_there_must_be_a_text(tmp_path, monkeypatch):
    """The default text is not downloaded."""
    monkeypatch.chdir(tmp_path)
    assert_one_line_error(run_train("-dry_run", 1), 1, "no text at data/tinyshakespeare/input.txt")
    assert files(tmp_path) == {}


GROWTH = """
import re, sys
from pathlib import Path
import torch
from charrnn_port.options import TrainOptions
from charrnn_port.training import dry_run, prepare, run

def anonymous():  # memory that holds no file
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

torch.set_num_threads(1)
options = dict(word.split("=") for word in sys.argv[1:])
list(run(prepare(TrainOptions(**{**options, "rnn_size": 2, "max_epochs": 1e-3}))))  # loads the libraries
before = anonymous()
training, most = prepare(TrainOptions(**options)), 0
for event in run(training):
    most = max(most, anonymous() - before)
print(most)
dry_run(training, print)
"""


@pytest.mark.long
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's count of a process's memory")
@pytest.mark.parametrize(
    "sizes",
    [
        ["rnn_size=128"],
        ["rnn_size=256", "dtype=float32"],
        ["rnn_size=256", "dropout=0.5"],
        ["rnn_size=512", "num_layers=1", "model=gru"],
        ["rnn_size=256", "batch_size=100", "seq_length=100", "cell=fused"],
    ],
)
def test_the_memory_bill(sizes, tmp_path):
    """It is within a tenth of the growth of the process until the second state is kept."""
    (tmp_path / "input.txt").write_bytes(bytes(range(65)) * 10_000)
    given = [f"data_dir={tmp_path}", "gpuid=-1", "eval_val_every=1000000", *sizes]
    batch = 10_000 if "batch_size=100" in sizes else 2500
    given.append(f"max_epochs={52.5 / int(650_000 // batch * 0.95)}")
    result = subprocess.run(
        [sys.executable, "-c", GROWTH, *given], cwd=ROOT, capture_output=True, text=True, check=True
    )
    grown = int(result.stdout.split("\n")[0]) / 1e6
    bill = float(re.search(r"^memory +([\d.,]+) MB$", result.stdout, re.M)[1].replace(",", ""))
    assert bill == pytest.approx(grown, rel=0.1), result.stdout


def test_python_prints_nothing(arguments, capfd):
    events = list(charrnn_port.train(data_dir=arguments[-3], rnn_size=4, batch_size=4, seq_length=10, max_epochs=0.1))
    assert events
    assert capfd.readouterr() == ("", "")


def test_characters_and_the_unknown_symbol(tmp_path):
    """With -encoding utf-8 it counts characters. Characters below -min_count are not among the rarest."""
    text = "Ein schöner Tag im März.\n" * 40 + "€"
    (tmp_path / "input.txt").write_text(text, encoding="utf-8")
    result = run_train("-data_dir", tmp_path, *SMALL, "-encoding", "utf-8", "-min_count", 2, "-dry_run", 1)
    assert result.exit_code == 0, result.output
    assert f"text          {len(text):,} characters" in result.stdout
    assert "€" not in result.stdout
    assert not (tmp_path / "data.utf-8.min_count_2.h5").exists()

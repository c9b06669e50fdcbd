"""Tests of `charrnn search`: its space, successive halving, and that a search that was stopped or killed continues."""

import json
import os
import random
import re
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from conftest import ROOT, assert_one_line_error
from runs import TEXT

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.config import with_config
from charrnn_port.options import TrainOptions
from charrnn_port.reports.search import Search, claim
from charrnn_port.reports.search_space import draw, read_space
from charrnn_port.training.recorders.table import HEADER

FIXED = "data_dir: data\ngpuid: -1\nbatch_size: 4\nseq_length: 10\n"
SPACE = f"{FIXED}rnn_size: [4, 6, 8]\nlearning_rate: {{min: 1e-3, max: 1e-2, log: true}}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Change to a folder with a text and a space."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    (tmp_path / "space.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search(*arguments):
    words = ["-config", "space.yaml", "-o", "found", *arguments]
    return CliRunner().invoke(charrnn.search, [str(word) for word in words])


def space_of(text, folder):
    (folder / "space.yaml").write_text(text)
    return read_space(folder / "space.yaml")


# The space


def test_a_configuration_has_a_value_of_each_option(tmp_path):
    space = space_of(
        "model: gru\nsizes: {num_layers: [1, 2, 3], rnn_size: {min: 4, max: 6}}\n"
        "learning_rate: {min: 1e-4, max: 1e-1, log: true}\ngrad_clip: {min: 1, max: 5, integer: true}\ndropout: null\n"
        "tf32: [false, true]\n",
        tmp_path,
    )
    drawn = draw(space, 300, seed=1)
    assert [list(each) for each in drawn[:1]] == [
        ["model", "num_layers", "rnn_size", "learning_rate", "grad_clip", "tf32"]
    ]
    assert {each["model"] for each in drawn} == {"gru"}
    assert {each["num_layers"] for each in drawn} == {1, 2, 3}
    assert {each["rnn_size"] for each in drawn} == {4, 5, 6}
    assert {each["grad_clip"] for each in drawn} == {1, 2, 3, 4, 5}
    assert {each["tf32"] for each in drawn} == {0, 1}
    rates = [each["learning_rate"] for each in drawn]
    assert all(1e-4 <= rate <= 1e-1 and rate == float(f"{rate:.4g}") for rate in rates)
    assert 70 < sum(rate < 1e-3 for rate in rates) < 130  # a third, as the logarithm is uniform


def test_the_same_seed_draws_the_same_and_more_continue(tmp_path):
    space = space_of(SPACE, tmp_path)
    state = random.getstate()
    assert draw(space, 20, seed=1)[:5] == draw(space, 5, seed=1) != draw(space, 5, seed=2)
    assert random.getstate() == state


def test_no_configuration_twice(tmp_path):
    drawn = draw(space_of("rnn_size: [4, 8]\nnum_layers: {min: 1, max: 3}\n", tmp_path), 27, seed=1)
    assert sorted((each["rnn_size"], each["num_layers"]) for each in drawn) == [
        (size, layers) for size in (4, 8) for layers in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rnn_sise: [4, 8]", "line 1: unknown option: rnn_sise; did you mean rnn_size?"),
        ("seed: 1\nrnn_size: [4, 0]", "line 2: -rnn_size: 0 is out of range"),
        ("rnn_size: []", "line 1: rnn_size needs a value in each place of its list"),
        ("rnn_size: [4, null]", "line 1: rnn_size needs a value in each place of its list"),
        ("rnn_size: {min: 4}", "line 1: rnn_size: a range has min and max"),
        ("model: {min: gru, max: lstm}", "line 1: model: a range has min and max"),
        ("rnn_size: {min: 4, max: 8, lg: true}", "line 1: rnn_size: a range has min and max, of min, max, log, "),
        ("rnn_size: {min: [4], max: 8}", "line 1: rnn_size: min and max are one number each"),
        ("rnn_size: {min: 8, max: 4}", "line 1: rnn_size: min 8 is above max"),
        ("rnn_size: {min: 0, max: 4}", "line 1: -rnn_size: 0 is out of range"),
        ("rnn_size: {min: 4.5, max: 8}", "line 1: -rnn_size: 4.5 is not a whole number"),
        ("grad_clip: {min: 1.5, max: 8, integer: true}", "line 1: grad_clip: log and integer are true or false, and"),
        ("grad_clip: {min: 1, max: 8, log: 3}", "line 1: grad_clip: log and integer are true or false"),
        ("grad_clip: {min: 1, max: 8, log: maybe}", "line 1: grad_clip: 'maybe' is not a number"),
        ("weight_decay: {min: 0, max: 1, log: true}", "line 1: weight_decay: min 0 is not above 0, which log needs"),
        ("max_epochs: [1, 2]", "line 1: max_epochs cannot be in a search: it is raised from rung to rung: use -epochs"),
        ("data_dir: [a, b]", "line 1: losses of runs with different data_dir cannot be compared"),
        ("split_by: [rows, end]", "line 1: losses of runs with different split_by cannot be compared"),
        ("lr_schedule: [decay, cosine]", "line 1: lr_schedule cosine ends with -max_epochs, which a search raises"),
    ],
)
def test_an_invalid_option_is_named_with_its_line(text, words, folder):
    (folder / "space.yaml").write_text(text)
    assert_one_line_error(search(), 2, f"space.yaml, {words}")


@pytest.mark.parametrize("text", ["", "rnn_size: 8", "rnn_size: [8]", "rnn_size: {min: 8, max: 8}"])
def test_a_space_in_which_nothing_varies(text, folder):
    (folder / "space.yaml").write_text(text)
    assert_one_line_error(search(), 1, "-config space.yaml: nothing varies")


@pytest.mark.parametrize("text", ["rnn_size: [[4]]", "[4, 8]", "rnn_size: ["])
def test_what_is_no_space(text, folder):
    (folder / "space.yaml").write_text(text)
    assert_one_line_error(search(), 1, "-config space.yaml is not a YAML file of options: ")


def test_errors_before_the_first_run(folder):
    assert_one_line_error(CliRunner().invoke(charrnn.search, []), 2, "-config is missing")
    assert_one_line_error(search("-config", "none.yaml"), 1, "-config none.yaml: No such file")
    assert_one_line_error(search("-o", "space.yaml"), 1, "cannot write to space.yaml: ")
    (folder / "data/input.txt").unlink()
    assert_one_line_error(search(), 1, "no text at data/input.txt")
    assert not (folder / "found").exists()


# Halving, with runs that are only simulated


@pytest.fixture
def simulated(monkeypatch):
    """Let runs end at once. Returns the list of those that were trained, and a dict to set exit statuses in."""
    trained, statuses = [], {}

    def train(self, run, rung):
        number = int(run.folder.name)
        epochs = self.options.epochs * 3**rung
        status = statuses.get((number, rung), 0)
        trained.append((number, rung))
        run.folder.mkdir(parents=True, exist_ok=True)
        loss = "nan" if status == 7 else 2 + (number % 9) / 10 - rung / 100
        rows = [HEADER, f"48,{epochs},3.0,{loss},0.1,0.1,0.1"]
        (run.folder / "lstm.csv").write_text("\n".join(rows) + "\n")
        (run.folder / "train.log").write_text("cell: ...\nError: what is wrong\n")
        return 0 if status == 7 else status

    monkeypatch.setattr(Search, "train", train)
    monkeypatch.setattr("charrnn_port.reports.search.plot", lambda options: None)
    return trained, statuses


def table(*arguments):
    """Return the rows of the table of a search: run, rounded loss and epochs."""
    result = search("-json", *arguments)
    rows = json.loads(result.stdout)["runs"]
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    return [(row["folder"], row["val_loss"] and round(row["val_loss"], 4), row["epochs"]) for row in rows]


def test_the_best_third_is_trained_three_times_as_long(folder, simulated):
    rows = table("-epochs", 2, "-configurations", 10)
    trained, _ = simulated
    assert sorted(trained) == sorted([*((number, 0) for number in range(1, 11)), (9, 1), (1, 1), (10, 1), (9, 2)])
    assert rows[:3] == [("found/runs/9", 1.98, 18), ("found/runs/1", 2.09, 6), ("found/runs/10", 2.09, 6)]
    assert rows[3:] == [(f"found/runs/{number}", 2 + number / 10, 2) for number in range(2, 9)]
    best, _ = with_config(TrainOptions(config="found/best.yaml"), frozenset())
    assert best.max_epochs == 18
    state = json.loads((folder / "found/search.json").read_text())
    assert best.learning_rate == state["runs"][8]["options"]["learning_rate"]


def test_finished_rungs_are_not_repeated_and_more_configurations_are_added(folder, simulated):
    trained, _ = simulated
    first = table("-configurations", 5)
    count = len(trained)
    assert table("-configurations", 5) == first
    assert len(trained) == count == 6
    table("-configurations", 9)
    assert sorted(trained[count:]) == [(2, 1), (6, 0), (7, 0), (8, 0), (9, 0), (9, 1), (9, 2)]


def test_a_run_that_diverged_ranks_last(folder, simulated):
    trained, statuses = simulated
    statuses[1, 0] = statuses[9, 1] = 3
    rows = table("-configurations", 9)
    assert [name for name, *_ in rows[-2:]] == ["found/runs/1", "found/runs/9"]
    assert [loss for _, loss, _ in rows[-2:]] == [None, None]
    assert {number for number, rung in trained if rung == 1} == {9, 2, 3}
    assert [number for number, rung in trained if rung == 2] == [2]
    assert "diverged" in search("-configurations", 9).stdout.splitlines()[-1]


def test_a_run_that_fails_does_not_end_the_others_and_is_repeated(folder, simulated):
    trained, statuses = simulated
    statuses[2, 0] = 1
    result = search("-configurations", 3)
    assert result.exit_code == 1
    assert [line.split()[-1] for line in result.stdout.splitlines()[1:]] == ["found/runs/1", "found/runs/3"]
    assert result.stderr.endswith("Error: 1 of 3 runs failed; the first: found/runs/2: what is wrong\n")
    statuses.clear()
    del trained[:]
    assert len(table("-configurations", 3)) == 3
    assert trained == [(2, 0)]


def test_without_validation_losses(folder, simulated):
    _, statuses = simulated
    statuses[1, 0] = statuses[2, 0] = 7
    result = search("-configurations", 2)
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.search("Error: 2 of 2 runs failed; the first: found/runs/[12]: no validation loss: use", result.stderr)


def test_a_folder_is_for_one_search(folder, simulated):
    assert search("-configurations", 2).exit_code == 0
    assert_one_line_error(search("-seed", 5), 1, "found has another search, with other options or another seed")
    assert_one_line_error(search("-epochs", 5), 1, "found/search.json is of a search with -epochs 1")
    for text in ("[]", "{", '{"epochs": 1, "runs": [{"losses": 3}]}'):
        (folder / "found/search.json").write_text(text)
        assert_one_line_error(search(), 1, "found/search.json is corrupt")


def test_a_folder_in_use(folder):
    with claim(folder / "found"):
        assert_one_line_error(search(), 1, f"another search, process {os.getpid()}, writes to found")


# Real runs


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.long
def test_a_search_that_was_stopped_and_killed_has_the_results_of_an_uninterrupted_one(folder, monkeypatch):
    """SIGTERM in the first rung, then SIGKILL, then to the end: table, losses and parameters are those of one go."""
    monkeypatch.setattr("charrnn_port.reports.search.plot", lambda options: None)
    whole = search("-configurations", 3, "-o", "whole")
    assert whole.exit_code == 0, whole.output
    assert len(whole.stdout.splitlines()) == 4

    with monkeypatch.context() as patched:
        log = charrnn_port.reports.search.log_line
        patched.setattr("charrnn_port.reports.search.log_line", lambda line: (log(line), stop_after_a_run(line)))
        stopped = search("-configurations", 3, "-jobs", 1)
    assert stopped.exit_code == 128 + signal.SIGTERM
    assert "SIGTERM: saving the runs in progress; the same command continues\n" in stopped.stderr
    assert 2 <= len(stopped.stdout.splitlines()) < 4  # the table so far

    words = "-m charrnn_port search -config space.yaml -o found -configurations 3 -jobs 2".split()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.PIPE, text=True)
    assert killed.stderr.readline().startswith("rung 1, 1 of ")
    killed.kill()
    killed.communicate(timeout=60)
    rest = search("-configurations", 3)
    assert rest.exit_code == 0, rest.output
    assert rest.stdout.replace("found/", "whole/") == whole.stdout
    for name in ("search.json", "best.yaml"):
        assert (folder / "found" / name).read_text() == (folder / "whole" / name).read_text()
    for number in (1, 2, 3):
        ours, theirs = (charrnn_port.load_checkpoint(folder / name / f"runs/{number}") for name in ("found", "whole"))
        assert ours.fingerprint == theirs.fingerprint
        assert ours.train_losses == theirs.train_losses


def stop_after_a_run(line):
    """Send SIGTERM to this process after the line of the first run that ended."""
    if line.startswith("rung 1, 1 of 3"):
        signal.raise_signal(signal.SIGTERM)


def test_out_of_time(folder):
    result = search("-minutes", 1e-6)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "-minutes 1e-06 are over: saving the runs in progress; the same command continues\n" in result.stderr
    assert "Error: no run finished its first rung in 1e-06 minutes: repeat the command" in result.stderr

"""Samples, the CSV table and TensorBoard: what they contain, and that they have no effect on the run."""

import csv
import os
import subprocess
import sys
import time

import pytest
from conftest import ROOT, assert_one_line_error, full_disk, run_train, train_options, without_notes
from runs import EVERY, SMALL, TEXT, assert_same, log_lines, saved

import charrnn_port
from charrnn_port.training.events import Evaluated, Iteration
from charrnn_port.training.recorders.table import HEADER


@pytest.fixture
def start(tmp_path):
    """Return arguments of a run of 144 iterations that evaluates every 20."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return [*SMALL, *EVERY, "-data_dir", tmp_path / "data", "-checkpoint_dir", tmp_path / "cv"]


def table(path):
    """Return the rows by column, as text, without the seconds, which differ between runs."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


# Samples


def test_samples_leave_the_run_as_it_is(start, tmp_path):
    """With dropout, which draws random numbers in every iteration, and with two backends."""
    for cell in ("auto", "plain"):
        more = [*start, "-dropout", 0.3, "-max_epochs", 1, "-cell", cell]
        plain = run_train(*more, "-checkpoint_dir", tmp_path / "plain")
        shown = run_train(*more, "-checkpoint_dir", tmp_path / "shown", "-sample_every", 7)
        assert log_lines(shown.stdout) == log_lines(plain.stdout)
        assert shown.stderr.count("after iteration") > plain.stderr.count("after iteration")
        ours, theirs = saved(tmp_path / "shown"), saved(tmp_path / "plain")
        assert list(ours) == list(theirs)
        assert_same(ours[48][1], theirs[48][1])


def test_a_sample_is_what_sample_py_would_write(start, tmp_path):
    result = run_train(*start, "-sample_every", 60, "-seed", 5)
    for i in (60, 120):
        text = b"".join(charrnn_port.sample_bytes(saved(tmp_path / "cv")[i][1], 300, seed=5)).decode()
        assert f"after iteration {i} " in result.stderr
        assert f"-\n{text}\n-" in result.stderr


def test_a_sample_of_a_network_that_exploded(start):
    """The sample is unusable, but causes no other error."""
    result = run_train(*start, "-learning_rate", 1e30, "-sample_every", 1)
    assert result.exit_code == 3
    assert "the loss diverged at iteration" in result.stderr


# The table


def test_the_table_holds_the_run_with_all_digits(start, tmp_path):
    result = run_train(*start, "-log", 1)
    assert result.exit_code == 0, result.output
    events = list(charrnn_port.train(train_options(*start)))
    text = (tmp_path / "cv/lstm.csv").read_text()
    assert text.splitlines()[0] == HEADER == "iteration,epoch,train_loss,val_loss,learning_rate,grad_param_norm,seconds"
    val_losses = {event.i: repr(event.val_loss) for event in events if isinstance(event, Evaluated)}
    assert table(tmp_path / "cv/lstm.csv") == [
        {
            "iteration": str(event.i),
            "epoch": repr(event.epoch),
            "train_loss": repr(event.train_loss),
            "val_loss": val_losses.get(event.i, ""),
            "learning_rate": repr(event.learning_rate),
            "grad_param_norm": repr(event.grad_param_norm),
        }
        for event in events
        if isinstance(event, Iteration)
    ]
    assert all(float(line.split(",")[6]) > 0 for line in text.splitlines()[1:])


def test_a_resumed_run_goes_on_in_it(start, tmp_path):
    """The checkpoint may be older than the last row; -log is kept in the checkpoint."""
    run_train(*start, "-log", 1)
    whole = table(tmp_path / "cv/lstm.csv")
    assert len(whole) == 144
    for i in (40, 100):
        result = run_train("-resume", saved(tmp_path / "cv")[i][0], "-checkpoint_dir", tmp_path / "cv")
        assert result.exit_code == 0, result.output
        assert table(tmp_path / "cv/lstm.csv") == whole
    assert [path.name for path in (tmp_path / "cv").glob("*.csv")] == ["lstm.csv"]


def test_a_row_that_is_not_whole_is_cut_off(start, tmp_path):
    run_train(*start, "-log", 1)
    path = tmp_path / "cv/lstm.csv"
    whole = table(path)
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:130]) + b"\n130,2.7")
    run_train("-resume", saved(tmp_path / "cv")[120][0], "-checkpoint_dir", tmp_path / "cv")
    assert table(path) == whole


def test_rows_that_were_never_written_have_the_losses(start, tmp_path):
    """If a run began without -log, or in another folder."""
    run_train(*start)
    run_train("-resume", saved(tmp_path / "cv")[60][0], "-checkpoint_dir", tmp_path / "other", "-log", 1)
    rows, checkpoint = table(tmp_path / "other/lstm.csv"), saved(tmp_path / "cv")[144][1]
    assert [float(row["train_loss"]) for row in rows] == checkpoint.train_losses
    assert {int(row["iteration"]): float(row["val_loss"]) for row in rows if row["val_loss"]} == checkpoint.val_losses
    assert [row["learning_rate"] != "" for row in rows] == [False] * 60 + [True] * 84


def test_another_runs_table_is_left_alone(start, tmp_path):
    """The table of a run with another seed, and of one that was equal up to some iteration."""
    path = tmp_path / "cv/lstm.csv"
    run_train(*start, "-log", 1)
    first = path.read_bytes()
    for number, more in enumerate((["-seed", 5], ["-learning_rate_decay", 0.5]), 2):
        run_train(*start, "-log", 1, *more, "-keep_last", 1)
        assert path.read_bytes() == first
        assert len(table(tmp_path / f"cv/lstm.{number}.csv")) == 144
    second = (tmp_path / "cv/lstm.2.csv").read_bytes()
    run_train("-resume", "latest", "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 4)
    assert (path.read_bytes(), (tmp_path / "cv/lstm.2.csv").read_bytes()) == (first, second)
    assert len(table(tmp_path / "cv/lstm.3.csv")) == 192


def test_a_killed_run_goes_on_without_a_gap_or_a_doubled_row(start, tmp_path):
    """Killed at any time: here when a third checkpoint has just been saved."""
    (tmp_path / "data/input.txt").write_bytes(TEXT * 2)
    run_train(*start, "-log", 1, "-checkpoint_dir", tmp_path / "whole")
    command = [sys.executable, ROOT / "train.py", *start, "-log", 1]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and len(list((tmp_path / "cv").glob("*.t7.pt"))) < 3:
            time.sleep(0.002)
        process.kill()
    run_train("-resume", "latest", "-checkpoint_dir", tmp_path / "cv")
    assert table(tmp_path / "cv/lstm.csv") == table(tmp_path / "whole/lstm.csv")
    assert [path.name for path in (tmp_path / "cv").glob("*.csv")] == ["lstm.csv"]


def test_a_table_that_cannot_be_opened(start, tmp_path):
    (tmp_path / "cv/lstm.csv").mkdir(parents=True)
    (tmp_path / "cv/lstm.2.csv").symlink_to("/nowhere/at/all.csv")
    (tmp_path / "cv/lstm.3.csv").symlink_to("/dev/full")
    result = run_train(*start, "-log", 1)
    assert result.exit_code == 0, result.output
    assert len(table(tmp_path / "cv/lstm.4.csv")) == 144


def test_a_table_on_a_full_disk_ends_the_run_with_its_work_saved(start, tmp_path, monkeypatch):
    """A function that fails after 35 rows stands in for a disk that becomes full."""
    from charrnn_port.training.recorders import table as recorder

    written = []

    def write(file, lines):
        written.append(lines)
        if len(written) > 35:
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(recorder, "write", write)
    result = run_train(*start, "-log", 1)
    assert result.exit_code == 1
    path = tmp_path / "cv/lm_lstm_interrupted.t7.pt"
    error = f"Error: {tmp_path}/cv/lstm.csv: {os.strerror(28)}; the run is saved to {path}\n"
    assert without_notes(result.stderr) == error
    assert charrnn_port.load_checkpoint(path).i == 35


# TensorBoard


def test_tensorboard(start, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run_train(*start, "-tensorboard", tmp_path / "tb", "-sample_every", 60)
    run_train("-resume", saved(tmp_path / "cv")[100][0], "-checkpoint_dir", tmp_path / "cv")  # replaces the last points
    found = reader.EventAccumulator(str(tmp_path / "tb"), {"scalars": 0, "tensors": 0}).Reload()
    checkpoint = saved(tmp_path / "cv")[144][1]
    train_losses = [(each.step, each.value) for each in found.Scalars("train/loss")]
    assert train_losses == [(i, pytest.approx(loss, rel=1e-6)) for i, loss in enumerate(checkpoint.train_losses, 1)]
    val_losses = {each.step: each.value for each in found.Scalars("val/loss")}
    assert val_losses == pytest.approx(checkpoint.val_losses, rel=1e-6)
    assert found.Scalars("train/learning_rate")[0].value == pytest.approx(2e-3)
    assert len(found.Scalars("train/grad_param_norm")) == 144
    (first, *_) = found.Tensors("sample/text_summary")
    text = b"".join(charrnn_port.sample_bytes(saved(tmp_path / "cv")[60][1], 300)).decode()
    assert first.step == 60
    assert first.tensor_proto.string_val[0].decode() == "\n".join(f"    {line}" for line in text.split("\n"))
    assert found.summary_metadata["_hparams_/session_start_info"].plugin_data.content.count(b"rnn_size") == 1


def test_a_folder_for_tensorboard_that_cannot_be(start, tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("")
    result = run_train(*start, "-tensorboard", tmp_path / "file")
    assert_one_line_error(result, 1, "-tensorboard", "file: cannot write to this folder")


@pytest.mark.long
def test_a_disk_that_is_full_for_tensorboard(start, tmp_path):
    """Its thread prints no traceback: the error is one line, and the run is saved if there is space for it."""
    pytest.importorskip("tensorboard")
    command = [str(word) for word in (sys.executable, ROOT / "train.py", *start, "-tensorboard", tmp_path / "tb")]
    with full_disk(1000):
        ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert [line.startswith("Error: ") for line in ended.stderr.splitlines()].count(True) == 1


def test_a_folder_with_the_curves_of_another_run_is_refused(start, tmp_path):
    """TensorBoard would draw both as one curve. A resumed run goes on in its own folder."""
    pytest.importorskip("tensorboard")
    words = ["-max_epochs", 1, "-tensorboard", tmp_path / "tb"]
    assert run_train(*start, *words).exit_code == 0
    before = sorted((tmp_path / "tb").iterdir())
    result = run_train(*start, *words, "-seed", 2, "-checkpoint_dir", tmp_path / "other")
    assert_one_line_error(result, 1, f"-tensorboard {tmp_path / 'tb'}: has the curves of another run", "tb/2")
    assert sorted((tmp_path / "tb").iterdir()) == before
    assert not list((tmp_path / "other").glob("*.t7.pt"))
    resumed = run_train("-resume", "latest", "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 2)
    assert resumed.exit_code == 0, resumed.output
    assert len(list((tmp_path / "tb").iterdir())) == len(before) + 1


# None of them


def test_checkpoints_are_what_they_were(start, tmp_path):
    """Monitoring options are kept only if given, and options of a single process never."""
    run_train(*start, "-progress", 0)
    run_train(*start, "-checkpoint_dir", tmp_path / "logged", "-log", 1)
    new = {"progress", "sample_every", "log", "tensorboard", "dry_run"}
    assert not new & set(saved(tmp_path / "cv")[144][1].opt)
    assert new & set(saved(tmp_path / "logged")[144][1].opt) == {"log"}


@pytest.mark.parametrize(("library", "option"), [("tqdm", ["-progress", 1]), ("tensorboard", ["-tensorboard", "tb"])])
def test_a_missing_library_is_named_with_its_install(start, library, option, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    assert_one_line_error(run_train(*start, *option), 1, library, 'pip install -c constraints.txt -e ".[watch]"')
    if library == "tqdm":
        assert run_train(*start, "-max_epochs", 0.1).exit_code == 0

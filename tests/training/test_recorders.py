"""Recorders on events made by hand: which lines, notes, bars and samples they add to which events."""

import math
import os
import threading
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
from conftest import train_options

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.training import recorders
from charrnn_port.training.events import (
    Evaluated,
    Evaluating,
    Exploded,
    Finished,
    Interrupted,
    Iteration,
    RateDecayed,
    Sampled,
    Saved,
    Saving,
    Snapshot,
    Started,
    Stopped,
)
from charrnn_port.training.recorders import tensorboard
from charrnn_port.training.recorders.progress import RECENT, short
from charrnn_port.training.recorders.table import HEADER
from charrnn_port.util import progress
from charrnn_port.util.errors import UserError

NAN = math.nan


def checkpoint(val_losses: dict[int, float]) -> Checkpoint:
    """Return a checkpoint with these validation losses and no network."""
    return Checkpoint({}, None, None, 0, 0.0, [], val_losses, NAN)


def started(*arguments: object, i: int = 0, iterations: float = 1000.5) -> Started:
    return Started(train_options(*arguments), i, iterations, 100)


def iteration(i: int, loss: float = 2.0, seconds: float = 0.5) -> Iteration:
    return Iteration(i, i / 100, loss, 0.01, 2e-3, seconds)


def evaluated(i: int, val_losses: dict[int, float]) -> Evaluated:
    return Evaluated(i, i / 100, val_losses[i], checkpoint(val_losses), iteration(i))


def noted(*events) -> list[str]:
    """Return the notes of these events."""
    notes = []
    assert list(recorders.log_notes(events, notes.append)) == list(events)
    return notes


def printed(*events) -> list[str]:
    """Return the lines of these events."""
    lines = []
    assert list(recorders.print_lines(events, lines.append)) == list(events)
    return lines


# Lines of train.lua


def test_a_line_every_print_every_iterations():
    lines = printed(started("-print_every", 3), *(iteration(i) for i in range(1, 8)))
    rest = "train_loss = 2.00000000, grad/param norm = 1.0000e-02, time/batch = 0.5000s"
    assert lines == [f"3/1000 (epoch 0.030), {rest}", f"6/1000 (epoch 0.060), {rest}"]


def test_lines_of_an_evaluation_and_of_a_decay():
    lines = printed(Evaluating(2, 0, 2), Evaluating(2, 1, 2), Evaluating(2, 2, 2), RateDecayed(100, 0.97, 2e-3 * 0.97))
    assert lines == [
        "evaluating loss over split index 2",
        "1/2...",
        "2/2...",
        "decayed learning rate by a factor 0.97 to 0.00194",
    ]


@pytest.mark.parametrize(("loss", "line"), [(NAN, "loss is NaN.  This usually"), (9.5, "loss is exploding, aborting.")])
def test_an_explosion(loss, line):
    (printed_line,) = printed(Exploded(9, loss, None))
    assert printed_line.startswith(line)


def test_a_checkpoint_is_named_only_where_train_lua_names_it():
    """After an evaluation, and at an interruption; log_notes reports the others."""
    files = Saving("cv/a", 10, "cv/a"), Saved("cv/a", 10)
    assert printed(evaluated(10, {10: 2.0}), *files) == ["saving checkpoint to cv/a"]
    end, go_on = printed(Interrupted(10, None), *files)
    assert end == "saving checkpoint to cv/a"
    assert go_on.startswith("interrupted; to go on: ")
    assert go_on.endswith(" -resume cv/a")
    assert printed(Interrupted(10, None), Saved("my cv/a", 10))[-1].endswith(" -resume 'my cv/a'")  # to be pasted
    assert printed(Snapshot(10, None), *files) == printed(Finished(10, None), *files) == []


@pytest.mark.parametrize(
    ("resume", "i", "schedule", "advice"),
    [
        ("cv/a", 1000, "decay", "raise -max_epochs to continue"),
        ("cv/a", 1000, "cosine", "a cosine schedule cannot be extended: start a new run with -init_from cv/a"),
        ("latest", 1001, "cosine", "a cosine schedule cannot be extended: start a new run with -init_from there"),
        ("cv/a", 999, "decay", None),
        ("", 1000, "decay", None),
    ],
)
def test_a_finished_run_that_is_resumed(resume, i, schedule, advice):
    """Of 1000.5 iterations, 1000 are done."""
    words = ["-resume", resume, "-lr_schedule", schedule, "-checkpoint_dir", "there"]
    lines = printed(started(*words, i=i))
    assert lines == ([f"nothing left to do: all 1000 iterations are done; {advice}"] if advice else [])


# Notes


@pytest.mark.parametrize(
    ("val_losses", "rest"),
    [
        ({20: 2.5}, ", the best so far"),
        ({10: 2.5, 20: 2.25}, ", the best so far"),
        ({10: 2.25, 20: 2.5}, "; best 2.2500 after iteration 10"),
        ({10: NAN, 20: NAN}, ": no batches to evaluate"),
    ],
)
def test_validation_losses(val_losses, rest):
    loss = val_losses[20]
    assert noted(evaluated(20, val_losses)) == [f"validation loss {loss:.4f} after iteration 20 (epoch 0.20){rest}"]


def test_checkpoints_without_an_evaluation():
    saving, done = Saving("cv/a", 10, "cv/a"), Saved("cv/a", 10)
    assert noted(started(), Snapshot(10, None), saving, done) == ["saved the state after iteration 10 to cv/a"]
    assert noted(started(), evaluated(10, {10: 2.0}), saving, done)[1:] == []
    (note,) = noted(started(), Finished(10, None), saving, done)
    assert note.startswith("finished after iteration 10, where no evaluation was due: the state is saved to cv/a; ")
    assert note.endswith(" -resume cv/a with a larger -max_epochs")
    (note,) = noted(started("-lr_schedule", "cosine"), Finished(10, None), saving, done)
    assert note.endswith(" -init_from cv/a, a new run with its own schedule")


def test_a_checkpoint_under_another_name():
    assert noted(Saving("cv/a.2", 10, "cv/a")) == ["cv/a belongs to another run: saving to cv/a.2 instead"]


@pytest.mark.parametrize(("folder", "named"), [("cv", ""), ("there", " -checkpoint_dir there")])
def test_early_stopping(folder, named):
    (note,) = noted(started("-checkpoint_dir", folder), Stopped(80, 40, 2.0))
    assert note.startswith(
        "stopped after iteration 80 (early stopping): the best validation loss is 2.0000, after iteration 40; to go on:"
    )
    assert note.endswith(f" -resume latest{named} with another -patience")


def test_a_sample_between_rules():
    assert noted(Sampled(7, "a\nb")) == ["-- after iteration 7 --" + "-" * 17 + "\na\nb\n" + "-" * 40]


# The table


def test_a_table_in_a_new_folder(tmp_path, recwarn):
    """The event of an evaluation comes before that of its iteration. The file is closed at the end."""
    rows = started("-checkpoint_dir", tmp_path / "new/cv"), iteration(1), evaluated(2, {2: 1.5}), iteration(2)
    assert tuple(recorders.write_table(rows, None, None)) == rows
    assert (tmp_path / "new/cv/lstm.csv").read_text().splitlines()[1:] == [
        "1,0.01,2.0,,0.002,0.01,0.5",
        "2,0.02,2.0,1.5,0.002,0.01,0.5",
    ]
    assert not recwarn.list


def test_a_table_in_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "cv").touch()
    with pytest.raises(UserError, match=r"^-log 1: cannot write .*cv/lstm\.csv: File exists$"):
        list(recorders.write_table([started("-checkpoint_dir", tmp_path / "cv")], None, None))


@pytest.mark.parametrize("before", ["", f"{HEADER}\n"])
def test_a_new_run_takes_a_table_without_rows(before, tmp_path):
    """It is of a process that was killed at its beginning."""
    (tmp_path / "lstm.csv").write_text(before)
    list(recorders.write_table([started("-checkpoint_dir", tmp_path)], None, None))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"lstm.csv": f"{HEADER}\n"}


def test_a_new_run_leaves_a_single_row_alone(tmp_path):
    (tmp_path / "lstm.csv").write_text(before := f"{HEADER}\n1,0.01,2.0,,,,\n")
    list(recorders.write_table([started("-checkpoint_dir", tmp_path)], None, None))
    assert (tmp_path / "lstm.csv").read_text() == before
    assert (tmp_path / "lstm.2.csv").read_text() == f"{HEADER}\n"


def test_a_resumed_run_goes_on_in_the_table_that_has_its_rows(tmp_path):
    """Tables without rows may be newer. The row of iteration 2 was not written before the process was killed."""
    before = {"lstm.csv": f"{HEADER}\n1,0.01,2.0,,,,\n", "lstm.2.csv": f"{HEADER}\n", "lstm.3.csv": ""}
    for clock, (name, text) in enumerate(before.items()):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (clock, clock))
    saved = replace(checkpoint({2: 2.5}), train_losses=[2.0, 3.0])
    list(recorders.write_table([started("-checkpoint_dir", tmp_path, i=2), iteration(3)], saved, None))
    after = {path.name: path.read_text() for path in tmp_path.iterdir()}
    rows = "2,0.02,3.0,2.5,,,\n3,0.03,2.0,,0.002,0.01,0.5\n"
    assert after == before | {"lstm.csv": before["lstm.csv"] + rows}


# TensorBoard


class FullDisk:
    """Stands in for a writer that cannot write. Closing it would write again."""

    error = OSError(28, "No space left on device")

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_: object) -> None:
        raise self.error

    def add_scalar(self, *_: object) -> None:
        """Fail."""
        raise self.error


def test_tensorboard_on_a_full_disk(monkeypatch):
    """The error is reported once, and the events go on."""
    monkeypatch.setattr(tensorboard, "open_writer", lambda folder, started: FullDisk())
    events, reported = [started(), iteration(1), iteration(2)], []
    assert list(recorders.write_tensorboard(events, "tb", lambda *what: reported.append(what))) == events
    assert reported == [("-tensorboard tb", FullDisk.error)]


def test_the_tracebacks_of_threads_that_remain(monkeypatch):
    """All but those of threads of TensorBoard that could not write."""
    shown = []
    monkeypatch.setattr(threading, "excepthook", ours := lambda arguments: shown.append(arguments.exc_value))

    def fail(error: Exception) -> None:
        raise error

    writing = type("Writing", (threading.Thread,), {"__module__": "tensorboard.summary.writer"})
    full, fault, full_elsewhere = OSError(28, "full"), ValueError("a fault"), OSError(28, "full")
    with tensorboard.silent_writer_threads():
        for kind, error in ((writing, full), (writing, fault), (threading.Thread, full_elsewhere)):
            thread = kind(target=fail, args=(error,))
            thread.start()
            thread.join()
    assert shown == [fault, full_elsewhere]
    assert threading.excepthook is ours


# Samples


def test_samples_every_few_iterations():
    """A character that is cut off at the end is replaced."""
    events = [started(), *(iteration(i) for i in range(1, 6)), evaluated(6, {6: 2.0})]
    added = list(recorders.add_samples(events, 2, lambda: b"a\xc3"))
    assert [event for event in added if not isinstance(event, Sampled)] == events
    samples = [(before.i, sample) for before, sample in pairwise(added) if type(sample) is Sampled]
    assert samples == [(2, Sampled(2, "a\ufffd")), (4, Sampled(4, "a\ufffd"))]


# The bar


@pytest.fixture
def bars(monkeypatch):
    """Return what is shown: (label, total, done, delay), (label, done, facts) for each update, (label, "closed")."""
    shown = []

    @contextmanager
    def bar(label, total, unit="", done=0, delay=0.3):
        class Bar:
            def reach(self, done, facts=list):
                shown.append((label, done, facts()))

        shown.append((label, total, done, delay))
        yield Bar()
        shown.append((label, "closed"))

    monkeypatch.setattr(progress, "bar", bar)
    return shown


def test_the_bar_of_a_run(bars):
    """It is shown at once. The loss is the mean of recent iterations; 20 characters in half a second are 40 char/s."""
    events = [
        started("-batch_size", 4, "-seq_length", 5, i=7, iterations=10.5),
        iteration(8, 2.0),
        Evaluating(2, 0, 2),
        Evaluating(2, 1, 2),
        evaluated(9, {3: 1.5, 6: NAN, 9: 1.75}),
        iteration(9, 3.0, seconds=1.5),
    ]
    assert list(recorders.show_progress(events)) == events
    assert bars == [
        ("", 10, 7, 0),
        ("", 8, ["loss 2.000", "epoch 0.1", "40 char/s"]),
        ("evaluating", 2, 0, 0.3),
        ("evaluating", 1, []),
        ("evaluating", "closed"),
        ("", 9, ["loss 2.500", "val 1.750", "best 1.500", "epoch 0.1", "20 char/s"]),
        ("", "closed"),
    ]


def test_an_interrupted_evaluation_closes_its_bar(bars):
    events = [started(), Evaluating(2, 0, 2), Interrupted(9, None), Saved("cv/a", 9)]
    for event in recorders.show_progress(events):
        if isinstance(event, Interrupted):
            assert bars[-1] == ("evaluating", "closed")
    assert bars[-1] == ("", "closed")


def test_without_a_validation_loss_there_is_no_best(bars):
    list(recorders.show_progress([started(), Evaluating(2, 0, 0), evaluated(1, {1: NAN}), iteration(1)]))
    assert bars[-2][2][1:3] == ["val nan", "best nan"]


def test_old_iterations_have_no_effect_on_the_bar(bars):
    list(recorders.show_progress([started(), iteration(1, 1e9), *(iteration(i, 1.0) for i in range(2, RECENT + 2))]))
    assert bars[-2][2][0] == "loss 1.000"
    assert bars[-3][2][0] == f"loss {(1e9 + RECENT - 1) / RECENT:.3f}"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0.4, "0"), (40, "40"), (999.4, "999"), (999.5, "1k"), (40_400, "40k"), (99_550, "100k"), (999_499, "999k"),
        (1_250_000, "1.2M"),
    ],
)  # fmt: skip
def test_speeds_are_short(number, words):
    assert short(number) == words

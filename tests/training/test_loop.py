"""A run is a stream of events: from Python the same as train.py prints, and it ends when its consumer does."""

import math
import re
import sys
import time
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from conftest import arguments_of, run_train, train_options
from runs import EVERY, SMALL, TEXT, assert_same, comparable, printed, saved

import charrnn_port
from charrnn_port.checkpoints import Checkpoint
from charrnn_port.training import Training, prepare, recorders, resumed, run
from charrnn_port.training.events import (
    Evaluated,
    Evaluating,
    Exploded,
    Finished,
    Interrupted,
    Iteration,
    RateDecayed,
    Saved,
    Saving,
    Snapshot,
    Started,
)
from charrnn_port.util.errors import UserError

run_module = sys.modules[run.__module__]


@pytest.fixture
def small(tmp_path):
    """Return options of a run of 144 iterations with an evaluation every 20; an epoch is 48."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return train_options(*SMALL, *EVERY, "-data_dir", tmp_path / "data", "-checkpoint_dir", tmp_path / "cv")


def test_events_in_their_order(small):
    kinds = [type(event) for event in run(prepare(small))]
    evaluation = [*[Evaluating] * 4, Evaluated]  # 0, 1, 2, 3 of 3 batches
    expected = [Started]
    for i in range(1, 145):
        expected += [RateDecayed] * (i % 48 == 0) + evaluation * (i % 20 == 0 or i == 144) + [Iteration]
    assert kinds == [*expected, Finished]


@pytest.mark.parametrize(
    "name", ["splits", *(pytest.param(name, marks=pytest.mark.long) for name in ("lstm", "gru_dropout", "decay"))]
)
def test_from_python_with_the_originals_digits(recordings, play, capfd, name):
    """charrnn_port.train prints nothing; the console recorder prints the recorded lines."""
    recorded = recordings["runs"][name]
    options = train_options("-data_dir", play, *arguments_of(recorded))
    values = {key: value for key, value in options.values().items() if value != getattr(train_options(), key)}
    lines = []
    for _ in recorders.print_lines(charrnn_port.train(**values), lines.append):
        pass
    assert capfd.readouterr() == ("", "")
    expected = comparable(printed(recorded))
    expected = [line for line in expected[expected.index(next(filter(is_of_the_loop, expected))) :] if line]
    expected = [line for line in expected if not line.startswith("saving checkpoint")]
    assert [line.split(", time/batch")[0] for line in lines] == expected


def is_of_the_loop(line: str) -> bool:
    return "train_loss" in line or line.startswith("evaluating")


def test_a_recorder_adds_what_it_did(small, tmp_path):
    """A folder that does not exist is made."""
    folder = tmp_path / "new/cv"
    events = list(recorders.save_checkpoints(run(prepare(replace(small, checkpoint_dir=folder)))))
    places = [place for place, event in enumerate(events) if isinstance(event, Evaluated)]
    assert len(places) == 8
    for place in places:
        saving, done = events[place + 1 : place + 3]
        assert (type(saving), type(done)) == (Saving, Saved)
        assert saving.path == done.path
        assert charrnn_port.load_checkpoint(done.path).i == done.i == events[place].i
    assert sorted(saved(folder)) == [20, 40, 60, 80, 100, 120, 140, 144]


def test_what_events_contain(small):
    events = list(run(prepare(small)))
    iterations = [event for event in events if isinstance(event, Iteration)]
    assert [event.i for event in iterations] == list(range(1, 145))
    assert iterations[23].epoch == 0.5
    rates = [event.learning_rate for event in iterations]
    assert rates[:48] == [2e-3] * 48
    assert rates[48:96] == [2e-3 * 0.97] * 48
    decays = [(event.i, event.learning_rate) for event in events if isinstance(event, RateDecayed)]
    assert decays[:2] == [(48, rates[48]), (96, rates[96])]
    assert all(event.seconds > 0 and event.grad_param_norm > 0 for event in iterations)
    last = [event for event in events if isinstance(event, Evaluated)][-1]
    assert last.checkpoint.train_losses == [event.train_loss for event in iterations]
    assert last.checkpoint.val_losses[144] == last.val_loss
    assert "checkpoint" not in repr(last)
    with pytest.raises(FrozenInstanceError):
        last.val_loss = 0


def test_a_checkpoint_in_an_event_can_be_resumed(small, tmp_path):
    """It holds copies, so the rest of the run does not change it."""
    events = run(prepare(small))
    middle = next(event for event in events if isinstance(event, Evaluated) and event.i == 60)
    rest = [event.train_loss for event in events if isinstance(event, Iteration)][1:]
    path = tmp_path / "middle.t7.pt"
    charrnn_port.save_checkpoint(middle.checkpoint, path)
    resumed = run_train("-resume", path)
    assert f"train_loss = {rest[0]:.8f}" in resumed.stdout
    assert f"train_loss = {rest[-1]:.8f}" in resumed.stdout


@pytest.mark.parametrize(("factor", "decays"), [(1.0, 0), (1.5, 0), (0.9, 3), (0.0, 3)])
def test_only_a_factor_below_one_decays(small, factor, decays):
    events = run(prepare(replace(small, learning_rate_decay=factor)))
    assert sum(isinstance(event, RateDecayed) for event in events) == decays


def test_closing_the_stream_ends_the_run(small, tmp_path):
    """No file is written, and no more events follow."""
    events = recorders.save_checkpoints(run(prepare(small)))
    for event in events:
        if isinstance(event, Iteration) and event.i == 10:
            break
    events.close()
    assert next(events, "ended") == "ended"
    assert not (tmp_path / "cv").exists()


def test_interrupted_when_asked(small):
    """Called once per iteration and, in the evaluation after iteration 20, once for each of its three batches."""
    asked = iter([False] * 32 + [True])
    *_, last = run(prepare(small), lambda: next(asked))
    assert isinstance(last, Interrupted)
    assert last.i == last.checkpoint.i == 30


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("evaluation", [20, 144])
def test_an_evaluation_that_is_cut_short_leaves_no_trace(small, batch, evaluation, tmp_path):
    """The resumed run evaluates again: its events and its end are those of an uninterrupted run, to the last digit."""
    whole = list(run(prepare(small)))
    asks = evaluation + 3 * ((evaluation - 1) // 20) + batch - 1
    asked = iter([False] * (asks - 1) + [True])
    begun = list(run(prepare(small), lambda: next(asked)))
    assert isinstance(begun[-1], Interrupted)
    assert begun[-1].i == evaluation
    assert isinstance(begun[-2], Evaluating)
    path = tmp_path / "interrupted.t7.pt"
    charrnn_port.save_checkpoint(begun[-1].checkpoint, path)
    options, checkpoint = resumed(replace(small, resume=path), frozenset(["resume"]))
    rest = list(run(prepare(options, saved=checkpoint)))
    assert rest[0] == Started(options, evaluation - 1, 144, 48)
    assert [digits(event) for event in begun + rest if isinstance(event, Iteration | RateDecayed)] == [
        digits(event) for event in whole if isinstance(event, Iteration | RateDecayed)
    ]
    assert last_checkpoint(rest).val_losses == last_checkpoint(whole).val_losses
    assert_same(last_checkpoint(rest), last_checkpoint(whole))


def digits(event: Iteration | RateDecayed) -> Iteration | RateDecayed:
    """Return the event without its time."""
    return replace(event, seconds=0.0) if isinstance(event, Iteration) else event


def last_checkpoint(events: list) -> Checkpoint:
    return [event for event in events if isinstance(event, Evaluated)][-1].checkpoint


def test_a_snapshot_when_asked(small):
    """It holds the state after that iteration, and has no effect on the run."""
    asked = iter([False] * 29 + [True] + [False] * 200)
    events = list(run(prepare(small), save_wanted=lambda: next(asked)))
    (snapshot,) = [event for event in events if isinstance(event, Snapshot)]
    assert snapshot.i == snapshot.checkpoint.i == 30
    assert_same(last_checkpoint(events), last_checkpoint(list(run(prepare(small)))))


@pytest.mark.parametrize(("epochs", "i"), [(0.55, 26), (2.5, None), (0.01, None)])
def test_the_end_brings_what_was_not_evaluated(small, epochs, i):
    """Iteration 26 of 26.4 is the last, without an evaluation; 120 has an evaluation; 0.48 iterations are none."""
    *_, last = run(prepare(replace(small, max_epochs=epochs)))
    assert isinstance(last, Finished)
    assert (last.checkpoint and last.checkpoint.i) == i


def test_exploded(recordings, play):
    options = train_options("-data_dir", play, *arguments_of(recordings["runs/explode"]))
    events = list(run(prepare(options)))
    assert isinstance(events[-1], Exploded)
    first = next(event for event in events if isinstance(event, Iteration))
    assert math.isnan(events[-1].train_loss) or events[-1].train_loss > 3 * first.train_loss
    assert events[-1].last_good.i < events[-1].i


def test_options_by_name_change_a_set_of_them(small):
    small_one = replace(small, max_epochs=1)
    first = next(charrnn_port.train(small, max_epochs=1))
    assert first == Started(small_one, i=0, iterations=48, ntrain=48)


def test_what_the_program_refuses_is_refused(tmp_path):
    """Options are checked when train is called, the text when the loop begins."""
    with pytest.raises(UserError, match="-rnn_size: 0 is out of range: it must be at least 1"):
        charrnn_port.train(rnn_size=0)
    with pytest.raises(UserError, match=r"^unknown option rnnsize: did you mean rnn_size\?$"):
        charrnn_port.train(rnnsize=3)
    with pytest.raises(UserError, match="no text at"):
        next(charrnn_port.train(data_dir=tmp_path))


def test_resume_from_python(small, tmp_path):
    for _ in recorders.save_checkpoints(run(prepare(small))):
        pass
    path = saved(tmp_path / "cv")[100][0]
    events = list(charrnn_port.train(resume=path))
    assert events[0] == Started(replace(small, resume=path), i=100, iterations=144, ntrain=48)
    whole = [event.train_loss for event in run(prepare(small)) if isinstance(event, Iteration)]
    assert [event.train_loss for event in events if isinstance(event, Iteration)] == whole[100:]


@pytest.mark.parametrize(("third", "ends"), [(6.0, False), (6.0001, True), (math.nan, True)])
def test_exploded_means_more_than_three_times_the_first_loss(small, monkeypatch, third, ends):
    losses = iter([2.0, 5.9, third] + [1.0] * 200)
    monkeypatch.setattr(Training, "_iterate", lambda self: next(losses))
    *_, last = run(prepare(small))
    assert (type(last), last.i) == ((Exploded, 3) if ends else (Finished, 144))


def test_nan_is_printed_as_in_lua(small, monkeypatch):
    """With -decay_rate 2 the norm is NaN while train_loss is finite; in the next iteration the loss is NaN too."""
    lines = []
    events = recorders.print_lines(run(prepare(replace(small, decay_rate=2.0))), lines.append)
    assert isinstance(list(events)[-1], Exploded)
    assert re.fullmatch(r"1/144 .*train_loss = 3\.\d{8}, grad/param norm =    nan, time/batch = .*", lines[0])
    assert "train_loss =    nan, grad/param norm =    nan, time/batch = " in lines[1]
    assert lines[2].startswith("loss is NaN.")


@pytest.mark.parametrize(("accurate", "waits"), [(0, 0), (1, 48)])
def test_accurate_timing_waits_for_the_device(small, monkeypatch, accurate, waits):
    """Once per iteration, before the clock is read."""
    waited = []
    monkeypatch.setattr(run_module, "synchronize", waited.append)
    for _ in run(prepare(replace(small, max_epochs=1, accurate_gpu_timing=accurate))):
        pass
    assert waited == [torch.device("cpu")] * waits


def test_seconds_are_those_of_the_iteration(small):
    start = time.perf_counter()
    iterations = [event for event in run(prepare(small)) if isinstance(event, Iteration)]
    assert 0 < sum(event.seconds for event in iterations) < time.perf_counter() - start

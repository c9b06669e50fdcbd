"""A loss that explodes or is NaN ends the run. The last good state is saved, and never a bad one."""

import math

import pytest
import torch
from click.testing import CliRunner
from conftest import assert_one_line_error, run_sample, run_train
from runs import SMALL, TEXT, assert_same, log_lines, saved

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.training import Training

NAME = "lm_lstm_interrupted.t7.pt"


@pytest.fixture
def start(tmp_path):
    """Return arguments of a run of 144 iterations with an evaluation and a checkpoint every 60."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return [*SMALL, "-eval_val_every", 60, "-data_dir", tmp_path / "data", "-checkpoint_dir", tmp_path / "cv"]


@pytest.fixture
def spoil(monkeypatch):
    """Return a function that makes losses bad and parameters NaN from an iteration (of this process) on."""
    iterate = Training._iterate

    def set_up(first: int, bad: float) -> None:
        done = 0

        def spoilt(self: Training) -> float:
            nonlocal done
            done += 1
            loss = iterate(self)
            if done == first - 1:  # the parameters are bad before the loss is
                self.network.params.fill_(math.nan)
            return loss if done < first else bad

        monkeypatch.setattr(Training, "_iterate", spoilt)

    return set_up


@pytest.mark.parametrize(("bad", "line"), [(math.nan, "loss is NaN."), (1e9, "loss is exploding, aborting.")])
@pytest.mark.parametrize(("first", "good"), [(2, 0), (50, 0), (51, 0), (52, 50), (101, 50), (120, 100)])
def test_the_last_good_state_is_saved(start, spoil, first, good, bad, line, tmp_path):
    """A state after 50 iterations, say, is good once iteration 51 has shown a good loss."""
    spoil(first, bad)
    result = run_train(*start)
    assert_one_line_error(result, 3, f"iteration {first};", f"iteration {good},", NAME, "-init_from", "below 0.00")
    assert line in result.stdout.splitlines()[-1]
    checkpoint = {path.name: each for path, each in saved(tmp_path / "cv").values()}[NAME]
    assert checkpoint.i == good
    assert math.isfinite(sum(checkpoint.train_losses))
    for tensor in (checkpoint.params, checkpoint.progress["optimizer"]["mean_square"], *checkpoint.progress["state"]):
        assert tensor.isfinite().all()


@pytest.mark.parametrize("first", [2, 120])
def test_what_was_saved_goes_wherever_checkpoints_go(start, spoil, monkeypatch, first, tmp_path):
    """-resume continues with the same results as the run would have had, from iteration 0 too."""
    spoil(first, math.nan)
    run_train(*start)
    monkeypatch.undo()
    path = tmp_path / "cv" / NAME
    assert run_sample(path, "-length", 10).exit_code == 0
    assert run_train(*start, "-init_from", path, "-max_epochs", 0.1, "-checkpoint_dir", tmp_path / "x").exit_code == 0
    resumed = run_train("-resume", path, "-checkpoint_dir", tmp_path / "rest")
    whole = run_train(*start, "-checkpoint_dir", tmp_path / "whole")
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[first // 50 * 50 :]
    assert_same(saved(tmp_path / "rest")[144][1], saved(tmp_path / "whole")[144][1])


def test_a_resumed_run_saves_the_state_that_it_began_with(start, spoil, monkeypatch, tmp_path):
    run_train(*start, "-max_epochs", 1.3)  # to iteration 62
    before = saved(tmp_path / "cv")[60]
    spoil(3, math.nan)
    assert_one_line_error(run_train("-resume", before[0], "-max_epochs", 2), 3, "iteration 63;", "iteration 60,")
    assert_same(charrnn_port.load_checkpoint(tmp_path / "cv" / NAME), before[1])


def test_a_bad_first_loss_leaves_nothing_to_save(start, spoil, tmp_path):
    spoil(1, math.nan)
    assert_one_line_error(run_train(*start), 3, "iteration 1,", "nothing to save")
    assert not list((tmp_path / "cv").glob("*.t7.pt"))


def test_nothing_but_an_explosion_has_no_history(start, tmp_path):
    """At the second iteration, so that the saved state is that before the first."""
    pytest.importorskip("matplotlib")
    assert run_train(*start, "-learning_rate", 100).exit_code == 3
    folder, path = tmp_path / "cv", tmp_path / "cv" / NAME
    assert charrnn_port.load_checkpoint(path).i == 0
    for program, rest in ((charrnn.plot, ["-o", tmp_path / "x.png"]), (charrnn.compare, [path])):
        for name, words in ((path, "no iteration of a run"), (folder, "no history of a run found in the folder")):
            result = CliRunner().invoke(program, [str(word) for word in (name, *rest)])
            assert_one_line_error(result, 1, words)
    assert CliRunner().invoke(charrnn.inspect, [str(folder)]).exit_code == 0


def test_a_copy_is_saved(start, spoil, tmp_path):
    """Later changes do not reach the good state: parameters, mean square, state, random numbers."""
    spoil(2, math.nan)
    run_train(*start, "-dropout", 0.5)
    checkpoint = charrnn_port.load_checkpoint(tmp_path / "cv" / NAME)
    assert torch.equal(checkpoint.progress["optimizer"]["mean_square"], torch.zeros_like(checkpoint.params))
    assert not any(tensor.any() for tensor in checkpoint.progress["state"])

"""Tests of `charrnn look -checkpoints`: the first checkpoint of a run that predicts a property."""

import os
from dataclasses import replace

import pytest
from click.testing import CliRunner
from conftest import assert_one_line_error
from planted import bracketed_text, planted, planted_run

from charrnn_port import __main__ as charrnn
from charrnn_port.checkpoints import folder, save_checkpoint
from charrnn_port.reports.look import over_training, silence, units


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Run `charrnn look` on a text with brackets."""
    monkeypatch.setattr(silence, "LENGTH", 20)  # which takes less time
    monkeypatch.setattr(units, "TRIED", 1)
    (tmp_path / "text").write_bytes(bracketed_text(1000))

    def run(*arguments):
        words = [*arguments, "-o", tmp_path / "look.html"]
        return CliRunner().invoke(charrnn.look, [str(word) for word in words])

    return run


def test_the_first_checkpoint_that_predicts_a_property(tmp_path, look):
    """A unit that holds brackets from epoch 3 on is reported from there on; other properties never are."""
    planted_run(tmp_path / "cv", (False, False, True, True))
    result = look(tmp_path / "cv", tmp_path / "text", "-checkpoints", 8)
    assert result.exit_code == 0, result.output
    epochs, val_losses, _, *rows = result.stdout.splitlines()
    assert epochs.split()[:5] == ["epoch", "1.00", "2.00", "3.00", "4.00"]
    assert val_losses.split()[2:] == ["1.9000", "1.8000", "1.7000", "1.6000"]
    words = {row[:17].strip(): row.split() for row in rows}
    *_, first, second, third, fourth, _, epoch = words["inside brackets"]
    assert epoch == "3.00"
    assert not first.endswith("*")
    assert not second.endswith("*")
    assert third == fourth == "1.00*"
    assert {row[-1] for name, row in words.items() if name != "inside brackets"} == {"never"}
    assert len(rows) > 1


def test_random_weights_never_predict_a_property(tmp_path, look):
    planted_run(tmp_path / "cv", (False,) * 2)
    result = look(tmp_path / "cv", tmp_path / "text", "-checkpoints", 2)
    assert result.exit_code == 0, result.output
    rows = result.stdout.splitlines()[3:]
    assert rows
    assert all(row.endswith("never") and "*" not in row for row in rows)


def test_which_checkpoints_are_compared(tmp_path):
    """Those of the latest run, evenly spaced from the first to the last, with the one that the page shows; not those of
    another run, corrupt files, a second file of one iteration, or a network whose parameters are NaN.
    """
    run = planted_run(tmp_path / "cv", (False,) * 9)
    save_checkpoint(replace(planted(), i=50, train_losses=[2.0] * 50), tmp_path / "cv/lm_lstm_epoch0.50_9.0000.t7.pt")
    os.utime(tmp_path / "cv/lm_lstm_epoch0.50_9.0000.t7.pt", (0, 0))
    (tmp_path / "cv/lm_lstm_epoch0.70_9.0000.t7.pt").write_bytes(b"corrupt")
    save_checkpoint(run[4], tmp_path / "cv/lm_lstm_snapshot.t7.pt")
    diverged = replace(run[-1], i=1000, train_losses=[3.0] * 1000, params=run[-1].params * float("nan"))
    save_checkpoint(diverged, tmp_path / "cv/lm_lstm_finished.t7.pt")
    assert list(folder.files_of_latest_run(tmp_path / "cv")) == [100 * epoch for epoch in range(1, 10)]

    def epochs(most, shown):
        return [path.name[13] for path in over_training.chosen(tmp_path / "cv", most, run[shown])]

    assert epochs(20, 8) == list("123456789")
    assert epochs(5, 8) == list("13579")
    assert epochs(5, 3) == list("14579")
    assert epochs(2, 8) == list("19")


@pytest.mark.parametrize(
    ("checkpoint", "most", "words"),
    [("cv/lm_lstm_epoch1.00_1.9000.t7.pt", 8, ["not a folder"]), ("cv", 8, ["has 1"]), ("cv", 1, ["at least two"])],
)
def test_errors(tmp_path, look, checkpoint, most, words):
    """One line, before the text is read; no page is written."""
    planted_run(tmp_path / "cv", (True,))
    result = look(tmp_path / checkpoint, tmp_path / "text", "-checkpoints", most)
    assert_one_line_error(result, 2, "-checkpoints", *words)
    assert not (tmp_path / "look.html").exists()

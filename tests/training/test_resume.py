"""A resumed run prints the same lines as an uninterrupted one, and has the same parameters."""

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import (
    NEEDS_COMPILER,
    RECORDINGS,
    REFERENCE,
    ROOT,
    assert_one_line_error,
    loss_of,
    run_train,
    train_options,
)
from runs import EVERY, SMALL, TEXT, TIME, assert_same, log_lines, saved

import charrnn_port
from charrnn_port.checkpoints import save_checkpoint
from charrnn_port.checkpoints.folder import load_latest
from charrnn_port.training import prepare
from charrnn_port.training.events import Evaluating

prepare_module = sys.modules[prepare.__module__]


@pytest.fixture
def start(tmp_path):
    """Return arguments of a run of 144 iterations that evaluates and saves seven times."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return [*SMALL, *EVERY, "-data_dir", tmp_path / "data"]


@pytest.mark.parametrize("cell", ["fused", pytest.param("plain", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "options",
    [["-model", "lstm"], ["-model", "gru", "-dropout", "0.5"], ["-model", "rnn", "-state_carry", "copy"]],
    ids=["lstm", "gru_dropout", "rnn_copy"],
)
def test_the_rest_is_the_same(start, options, cell, tmp_path):
    """Resumed after 40 iterations; the learning rate decays before and after."""
    whole = run_train(*start, *options, "-cell", cell, "-checkpoint_dir", tmp_path / "whole")
    checkpoints = saved(tmp_path / "whole")
    resumed = run_train("-resume", checkpoints[40][0], "-checkpoint_dir", tmp_path / "rest")
    assert resumed.exit_code == 0, resumed.output
    end = max(checkpoints)
    assert end > 100
    assert "decayed" in resumed.stdout
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[40:]
    assert_same(saved(tmp_path / "rest")[end][1], checkpoints[end][1])


@pytest.mark.parametrize("i", [0, 1, 2])
def test_the_state_is_aliased_from_the_second_iteration_on(start, i):
    """Also if the run is resumed before, at or after this iteration: losses and parameters are the same."""
    whole, rest = (prepare(train_options(*start, "-state_carry", "alias")) for _ in range(2))
    for _ in range(i):
        whole.iteration()
    rest.network.params.copy_(whole.network.params)
    rest.restore(whole.checkpoint())
    assert [rest.iteration() for _ in range(3)] == [whole.iteration() for _ in range(3)]
    assert torch.equal(rest.network.params, whole.network.params)


@pytest.mark.parametrize("state_carry", ["alias", "copy"])
def test_an_interrupted_evaluation_changes_nothing(start, state_carry):
    """Neither the carried state nor the next evaluation, which begins with the first batch of the split again."""
    training, fresh = (prepare(train_options(*start, "-state_carry", state_carry)) for _ in range(2))
    for each in (training, fresh):
        each.iteration()
    asked = iter([False, True])
    assert loss_of(training.evaluate(2, lambda: next(asked))) is None
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(training.state, fresh.state, strict=True))
    before = [tensor.clone() for tensor in fresh.state]
    assert loss_of(training.evaluate(2)) == loss_of(fresh.evaluate(2))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(training.state, fresh.state, strict=True))
    same = all(torch.equal(ours, theirs) for ours, theirs in zip(fresh.state, before, strict=True))
    assert same == (state_carry == "copy")  # the aliased state is that of the evaluation
    assert list(fresh.evaluate(2)) == [Evaluating(2, number, 3) for number in range(4)]


def test_latest_is_the_furthest_whole_one(start, tmp_path):
    run_train(*start, "-checkpoint_dir", tmp_path, "-max_epochs", 1.3)  # 62.4 iterations
    furthest = saved(tmp_path)[62][0]
    (tmp_path / "lm_lstm_epoch9.99_0.1.t7.pt").write_bytes(furthest.read_bytes()[:1000])
    resumed = run_train("-resume", "latest", "-checkpoint_dir", tmp_path, "-max_epochs", 2)
    assert "resuming after iteration 62" in resumed.stdout
    whole = run_train(*start, "-checkpoint_dir", tmp_path / "whole", "-max_epochs", 2)
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[62:]


@pytest.fixture
def two_runs(start, tmp_path):
    """Return checkpoints of two runs in one folder, by savefile and iteration: `old` is longer, `new` is later."""
    paths = {}
    for clock, (name, epochs) in enumerate([("old", 3), ("new", 1.3)]):
        run_train(*start, "-checkpoint_dir", tmp_path, "-savefile", name, "-max_epochs", epochs, "-seed", clock)
        for path in tmp_path.glob(f"lm_{name}_*.t7.pt"):
            i = charrnn_port.load_checkpoint(path).i
            os.utime(path, (1000 * clock + i, 1000 * clock + i))
            paths[name, i] = path
    return paths


@pytest.mark.parametrize(("name", "furthest"), [("new", 62), ("old", 144)])
def test_latest_is_of_the_run_that_wrote_last(two_runs, name, furthest, tmp_path):
    os.utime(two_runs[name, 40])
    latest = load_latest(tmp_path)
    assert (latest.opt["savefile"], latest.i) == (name, furthest)


def test_latest_is_the_furthest_of_its_run_whatever_the_clock_says(two_runs, tmp_path):
    """The clock was set back before the run's last checkpoint, to before all other files in the folder."""
    os.utime(two_runs["new", 62], (1, 1))
    latest = load_latest(tmp_path)
    assert (latest.opt["savefile"], latest.i) == ("new", 62)


def test_latest_passes_over_what_is_damaged(two_runs, tmp_path):
    """Even if the damaged file is the newest, and the only one of its run."""
    for i in (20, 40, 60, 62):
        two_runs["new", i].write_bytes(two_runs["new", i].read_bytes()[:1000])
    (tmp_path / "lm_lstm_gone.t7.pt").symlink_to(tmp_path / "gone")
    latest = load_latest(tmp_path)
    assert (latest.opt["savefile"], latest.i) == ("old", 144)


def test_latest_that_is_of_no_iteration_is_the_latest(two_runs, tmp_path):
    """A state from before the first iteration has no losses that identify its run."""
    first = replace(load_latest(tmp_path), i=0, epoch=0.0, train_losses=[], val_losses={})
    save_checkpoint(first, tmp_path / "lm_lstm_interrupted.t7.pt")
    assert load_latest(tmp_path).i == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long)]
)
def test_interrupted_runs_go_on(start, number, status, tmp_path):
    whole = log_lines(run_train(*start, "-checkpoint_dir", tmp_path / "whole").stdout)
    command = [sys.executable, ROOT / "train.py", *start, "-checkpoint_dir", tmp_path / "cv"]
    # The small pipe without a buffer keeps the run from ending before the signal is sent.
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, bufsize=0, pipesize=4096)
    lines = []
    for line in process.stdout:
        lines.append(TIME.sub("", line.decode().rstrip("\n")))
        if line.startswith(b"30/"):
            process.send_signal(number)
    assert process.wait() == status
    assert "-resume" in lines[-1]
    interrupted = tmp_path / "cv" / "lm_lstm_interrupted.t7.pt"
    assert str(interrupted) in lines[-1]
    done = charrnn_port.load_checkpoint(interrupted).i
    assert done >= 30
    resumed = run_train("-resume", interrupted, "-checkpoint_dir", tmp_path / "rest")
    assert log_lines("\n".join(lines)) + log_lines(resumed.stdout) == whole


def test_a_checkpoint_of_version_0_1_goes_on(tmp_path, monkeypatch):
    """It kept the optimizer's state in another place. This one is of iteration 60 of 144, with dropout.

    That version added in another order: the lines are the same, and the parameters agree to 1e-12.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    old = REFERENCE / "checkpoints/charrnn_port_0.1.t7.pt"
    whole = run_train(*SMALL, *EVERY, "-dropout", 0.2, "-num_layers", 1, "-data_dir", "data")
    resumed = run_train("-resume", old, "-checkpoint_dir", "rest")
    assert resumed.exit_code == 0, resumed.output
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[60:]
    (_, ours), (_, theirs) = saved(tmp_path / "rest")[144], saved(tmp_path / "cv")[144]
    assert (ours.params - theirs.params).abs().max() < 1e-12


def test_checkpoints_have_their_version(start, tmp_path):
    run_train(*start, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 0.5)
    assert saved(tmp_path / "cv")[20][1].version == charrnn_port.__version__
    assert charrnn_port.load_checkpoint(REFERENCE / "checkpoints/charrnn_port_0.1.t7.pt").version == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grad_clip": -1.0}, "-grad_clip: -1.0 is out of range: it must be above 0"),
        ({"seq_length": "many"}, "-seq_length: 'many' is not a number"),
        ({"cell": "cuda"}, "-cell: 'cuda' is not one of auto, plain, script, fused, compiled"),
        ({"color": "red"}, "has an unknown option -color; a newer charrnn_port may know it"),
    ],
)
def test_options_from_a_file_are_checked_like_those_typed(start, change, words, tmp_path):
    run_train(*start, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 0.5)
    path, checkpoint = saved(tmp_path / "cv")[20]
    save_checkpoint(replace(checkpoint, opt=checkpoint.opt | change), path)
    assert_one_line_error(run_train("-resume", path), 1, str(path), words)


def test_another_text_is_refused(start, tmp_path):
    """The same characters in another order: only the digest differs. -init_from accepts the text."""
    run_train(*start, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 0.5)
    path = saved(tmp_path / "cv")[20][0]
    (tmp_path / "data/input.txt").write_bytes(TEXT.translate(bytes.maketrans(b"abc", b"bca")))
    digests = [hashlib.sha256(text).hexdigest()[:12] for text in (TEXT, (tmp_path / "data/input.txt").read_bytes())]
    result = run_train("-resume", path, "-checkpoint_dir", tmp_path / "cv")
    assert_one_line_error(result, 1, *digests, "-data_dir", "-init_from", str(tmp_path / "data"))
    begun = run_train(*start, "-init_from", path, "-max_epochs", 0.1, "-checkpoint_dir", tmp_path / "new")
    assert begun.exit_code == 0


def test_the_same_text_in_another_folder_is_accepted(start, tmp_path, monkeypatch):
    """The run is resumed from another folder, and its data have moved."""
    whole = run_train(*start, "-checkpoint_dir", tmp_path / "cv")
    path = saved(tmp_path / "cv")[100][0]
    (tmp_path / "data").rename(tmp_path / "moved")
    gone = run_train("-resume", path, "-checkpoint_dir", tmp_path / "rest")
    assert_one_line_error(gone, 1, "no text at", "-data_dir")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    resumed = run_train("-resume", path, "-data_dir", "../moved/", "-checkpoint_dir", tmp_path / "rest")
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[100:]


def test_a_folder_that_was_renamed(start, tmp_path, monkeypatch):
    """A resumed run goes on in the folder of its options, and says so, also that another run is there."""
    monkeypatch.chdir(tmp_path)
    run_train(*start)
    Path("cv").rename("old")
    run_train(*start, "-seed", 5)
    moved = run_train("-resume", "old", "-max_epochs", 4)
    assert "checkpoints go to cv, as before; to name another folder, use -checkpoint_dir\n" in moved.stderr
    assert "cv has checkpoints of another run" in moved.stderr
    there = run_train("-resume", "old", "-max_epochs", 4, "-checkpoint_dir", "old")
    assert there.exit_code == 0
    assert "checkpoints" not in there.stderr


@pytest.mark.parametrize("cell", [pytest.param("plain", marks=pytest.mark.long), "fused", "auto"])
def test_any_cell_goes_on(start, cell, tmp_path):
    """All backends give the same printed digits."""
    whole = run_train(*start, "-cell", "fused", "-checkpoint_dir", tmp_path / "cv")
    path = saved(tmp_path / "cv")[100][0]
    resumed = run_train("-resume", path, "-cell", cell, "-checkpoint_dir", tmp_path / "rest")
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[100:]


@NEEDS_COMPILER
def test_a_run_with_a_compiler_goes_on_without_one(start, monkeypatch, tmp_path):
    whole = run_train(*start, "-cell", "compiled", "-checkpoint_dir", tmp_path / "cv")
    path = saved(tmp_path / "cv")[100][0]
    monkeypatch.setattr(prepare_module, "fastest_backend", lambda model, dtype, device: "fused")
    resumed = run_train("-resume", path, "-checkpoint_dir", tmp_path / "rest")
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[100:]


def test_the_precision_cannot_change(start, tmp_path):
    run_train(*start, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 0.5)
    path = saved(tmp_path / "cv")[20][0]
    assert_one_line_error(run_train("-resume", path, "-dtype", "float32"), 1, "-dtype float32 would change the run")
    assert run_train("-resume", path, "-dtype", "float64", "-checkpoint_dir", tmp_path / "cv").exit_code == 0


@pytest.mark.parametrize("damage", [{"optimizer": {"learning_rate": 0.1}}, {"unfinished": {"i": 3}},
                                    {"optimizer": {"learning_rate": 0.1, "mean_square": 0.5}}])  # fmt: skip
def test_damaged_progress_is_named(start, damage, tmp_path):
    run_train(*start, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 0.5)
    path, checkpoint = saved(tmp_path / "cv")[20]
    save_checkpoint(replace(checkpoint, progress=checkpoint.progress | damage), path)
    assert_one_line_error(run_train("-resume", path, "-checkpoint_dir", tmp_path / "cv"), 1, str(path), "corrupt")


def test_the_end_without_an_evaluation_is_saved(start, tmp_path):
    """-max_epochs 0.55 is 26.4 iterations: stdout is as in the original, and the state is saved in one more file."""
    result = run_train(*start, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 0.55)
    assert result.exit_code == 0
    path = tmp_path / "cv/lm_lstm_finished.t7.pt"
    assert "finished" not in result.stdout
    assert f"finished after iteration 26, where no evaluation was due: the state is saved to {path}" in result.stderr
    resumed = run_train("-resume", path, "-max_epochs", 3, "-checkpoint_dir", tmp_path / "rest")
    whole = run_train(*start, "-checkpoint_dir", tmp_path / "whole")
    assert log_lines(result.stdout + resumed.stdout) == [
        line.replace("/144 ", "/26 ") if int(line.split("/")[0]) <= 26 else line for line in log_lines(whole.stdout)
    ]


def test_init_from_takes_the_checkpoint_s_dropout_and_says_so(start, tmp_path):
    run_train(*start, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 0.5, "-dropout", 0.2)
    path = saved(tmp_path / "cv")[20][0]
    begin = [*start, "-init_from", path, "-max_epochs", 0.1, "-checkpoint_dir", tmp_path / "new"]
    result = run_train(*begin, "-dropout", 0.7)
    assert "-dropout 0.7 is ignored: -init_from uses the dropout of the checkpoint" in result.stderr
    assert "0.2" in result.stderr
    assert f"loading a model from checkpoint {path}\n" in result.stdout
    assert "is ignored" not in run_train(*begin).stderr
    assert "is ignored" not in run_train(*begin, "-dropout", 0.2).stderr


def test_options_that_would_change_the_run(start, tmp_path):
    run_train(*start, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 1)
    path = saved(tmp_path / "cv")[40][0]
    assert_one_line_error(run_train("-resume", path, "-rnn_size", 9), 1, "-rnn_size 9", "which has 8")
    agreed = run_train("-resume", path, "-rnn_size", 8, "-print_every", 4, "-checkpoint_dir", tmp_path / "cv")
    assert [line.split("/")[0] for line in log_lines(agreed.stdout)] == ["44", "48"]


def test_a_finished_run_says_so(start, tmp_path):
    run_train(*start, "-checkpoint_dir", tmp_path / "cv")
    resumed = run_train("-resume", "latest", "-checkpoint_dir", tmp_path / "cv")
    assert resumed.exit_code == 0
    assert resumed.stdout.endswith("all 144 iterations are done; raise -max_epochs to continue\n")


def test_what_cannot_be_resumed(tmp_path):
    lua = RECORDINGS / "lua_checkpoints/rnn.t7"
    assert_one_line_error(run_train("-resume", lua), 1, "rnn.t7", "cannot be resumed", "-init_from")
    assert_one_line_error(
        run_train("-resume", "latest", "-checkpoint_dir", tmp_path), 1, "no checkpoint", str(tmp_path)
    )
    assert_one_line_error(run_train("-resume", tmp_path / "none.t7.pt"), 1, "none.t7.pt does not exist")

"""Tests that a folder stands for the best checkpoint of its latest run, whose name is logged."""

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import RECORDINGS, assert_one_line_error, run_sample, run_train
from runs import EVERY, SMALL, TEXT, assert_same, log_lines, saved

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.checkpoints import load_checkpoint, save_checkpoint
from charrnn_port.util.errors import UserError

ANY = load_checkpoint(RECORDINGS / "lua_checkpoints/rnn.t7")


def put(path: Path, loss: float | None, i: int = 7, **other: object) -> None:
    """Write a checkpoint after `i` iterations, identified by `opt["savefile"]`; None: not evaluated."""
    val_losses = {3: 0.1} if loss is None else {3: 0.1, i: loss}
    values = {"opt": ANY.opt | {"savefile": path.name}} | other
    save_checkpoint(replace(ANY, i=i, epoch=float(i), val_losses=val_losses, val_loss=loss or 0.1, **values), path)


def best(folder: Path, among: str = "") -> str:
    """Return the name of the file that is loaded, and assert that it is the one that is logged."""
    logged = []
    name = load_checkpoint(folder, logged.append).opt["savefile"]
    assert logged == [f"loading {folder / name}, the best {among}in {folder}"]
    return name


def order(*paths: Path) -> None:
    """Set the times of files, the oldest first."""
    for time, path in enumerate(paths):
        os.utime(path, (time, time))


def test_the_lowest_loss_in_the_names(tmp_path):
    for epoch, loss in ((1, 2.5), (2, 1.25), (3, 1.5), (10, 10.0)):
        put(tmp_path / f"lm_x_epoch{epoch}.00_{loss:.4f}.t7.pt", loss)
    assert best(tmp_path) == "lm_x_epoch2.00_1.2500.t7.pt"
    put(tmp_path / "lm_of_lua_epoch1.50_1.2499.t7", 1.2499)
    assert best(tmp_path) == "lm_of_lua_epoch1.50_1.2499.t7"
    put(tmp_path / "lm_x_epoch1.00_1.0000.2.t7.pt", 1.0)  # the name was taken by another run
    assert best(tmp_path) == "lm_x_epoch1.00_1.0000.2.t7.pt"


def test_of_equal_ones_the_latest(tmp_path):
    for epoch in (9, 11, 10):
        put(tmp_path / f"lm_x_epoch{epoch}.00_1.5000.t7.pt", 1.5)
    assert best(tmp_path) == "lm_x_epoch11.00_1.5000.t7.pt"


def test_names_that_tell_no_loss(tmp_path):
    """The files are read: the loss of their own iteration counts, and checkpoints without one come last."""
    put(tmp_path / "lm_x_interrupted.t7.pt", None, i=8)
    put(tmp_path / "lm_x_snapshot.t7.pt", None, i=9)
    assert best(tmp_path) == "lm_x_snapshot.t7.pt"
    put(tmp_path / "lm_x_epoch5.00_nan.t7.pt", math.nan)
    assert best(tmp_path) == "lm_x_snapshot.t7.pt"
    put(tmp_path / "lm_x_epoch2.00_1.2500.t7.pt", 1.25)
    assert best(tmp_path) == "lm_x_epoch2.00_1.2500.t7.pt"
    put(tmp_path / "worse.t7.pt", 1.3)
    assert best(tmp_path) == "lm_x_epoch2.00_1.2500.t7.pt"
    put(tmp_path / "better.t7.pt", 1.2)
    assert best(tmp_path) == "better.t7.pt"


def test_what_cannot_be_loaded_is_passed_over(tmp_path):
    """A run may be writing to the folder and deleting older files. Unfinished files have another name."""
    put(tmp_path / "lm_x_epoch3.00_1.4000.t7.pt", 1.4)
    whole = (tmp_path / "lm_x_epoch3.00_1.4000.t7.pt").read_bytes()
    (tmp_path / "lm_x_epoch4.00_1.3000.t7.pt.part.here.123").write_bytes(whole[:500])
    (tmp_path / "lm_x_epoch4.00_1.3000.t7.pt").write_bytes(whole[:500])
    (tmp_path / "lm_x_epoch5.00_1.2000.t7.pt").symlink_to("deleted")
    (tmp_path / "lm_x_epoch5.00_1.1000.t7.pt").mkdir()
    (tmp_path / "vocab.t7").write_bytes((RECORDINGS / "t7/vocab.t7").read_bytes())
    (tmp_path / "half.t7.pt").write_bytes(whole[:500])
    assert best(tmp_path) == "lm_x_epoch3.00_1.4000.t7.pt"


def test_of_several_runs_the_latest(tmp_path):
    """The losses of a run's checkpoints begin with each other. The newest file shows which run is the latest."""
    a1, a2, b1, b2 = (tmp_path / name for name in ("a1.t7.pt", "a2.t7.pt", "b1.t7.pt", "b2.t7.pt"))
    put(a1, 1.0, train_losses=[4.0, 3.5])
    put(a2, 1.5, train_losses=[4.0, 3.5, 3.25])
    put(b1, 2.0, train_losses=[4.5, 3.5])
    put(b2, 2.5, train_losses=[4.5, 3.5, 3.25])
    order(a1, a2, b1, b2)
    assert best(tmp_path, "of the latest run ") == "b1.t7.pt"
    nan = float("nan")  # a loss that is NaN is equal to itself, and a number may be an int of any size
    put(b1, 2.0, train_losses=[4.5, nan, 2**80])
    put(b2, 2.5, train_losses=[4.5, nan])
    order(a1, a2, b1, b2)
    assert best(tmp_path, "of the latest run ") == "b1.t7.pt"
    order(b2, a1, b1, a2)
    assert best(tmp_path) == "a1.t7.pt"
    (tmp_path / "c.t7.pt").write_bytes(b"PK")  # corrupt: not a checkpoint of any run
    assert best(tmp_path) == "a1.t7.pt"


def test_runs_without_losses_differ_in_vocabulary_name_or_text(tmp_path):
    """So do checkpoints before the first iteration, and those of programs that record no losses."""
    old, new = tmp_path / "old.t7.pt", tmp_path / "new.t7.pt"
    for difference in ({"savefile": "x"}, {"data_dir": "other"}):
        put(old, 1.0, train_losses=[], opt=ANY.opt | {"savefile": "new.t7.pt"} | difference)
        put(new, 2.0, train_losses=[])
        order(old, new)
        assert best(tmp_path, "of the latest run ") == "new.t7.pt"
    put(old, 1.0, train_losses=[], opt=ANY.opt | {"savefile": "new.t7.pt", "seed": 9})
    order(old, new)
    assert load_checkpoint(tmp_path).opt["seed"] == 9


def test_a_second_text_in_the_same_folder(run, tmp_path):
    """A warning at its start; then the folder stands for the second run, although the first one's loss is lower."""
    first, _ = run
    shutil.copytree(first / "cv", tmp_path / "cv")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT[::-1].replace(b"e", b"3"))
    rest = [*SMALL, "-max_epochs", 0.5, "-checkpoint_dir", tmp_path / "cv", "-data_dir"]
    known = "has checkpoints of another run"
    second = run_train(*rest, tmp_path / "data", "-eval_val_every", 20)
    assert second.stderr.count(f"{tmp_path / 'cv'} {known}, on another text: they stay there") == 1
    vocab = load_checkpoint(tmp_path / "cv").vocab
    assert (b"3" in vocab.symbols, b"e" in vocab.symbols) == (True, False)
    assert known not in run_train(*rest, tmp_path / "data", "-eval_val_every", 20).stderr  # a repetition
    assert known not in run_train("-resume", "latest", "-checkpoint_dir", tmp_path / "cv").stderr
    other = run_train(*rest, tmp_path / "data", "-seed", 2)
    assert f"{known}: they stay there" in other.stderr
    assert known not in run_train(*rest, tmp_path / "data", "-seed", 3, "-dry_run", 1).stderr


def test_resume_latest_names_the_checkpoint(run, tmp_path):
    folder, _ = run
    path, latest = max(saved(folder / "cv").values(), key=lambda each: each[1].i)
    result = run_train("-resume", "latest", "-checkpoint_dir", folder / "cv")
    assert f"loading {path}, the latest in {folder / 'cv'}\n" in result.stderr
    assert f"resuming after iteration {latest.i}" in result.stdout


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(UserError, match=f"^{tmp_path} is a folder, not a checkpoint, and has no valid checkpoint$"):
        load_checkpoint(tmp_path)
    (tmp_path / "half.t7.pt").write_bytes(b"PK\3\4")
    with pytest.raises(UserError, match=f"^{tmp_path} is a folder, .* no valid checkpoint: .*half.t7.pt is corrupt"):
        load_checkpoint(tmp_path)
    assert_one_line_error(run_sample(tmp_path), 1, f"{tmp_path} is a folder", "half.t7.pt is corrupt")
    assert_one_line_error(run_train("-resume", tmp_path), 1, f"{tmp_path} is a folder")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a run of 144 iterations and the path of its best checkpoint."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "data").mkdir()
    (folder / "data/input.txt").write_bytes(TEXT)
    run_train(*SMALL, *EVERY, "-data_dir", folder / "data", "-checkpoint_dir", folder / "cv")
    path, _ = min(saved(folder / "cv").values(), key=lambda each: each[1].val_loss)
    return folder, path


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("sample", ["-gpuid", -1, "-length", 50]),
        ("inspect", []),
        ("evaluate", ["-gpuid", -1, "-split", "train"]),
        ("score", ["TEXT"]),
    ],
)
def test_every_program_that_reads_one_takes_a_folder(verb, arguments, run):
    folder, path = run
    arguments = [folder / "data/input.txt" if word == "TEXT" else word for word in arguments]
    of_folder, of_file = (
        CliRunner().invoke(charrnn.verbs()[verb], [str(word) for word in (each, *arguments)])
        for each in (folder / "cv", path)
    )
    assert of_folder.stdout == of_file.stdout
    assert of_folder.stderr == f"loading {path}, the best in {folder / 'cv'}\n" + of_file.stderr
    assert of_file.stderr == ("100 % of this text was trained on.\n" if verb == "score" else "")


def test_without_verbose_sample_prints_the_text_only(run):
    folder, _ = run
    assert run_sample(folder / "cv", "-gpuid", -1, "-length", 5, "-verbose", 0).stderr == ""


@pytest.mark.parametrize("verb", ["trace", "look"])
def test_programs_that_write_a_file_take_a_folder(verb, run, tmp_path):
    folder, path = run
    target = tmp_path / {"trace": "x.h5", "look": "x.html"}[verb]
    (tmp_path / "text.txt").write_bytes(TEXT[:60])
    words = [folder / "cv", tmp_path / "text.txt", "-o", target]
    result = CliRunner().invoke(charrnn.verbs()[verb], [str(word) for word in words])
    assert f"loading {path}, the best in {folder / 'cv'}\n" in result.stderr
    assert target.exists()


def test_convert_takes_a_folder(run, tmp_path):
    folder, path = run
    result = CliRunner().invoke(charrnn.convert, [str(folder / "cv"), str(tmp_path / "best.t7.pt")])
    assert result.stderr.startswith(f"loading {path}, the best in {folder / 'cv'}\nwrote ")
    assert_same(load_checkpoint(tmp_path / "best.t7.pt"), load_checkpoint(path))


@pytest.mark.parametrize("option", ["-init_from", "-resume"])
def test_training_begins_with_a_folder(option, run, tmp_path):
    folder, path = run
    rest = ["-data_dir", folder / "data", "-max_epochs", 3.5, "-checkpoint_dir"]
    rest = ["-gpuid", -1, *rest] if option == "-resume" else [*SMALL, *rest]
    first = run_train(option, folder / "cv", *rest, tmp_path / "first")
    second = run_train(option, path, *rest, tmp_path / "second")
    assert first.exit_code == 0, first.output
    assert log_lines(first.stdout) == log_lines(second.stdout) != []
    assert f"loading {path}, the best in {folder / 'cv'}\n" in first.stderr
    assert "the best in" not in second.stderr


def test_from_python_nothing_is_printed(run, capsys):
    folder, path = run
    assert charrnn_port.load_checkpoint(folder / "cv").i == load_checkpoint(path).i
    assert capsys.readouterr() == ("", "")

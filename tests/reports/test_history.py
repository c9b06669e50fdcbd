"""Tests that logs, CSV files and checkpoints of a run give the same history."""

import math

import numpy as np
import pytest
from conftest import RECORDINGS, arguments_of, run_train
from runs import EVERY, SMALL, TEXT, log_lines, losses, printed, saved

from charrnn_port.reports.history import read_history
from charrnn_port.util.errors import UserError

HEADER = "iteration,epoch,train_loss,val_loss,learning_rate,grad_param_norm,seconds\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a run: checkpoints in cv/, its stdout in `stdout`, and stdout with stderr in `both`."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "input.txt").write_bytes(TEXT)
    result = run_train("-data_dir", folder, "-checkpoint_dir", folder / "cv", *SMALL, *EVERY)
    (folder / "stdout").write_text(result.stdout)
    (folder / "both").write_text(result.output)
    return folder


def last_of(folder):
    """Return the path of the last checkpoint, and the checkpoint."""
    return max(saved(folder / "cv").values(), key=lambda each: each[1].i)


def test_a_log_equals_the_checkpoint_to_the_printed_digits(small):
    path, checkpoint = last_of(small)
    log, whole = read_history(small / "stdout"), read_history(path)
    assert log.iterations.tolist() == whole.iterations.tolist() == list(range(1, 145))
    assert whole.columns["train_loss"].tolist() == checkpoint.train_losses
    assert np.abs(log.columns["train_loss"] - whole.columns["train_loss"]).max() <= 0.5001e-8
    assert np.abs(log.columns["epoch"] - whole.columns["epoch"]).max() <= 0.5001e-3
    assert whole.val_losses == checkpoint.val_losses
    assert log.val_losses == {i: float(f"{loss:.4f}") for i, loss in whole.val_losses.items()}
    assert log.formats == {"train_loss": ".8f", "grad_param_norm": ".4e", "val_loss": ".4f"}
    assert whole.formats == {}
    assert {"model": "lstm", "num_layers": 2}.items() <= log.options.items() <= whole.options.items()


def test_the_learning_rate_is_that_of_the_decays(small):
    """It changes at the end of an epoch, after 48 iterations; the next iteration is the first with the new rate."""
    rates = read_history(small / "stdout").columns["learning_rate"]
    expected = [0.002] * 48 + [0.002 * 0.97] * 48 + [0.002 * 0.97**2] * 48
    assert rates == pytest.approx(expected, rel=1e-12)


def test_notes_and_the_remains_of_a_bar_do_not_hurt(small, tmp_path):
    lines = (small / "both").read_text().splitlines()
    assert any(line.startswith("validation loss") for line in lines)
    bar = " 12%|#2        | 18/144 [00:01<00:09]"
    (tmp_path / "log").write_bytes("\n".join(f"\r{bar}\r\x1b[K{line}\r" for line in lines).encode() + b"\n\xff\n")
    noisy, plain = read_history(tmp_path / "log"), read_history(small / "stdout")
    for name, values in plain.columns.items():
        assert np.array_equal(noisy.columns[name], values, equal_nan=True)
    assert noisy.val_losses == plain.val_losses
    assert noisy.options["dtype"] == "float64"


def test_an_evaluation_between_two_lines_is_where_the_note_says(small, tmp_path):
    """With -print_every above 1. Without the note it is the iteration of the next line, or the last iteration."""
    lines = (small / "both").read_text().splitlines(keepends=True)
    some = [line for line in lines if "train_loss" not in line or line.split("/")[0].endswith("0")]
    (tmp_path / "noted").write_text("".join(some))
    (tmp_path / "bare").write_text("".join(line for line in some if not line.startswith("validation loss")))
    noted, bare = (read_history(tmp_path / name) for name in ("noted", "bare"))
    assert len(noted.iterations) == 14
    assert noted.val_losses == bare.val_losses == read_history(small / "stdout").val_losses


@pytest.mark.parametrize("name", ["lstm", "decay", "print_every", "explode"])
def test_logs_of_the_original(recordings, tmp_path, name):
    run = recordings["runs"][name]
    (tmp_path / "log").write_text(printed(run))
    log = read_history(tmp_path / "log")
    lines = log_lines(printed(run))
    assert log.iterations.tolist() == [int(line.split("/")[0]) for line in lines]
    assert log.columns["train_loss"].tolist() == losses(lines).tolist()
    assert log.columns["grad_param_norm"].tolist() == [float(line.rsplit(" ", 1)[1]) for line in lines]
    names = [checkpoint.rsplit("_", 1)[1].removesuffix(".t7") for checkpoint in run.attrs.get("checkpoints", [])]
    assert sorted(log.val_losses.values()) == sorted(map(float, names))
    assert set(log.val_losses) <= {50, 100, 150, 200, 250, 300, 285, 304}


def test_a_checkpoint_of_the_original(recordings):
    run = recordings["runs/lstm"]
    history = read_history(RECORDINGS / "lua_checkpoints/lstm.t7")
    assert np.abs(history.columns["train_loss"] - losses(log_lines(printed(run)))).max() <= 0.5001e-8
    assert history.options["state_carry"] == "alias"
    assert history.options["rnn_size"] == int(arguments_of(run)[arguments_of(run).index("-rnn_size") + 1])


def test_a_resumed_run_replaces_the_iterations_it_repeats(small, tmp_path):
    lines = (small / "stdout").read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith("100/"))
    again = next(number for number, line in enumerate(lines) if line.startswith("61/"))
    (tmp_path / "log").write_text("".join(lines[: place + 1] + lines[:10] + lines[again:]))
    log, whole = read_history(tmp_path / "log"), read_history(small / "stdout")
    assert log.iterations.tolist() == whole.iterations.tolist()
    assert log.val_losses == whole.val_losses


def test_a_line_that_a_note_was_written_into_does_not_count(small, tmp_path):
    text = (small / "stdout").read_text()
    (tmp_path / "log").write_text(text.replace("\n123/144", "\n12a note\n3/144"))
    assert read_history(tmp_path / "log").iterations.tolist() == [i for i in range(1, 145) if i != 123]
    (tmp_path / "log").write_text(text[: text.rindex("train_loss = ") + len("train_loss = 1.23")])
    assert read_history(tmp_path / "log").iterations[-1] == 143


def write_csv(path, rows):
    path.write_text(HEADER + "".join(",".join(row) + "\n" for row in rows))


def test_a_csv_file_with_the_options_of_the_checkpoint_beside_it(small, tmp_path):
    path, checkpoint = last_of(small)
    rows = [
        [str(i), repr(i / 48), repr(loss), "", "0.002", "0.5", "0.01"]
        for i, loss in enumerate(checkpoint.train_losses, 1)
    ]
    for i, val_loss in checkpoint.val_losses.items():
        rows[i - 1][3] = repr(val_loss)
    folder = path.parent
    write_csv(folder / "lstm.csv", rows)
    found = read_history(folder)
    assert found.name == str(folder / "lstm.csv")
    assert found.columns["train_loss"].tolist() == checkpoint.train_losses
    assert found.val_losses == checkpoint.val_losses
    assert found.options["rnn_size"] == 8
    rows[3][2] = "1.5"  # a loss of another run
    write_csv(folder / "lstm.csv", rows)
    assert read_history(folder).options == {}
    with (folder / "lstm.csv").open("a") as file:
        file.write("145,3.02,1.")  # incomplete, while a run writes it
    assert read_history(folder).iterations[-1] == 144
    (folder / "lstm.csv").unlink()
    assert read_history(folder).columns["train_loss"].tolist() == checkpoint.train_losses


def test_losses_that_are_nan(tmp_path):
    lines = ["1/9 (epoch 0.1), train_loss = nan, grad/param norm = nan, time/batch = 0.1s"]
    (tmp_path / "log").write_text("\n".join(lines))
    assert math.isnan(read_history(tmp_path / "log").columns["train_loss"][0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"some words\n", "no iteration of a run"),
        (b"x" * 1_000_000, "no iteration of a run"),
        (HEADER.encode(), "no iteration of a run"),
        (HEADER.encode() + b"1,0.1,zwei,,0.1,0.1,0.1\n2,0.1,2.0,,0.1,0.1,0.1\n", "expected in line 2 iteration,"),
        (HEADER.encode() + b"9" * 400 + b",0.1,2.0,,0.1,0.1,0.1\n" * 2, "is corrupt"),
        (b"\x1f\x8b packed", "compressed with gzip, not a log"),
        (b"\0" * 2000, "nothing but zeros"),
        (b"PK\3\4\0\0", "corrupt or not a checkpoint"),
    ],
)
def test_other_files_end_in_one_line(tmp_path, content, words):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        read_history(tmp_path / "file")
    assert str(tmp_path / "file") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["README.md", "a.MD", "a.rst", "a.py", "a.ipynb"])
def test_a_document_that_quotes_a_log_is_not_one(name, tmp_path):
    text = "1/9 (epoch 0.111), train_loss = 4.1, grad/param norm = 1.0e-01, time/batch = 0.1s\n"
    for path in (tmp_path / name, tmp_path / "log"):
        path.write_text(text)
    assert len(read_history(tmp_path / "log").iterations) == 1
    with pytest.raises(UserError, match=f"{name} is a document, not a log"):
        read_history(tmp_path / name)


def test_what_is_no_file(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_history(tmp_path / "none")
    with pytest.raises(UserError, match="no history of a run"):
        read_history(tmp_path)


def test_a_huge_file_is_refused_unread(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        file.write(b"text\n" * 1000)
        file.truncate(5 << 30)  # a sparse file
    with pytest.raises(UserError, match="more than 1 GB"):
        read_history(tmp_path / "log")

"""Tests of `charrnn plot` and of the curve that `charrnn inspect` prints on a terminal."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import RECORDINGS, ROOT, assert_one_line_error, full_disk
from runs import printed

from charrnn_port import __main__ as charrnn
from charrnn_port.reports.history import COLUMNS, History, read_history
from charrnn_port.reports.inspect import curve
from charrnn_port.reports.plot import COLORS, draw, exploded, labels, smooth

LSTM, GRU = (RECORDINGS / f"lua_checkpoints/{name}.t7" for name in ("lstm", "gru"))
BEGINNINGS = {".png": b"\x89PNG\r\n", ".svg": b"<?xml", ".pdf": b"%PDF-"}


def plot(*arguments):
    return CliRunner().invoke(charrnn.plot, [str(word) for word in arguments])


def run_of(losses, val_losses=None, options=None, name="log"):
    """Return a history with ten iterations per epoch."""
    iterations = np.arange(1, len(losses) + 1)
    columns = {column: np.full(len(losses), np.nan) for column in COLUMNS}
    columns |= {"train_loss": np.array(losses, dtype=float), "epoch": iterations / 10}
    return History(name, iterations, columns, val_losses or {}, options or {})


@pytest.fixture
def axes():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    return figure.add_subplot()


def lines_of(axes):
    """Return the points of the drawn lines, [(x, y), ...] by (color, marker)."""
    drawn = {}
    for line in axes.lines:
        drawn.setdefault((line.get_color(), str(line.get_marker())), []).extend(line.get_xydata().tolist())
    return drawn


@pytest.mark.parametrize("ending", BEGINNINGS)
def test_files_of_all_kinds(recordings, tmp_path, ending):
    pytest.importorskip("matplotlib")
    (tmp_path / "lua.log").write_text(printed(recordings["runs/rnn"]))
    target = tmp_path / f"curves{ending}"
    result = plot(LSTM, tmp_path / "lua.log", "-o", target)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"wrote {target}, {target.stat().st_size / 1e3:.1f} kB\n"
    assert target.read_bytes().startswith(BEGINNINGS[ending])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["lua.log", target.name])


@pytest.mark.parametrize("ending", BEGINNINGS)
def test_a_disk_that_is_full(ending, tmp_path):
    pytest.importorskip("matplotlib.figure")
    with full_disk(3000):
        result = plot(LSTM, "-o", tmp_path / f"curves{ending}")
    assert_one_line_error(result, 1, "cannot write ", "File too large")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_the_backend_of_a_notebook_is_not_needed(tmp_path):
    """MPLBACKEND may name one that is not installed: matplotlib then refuses to be imported."""
    pytest.importorskip("matplotlib")
    command = [sys.executable, "-m", "charrnn_port", "plot", LSTM, "-o", tmp_path / "curves.png"]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"MPLBACKEND": "of_a_notebook"}, cwd=ROOT
    )
    assert ended.returncode == 0, ended.stderr
    assert re.fullmatch(r"wrote \S+, [\d.]+ kB\n", ended.stderr)
    assert (tmp_path / "curves.png").read_bytes().startswith(BEGINNINGS[".png"])


def test_validation_losses_are_points_and_the_best_is_a_star(axes):
    draw(axes, [run_of([4.0] * 100, {20: 3.0, 50: 2.0, 100: 2.5})], "epochs")
    drawn = lines_of(axes)
    assert drawn[COLORS[0], "o"] == [[2.0, 3.0], [5.0, 2.0], [10.0, 2.5]]
    assert drawn[COLORS[0], "*"] == [[5.0, 2.0]]
    assert [text.get_text() for text in axes.texts] == ["2.0000"]


def test_iterations_in_place_of_epochs(axes):
    draw(axes, [run_of([4.0] * 100, {20: 3.0})], "iterations")
    assert lines_of(axes)[COLORS[0], "*"] == [[20.0, 3.0]]
    assert axes.get_xlabel() == "iteration"


def test_bits_are_on_the_right(axes):
    draw(axes, [run_of([2.0] * 10)], "epochs")
    (right,) = axes.child_axes
    assert right.get_ylabel() == "bits per character"
    assert right._functions[0](1.0) == pytest.approx(1 / np.log(2))


@pytest.mark.parametrize("end", [[13.0, 1e30], [float("nan")], [float("inf")]])
def test_an_explosion_is_marked_and_does_not_flatten_other_runs(axes, end):
    good, bad = run_of(np.linspace(4, 2, 100)), run_of([*np.linspace(4, 3, 50), *end])
    assert (exploded(good), exploded(bad)) == (None, 50)
    draw(axes, [good, bad], "iterations")
    low, high = axes.get_ylim()
    assert 1.5 < low < 2
    assert 4 < high < 4.5
    assert lines_of(axes)[COLORS[1], "X"] == [[51.0, 1.0]]
    assert [text.get_text() for text in axes.texts] == ["exploded at iteration 51"]


def test_nothing_but_an_explosion(axes):
    draw(axes, [run_of([float("nan")])], "epochs")
    draw(axes, [run_of([4.0, 400.0])], "epochs")


def test_the_smooth_curve_is_a_mean_around_each_line():
    losses = np.arange(1000.0)
    losses[500] = np.nan
    found = smooth(losses)
    assert found[[300, 0, 999]].tolist() == [300.0, losses[:11].mean(), losses[-11:].mean()]
    assert found[505] == pytest.approx(np.nanmean(losses[495:516]))
    assert smooth(np.array([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_the_legend_has_what_differs_else_the_names():
    options = [{"seed": 1, "rnn_size": size, "savefile": str(size)} for size in (8, 9)]
    runs = [run_of([1.0], options=each, name=f"{each['rnn_size']}.t7") for each in options]
    assert labels(runs) == ["rnn_size 8", "rnn_size 9"]
    assert labels([*runs, run_of([1.0], name="some.log")]) == ["8.t7", "9.t7", "some.log"]
    assert labels([*runs, runs[1]]) == ["8.t7 (rnn_size 8)", "9.t7 (rnn_size 9)", "9.t7 (rnn_size 9)"]
    assert labels([read_history(LSTM), read_history(GRU)]) == ["model lstm", "model gru"]


def test_the_newest_file_of_a_folder_is_named(recordings, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "lua.log").write_text(printed(recordings["runs/rnn"]))
    result = plot(tmp_path, "-o", tmp_path / "curves.SVG")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(f"reading {tmp_path / 'lua.log'}, the newest in {tmp_path}\nwrote ")


def test_errors(tmp_path, monkeypatch):
    assert_one_line_error(plot(LSTM, "-o", tmp_path / "curves.gif"), 2, "-o: ", "does not end in .png, .svg, .pdf")
    assert_one_line_error(plot("-o", tmp_path / "curves.png"), 2, "RUN...")
    pytest.importorskip("matplotlib")
    assert_one_line_error(plot(LSTM, tmp_path / "none", "-o", tmp_path / "curves.png"), 1, "none does not exist")
    assert_one_line_error(plot(LSTM, "-o", tmp_path / "none/curves.png"), 1, "cannot write", "No such file")
    (tmp_path / "curves.png").mkdir()
    assert_one_line_error(plot(LSTM, "-o", tmp_path / "curves.png"), 1, "cannot write", "directory")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    assert_one_line_error(plot(LSTM), 1, 'pip install -c constraints.txt -e ".[watch]"')


# inspect


def test_inspect_draws_a_curve():
    lines = curve({100: 3.0, 200: 2.0, 300: 2.5, 400: float("nan")}, 40, "utf-8")
    assert lines[0] == "    3.0000 │•"
    assert lines[7].strip() == f"2.0000 │{' ' * 14}•"  # in the middle of 28 columns
    assert [line.index("•") for line in lines if "•" in line] == [12, 39, 26]
    assert lines[8] == f"{'':11}└{'─' * 28}"
    assert lines[9] == f"{'':12}100{'':22}300"
    assert max(map(len, lines)) == 40


def test_in_ascii_where_the_encoding_has_no_more():
    lines = curve({100: 3.0, 200: 2.0}, 40, "latin-1")
    assert "".join(lines).isascii()
    assert lines[0] == "    3.0000 |*"


@pytest.mark.parametrize("losses", [{}, {100: 2.0}, {100: float("nan"), 200: float("nan")}])
def test_no_curve_of_less_than_two_points(losses):
    assert curve(losses, 80, "utf-8") == []


def test_no_curve_without_room():
    assert curve({1: 1.0, 2: 2.0}, 20, "utf-8") == []


def test_equal_losses_have_a_curve_too():
    assert curve({1: 2.0, 2: 2.0}, 80, "utf-8")[0].count("•") == 2


def test_a_pipe_gets_no_curve():
    result = CliRunner().invoke(charrnn.inspect, [str(LSTM)])
    assert result.stdout.splitlines()[-1].startswith("  285 : ")

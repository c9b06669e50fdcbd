"""Tests that all promises of `charrnn verify` hold here, and that it detects what does not hold."""

import json
import re
import zipfile
from configparser import ConfigParser
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import NEEDS_COMPILER, RECORDINGS, ROOT, assert_one_line_error

from charrnn_port.__main__ import verify as program
from charrnn_port.model.build import built
from charrnn_port.reports.verify import bits, cells, files, recordings, runs, samples, streams
from charrnn_port.reports.verify.results import Difference, same
from charrnn_port.training import iteration

RUNS = recordings.runs()
LSTM, DEFAULTS = RUNS["lstm"], RUNS["defaults"]
BITS, ROUNDED, SINGLE = runs.Backend("compiled"), runs.Backend("fused"), runs.Backend("fused", "float32")


@pytest.fixture
def only(monkeypatch):
    """Function that limits the recordings to these runs of 2017, and the backends to one."""

    def record(*some):
        by_name = {run.name: run for run in some}
        monkeypatch.setattr(recordings, "runs", lambda torch7="2017": by_name if torch7 == "2017" else {})
        monkeypatch.setattr(cells, "backends", lambda dtype, device: iter([("rnn", "fused")]))
        monkeypatch.setattr(files, "LUA_CHECKPOINTS", [path for path in files.LUA_CHECKPOINTS if path.stem in by_name])

    return record


def run_verify(*arguments):
    return CliRunner().invoke(program, ["-gpuid", "-1", *map(str, arguments)])


@NEEDS_COMPILER
def test_all_holds_here(only, tmp_path):
    only(RUNS["rnn"], RUNS["explode"])
    result = run_verify("-json", tmp_path / "verified.json")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines()[7:])) <= 80
    for line in (
        "  promised                       all                     0         0",
        "  rnn                     285 of 285           -         0         0",
        "  explode                     2 of 2           -         0         0",
        "  2017 rnn                      285       858            9  all bits",
        "  rnn                       5 of 5    21,589",
        "  2017 rnn                  6 of 6     1,462",
        "  rnn.t7                    6 of 6     1,462",
        "  small objects           11 of 11     6,063",
        "  multinomial               4 of 4     2,000",
    ):
        assert line in result.stdout.splitlines()
    assert "promised    all bits of Torch7: " in result.stdout
    assert f"PyTorch     {torch.__version__}, " in result.stdout
    found = json.loads((tmp_path / "verified.json").read_text())
    assert found["holds"] is True
    assert all(check["holds"] for check in found["checks"])
    assert {check["part"] for check in found["checks"]} == {
        "Torch7 of 2017", "Torch7's bits", "samples", "recorded numbers", "random streams", "files written back",
        "backends",
    }  # fmt: skip
    count = len(found["checks"])
    assert re.search(rf"^{count} of {count} promises hold; it took [\d.]+ s$", result.stdout, re.M)


def test_single_precision_is_judged_by_what_rounding_makes(only):
    only(RUNS["rnn"])
    result = run_verify("-dtype", "float32")
    assert result.exit_code == 0, result.output
    (row,) = re.findall(r"^  rnn +(\d+) of 285 .*", result.stdout, re.M)
    assert int(row) < 285
    assert "2017 rnn" not in result.stdout  # neither samples nor bits of a network whose digits differ
    assert "promised    to rounding: " in result.stdout
    assert "this is float32, of which nothing was recorded" in result.stdout


def test_without_a_compiler_it_says_that_bits_are_not_promised(only, monkeypatch):
    only()
    monkeypatch.setenv("CC", "false")
    built.cache_clear()
    result = run_verify()
    monkeypatch.undo()
    built.cache_clear()
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("promised ")]
    assert line.endswith("and fused cells add in another order; the C compiler (false) fails: status 1")


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (runs.Backend("plain"), "plain cells"),
        (runs.Backend("fused"), "fused cells"),
        (runs.Backend("compiled", "float32"), "float32"),
        (runs.Backend("auto", "float64", 0), "a GPU"),
        pytest.param(runs.Backend("compiled"), "", marks=NEEDS_COMPILER),
    ],
)
def test_which_backends_promise_bits(backend, words):
    assert backend.bits == (not words)
    assert backend.without_bits.startswith(words if words != "float32" else "this is float32")


@pytest.mark.long
@pytest.mark.parametrize("cell", ["auto", "fused"])
def test_all_of_it_holds_here(cell):
    result = run_verify("-cell", cell)
    assert result.exit_code == 0, result.output


# Promises that do not hold


@NEEDS_COMPILER
def test_one_bit_of_a_learning_rate_is_found(only):
    """It is found before any printed line shows it."""
    only(replace(RUNS["rnn"], arguments=RUNS["rnn"].arguments | {"learning_rate": "0.0020000000000000005"}))
    result = run_verify()
    assert_one_line_error(result, 1, "Torch7's bits, 2017 rnn")
    assert "  2017 rnn                      285       858            9      to 0 NO" in result.stdout
    (line,) = re.findall("^Torch7's bits, 2017 rnn, bits: (.*)", result.stdout, re.M)
    assert re.match(r"iteration 1 is the first that differs: parameters \w{64}, recorded \w{64}; iteration \d: ", line)
    assert line.endswith(" apart")


def numbers_with(what, i, value):
    """Return the recorded numbers of a run with one of them replaced, or removed for None."""
    numbers = {name: dict(each) for name, each in LSTM.bits.items()}
    if value is None:
        del numbers[what][i]
    else:
        numbers[what][i] = value
    return numbers


@pytest.mark.parametrize(
    ("what", "i", "words"),
    [
        ("loss", 57, "4.4e-16 apart"),
        ("gradient norm", 1, "apart"),
        ("parameter norm", 285, "apart"),
        ("validation loss", 200, "4.4e-16 apart"),
    ],
)
def test_a_bit(what, i, words):
    assert bits.compare(LSTM, LSTM.bits).holds
    value = LSTM.bits[what][i]
    found = bits.compare(LSTM, numbers_with(what, i, float(np.nextafter(value, 9))))
    assert (found.holds, found.first_other) == (False, i)
    assert f"iteration {i} is the first that differs: {what} " in str(found)
    assert words in str(found)
    assert bits.compare(LSTM, numbers_with(what, i, None)).first_other == i
    assert bits.compare(LSTM, numbers_with(what, i, float("nan"))).first_other == i


def test_another_fingerprint():
    found = bits.compare(LSTM, numbers_with("parameters", 0, "ab" * 32))
    assert found.first_other == 0
    assert f"parameters {'ab' * 32}, recorded {LSTM.bits['parameters'][0]}" in str(found)


@NEEDS_COMPILER
def test_another_constant_is_found(only, monkeypatch):
    only(RUNS["explode"])
    monkeypatch.setattr(iteration, "FORGET_BIAS", 1 + 1e-5)
    result = run_verify()
    assert_one_line_error(result, 1, "promises do not hold here: Torch7 of 2017, explode")
    assert "  explode                     0 of 2           1" in result.stdout
    recorded = "1/285 (epoch 0.001), train_loss = 4.09800078, grad/param norm = 4.0539e-03"
    assert f"recorded: {recorded}\n    here: 1/285 (epoch 0.001), train_loss = 4.0980007" in result.stdout


def test_an_error_is_a_result(only, monkeypatch, tmp_path):
    only()
    monkeypatch.setattr(streams, "PROBABILITIES", None)
    result = run_verify("-json", tmp_path / "verified.json")
    assert_one_line_error(result, 1, "random streams, multinomial")
    assert "random streams, multinomial, all: TypeError: " in result.stdout
    assert "  uniform                   4 of 4     4,000\n" in result.stdout
    assert json.loads((tmp_path / "verified.json").read_text())["holds"] is False


def test_invalid_options_are_an_error_before_the_first_check():
    result = run_verify("-cell", "compiled", "-json", ROOT / "no such folder" / "x")
    assert_one_line_error(result, 1, "no such folder")
    assert result.stdout == ""
    result = run_verify("-cell", "compiled", "-json", RECORDINGS / "lua_checkpoints/lstm.t7")
    assert_one_line_error(result, 1, "cannot overwrite a checkpoint")


NAN_LINE = "51/285 (epoch 0.054), train_loss = nan, grad/param norm = nan"


def printed(run, line=None, by=None, replaced=None):
    """Return a run's lines with the loss of one changed by `by`, or the line replaced."""
    if line is None:
        return run.stdout
    (old,) = [each for each in run.stdout.split("\n") if each.startswith(f"{line}/") and "train_loss" in each]
    if replaced is None:
        loss = float(re.search(r"train_loss = ([\d.]+)", old)[1])
        replaced = old.replace(f"{loss:.8f}", f"{loss + by:.8f}")
        assert replaced != old
    return run.stdout.replace(f"{old}\n", replaced and f"{replaced}\n")


@pytest.mark.parametrize(
    ("output", "backend", "holds", "equal"),
    [
        (printed(LSTM), ROUNDED, True, 285),
        (printed(LSTM, 285, 1e-8), ROUNDED, False, 284),
        (printed(LSTM, 50, 4e-5), SINGLE, True, 49),
        (printed(LSTM, 50, 6e-5), SINGLE, False, 49),
        (printed(LSTM, 51, 1e-2), SINGLE, True, 50),
        (printed(LSTM, 51, 3e-2), SINGLE, False, 50),
        (printed(LSTM, 51, replaced=""), SINGLE, False, 50),
        (printed(LSTM, 51, replaced=NAN_LINE), SINGLE, False, 50),
        (LSTM.stdout.replace("\n50/50...", "", 1), SINGLE, False, 99),
        (printed(DEFAULTS, 112, 1e-8), ROUNDED, False, 111),
        (printed(DEFAULTS, 113, 9e-5), ROUNDED, True, 112),
        (printed(DEFAULTS, 113, 2e-4), ROUNDED, False, 112),
        (printed(DEFAULTS, 113, 2e-1), SINGLE, True, 112),
        (printed(DEFAULTS, 113, replaced=""), ROUNDED, False, 112),
        pytest.param(printed(DEFAULTS), BITS, True, 152, marks=NEEDS_COMPILER),
        pytest.param(printed(DEFAULTS, 113, 1e-8), BITS, False, 112, marks=NEEDS_COMPILER),
        pytest.param(printed(DEFAULTS, 152, 1e-8), BITS, False, 151, marks=NEEDS_COMPILER),
    ],
)
def test_lines(output, backend, holds, equal):
    run = DEFAULTS if "/152 " in output else LSTM
    lines = runs.compare(run, output, runs.files_of(run), backend)
    assert (lines.holds, lines.equal) == (holds, equal), lines
    assert bool(lines.other) == (output != run.stdout)


def test_a_checkpoint_that_is_not_written():
    lines = runs.compare(LSTM, LSTM.stdout, runs.files_of(LSTM) - {"lm_lstm_epoch0.30_2.8480.t7.pt"}, ROUNDED)
    assert not lines.holds
    assert "recorded: lm_lstm_epoch0.30_2.8480.t7.pt\n    here: (nothing more)" in str(lines)


def test_a_byte():
    (sample,) = [each for each in LSTM.samples if each.variant == "t2"]
    other = bytearray(sample.printed)
    other[76] ^= 1
    assert samples.compare("lstm", sample, sample.printed).holds
    assert samples.compare("lstm", replace(sample, printed=bytes(other)), sample.printed).first_other == 77
    assert samples.compare("lstm", sample, sample.printed[:-1]).first_other == 201
    assert same("", "", "", np.array([1.0]), np.array([1.0, 2.0])).first_other == 2
    assert same("", "", "", np.array([1.0, np.nan]), np.array([1.0, np.nan])).holds
    assert same("", "", "", np.array([0.0]), np.array([-0.0])).first_other == 1


def test_nan_exceeds_every_limit():
    assert not Difference("", "", "", float("nan"), 1e-12).holds
    network = cells.network("lstm")
    network.params[3] = float("nan")
    assert np.isnan(cells.apart(network.params, cells.network("lstm").params))


def test_the_recordings_in_the_package_are_below_3_mb(tmp_path):
    found = [path for path in RECORDINGS.rglob("*") if path.is_file()]
    with zipfile.ZipFile(tmp_path / "recordings.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in found:
            archive.write(path)
    assert (tmp_path / "recordings.zip").stat().st_size < 3e6
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.package_data"]["charrnn_port.reports.verify"].split(", ")
    carried = {path for pattern in patterns for path in RECORDINGS.parent.glob(pattern)}
    assert set(found) <= carried

"""Tests of `charrnn compare`: identical runs, runs that differ by rounding, and runs that differ by an error."""

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import NEEDS_COMPILER, RECORDINGS, REFERENCE, arguments_of, assert_one_line_error, run_train
from runs import log_lines, printed, saved

from charrnn_port import __main__ as charrnn
from charrnn_port.checkpoints import load_checkpoint, save_checkpoint
from charrnn_port.reports.compare import (
    Comparison,
    Pairs,
    first_difference,
    largest_by_rounding,
    largest_differences,
    last_digit,
    limits,
    misfits_of_lines,
    paired,
    rounded,
)

DEFAULTS = REFERENCE / "lstm_defaults_tinyshakespeare.txt"


def compare(*arguments):
    return CliRunner().invoke(charrnn.compare, [str(word) for word in arguments])


def verdict(a, b):
    """Return the last line, and check the exit status."""
    result = compare(a, b)
    last = result.stdout.splitlines()[-1]
    assert result.exit_code == (1 if last.startswith("different") else 0), result.output
    return last


@pytest.fixture(scope="module")
def recorded(recordings, tmp_path_factory):
    """Function that returns the log of a recorded run of the original."""
    folder = tmp_path_factory.mktemp("recorded")

    def write(name):
        (folder / name).write_text(printed(recordings["runs"][name]))
        return folder / name

    return write


@pytest.fixture(scope="module")
def repeated(recordings, play, tmp_path_factory):
    """Function that repeats the recorded run `lstm` with other options, and returns its log and last checkpoint."""
    folder = tmp_path_factory.mktemp("repeated")

    @cache
    def repeat(*options):
        name = "_".join(options) or "same"
        arguments = ["-data_dir", play, "-checkpoint_dir", folder / name, *arguments_of(recordings["runs/lstm"])]
        (folder / f"{name}.log").write_text(run_train(*arguments, *options).output)
        return folder / f"{name}.log", max(saved(folder / name).items())[1][0]

    return repeat


NEAR = ("-learning_rate", "0.002000000001")  # 1e-12 larger
NEARER = ("-learning_rate", "0.002000000000002")  # larger by 1e-12 relative
COPY = ("-state_carry", "copy")
SINGLE = ("-dtype", "float32")


def test_the_same_run_is_identical(recorded, repeated):
    """The log of the original, the log of this port, and its checkpoint."""
    log, checkpoint = repeated()
    for each in (log, checkpoint):
        assert verdict(recorded("lstm"), each) == "identical"
    assert verdict(log, checkpoint) == "identical"
    assert "\nevery digit is the same\n" in compare(log, checkpoint).stdout


@NEEDS_COMPILER
def test_the_same_run_to_the_last_bit(repeated):
    """The checkpoint of the original and that of this port."""
    result = compare(RECORDINGS / "lua_checkpoints/lstm.t7", repeated()[1])
    assert result.stdout.endswith(
        "parameters after iteration 285: the same\n"
        "all 285 losses are the same to the last bit, and so are the parameters after iteration 285\n"
        "identical\n"
    )


@NEEDS_COMPILER
def test_what_rounds_alike_has_no_tolerance(repeated, tmp_path):
    """With -cell compiled any difference is an error; with -cell auto, an unknown backend, it may be rounding."""
    runs = [repeated("-cell", "compiled", *rate, "-max_epochs", "0.02")[1] for rate in ((), NEARER)]
    result = compare(*runs)
    assert result.stdout.splitlines()[-1] == "different from line 2 on"
    assert "line 2 differs, and compiled cells round alike on every machine" in result.stdout
    assert verdict(runs[0], runs[0]) == "identical"
    assert verdict(runs[0], repeated(*NEARER)[1]) == "rounding from line 2 on"
    single = repeated("-cell", "compiled", *SINGLE, "-max_epochs", "0.02")[1]
    assert verdict(runs[0], single) == "rounding from line 1 on"


def test_parameters_count(repeated, tmp_path):
    """A difference in the parameters after the last update, which no loss shows yet, counts."""
    saved = load_checkpoint(repeated()[1])
    saved.params[0] += 1e-15
    for cell, expected in (("auto", "rounding from line 285 on"), ("compiled", "different from line 285 on")):
        saved.opt["cell"] = cell
        save_checkpoint(saved, tmp_path / "other.t7.pt")
        other = replace(load_checkpoint(repeated()[1]), opt=saved.opt)
        save_checkpoint(other, tmp_path / "same.t7.pt")
        assert verdict(tmp_path / "same.t7.pt", tmp_path / "other.t7.pt") == expected
        assert "iteration 285: not the same" in compare(tmp_path / "same.t7.pt", tmp_path / "other.t7.pt").stdout


@pytest.mark.parametrize(("val_loss", "parameters", "line", "first"), [
    (5, {7: False}, 9, 5), (6, {5: False, 7: False}, 9, 5), (9, {9: True}, 5, 5), (None, {7: False}, None, 7),
    (None, {7: True}, None, None),
])  # fmt: skip
def test_the_first_difference_of_all_kinds(val_loss, parameters, line, first):
    """It may be in a printed line, in a validation loss or in the parameters."""
    same = paired(np.zeros(1), np.zeros(1), set())
    val_losses = paired(np.zeros(1), np.ones(1), set()) if val_loss else same
    found = Comparison(np.arange(1, 2), {"train_loss": same}, same, [val_loss], val_losses, parameters, line)
    assert first_difference(found) == first


def test_a_learning_rate_1e_12_away_looks_like_rounding(recorded, repeated):
    """With the digits of a log. All digits distinguish 1e-12 absolute, 5e-10 of the rate, from 1e-12 relative."""
    log, checkpoint = repeated(*NEAR)
    assert re.fullmatch(r"rounding from line 2\d\d on", verdict(recorded("lstm"), log))
    assert re.fullmatch(r"rounding from line 2\d\d on", verdict(recorded("lstm"), checkpoint))
    assert verdict(repeated()[1], checkpoint) == "different from line 2 on"
    assert verdict(recorded("lstm"), repeated(*NEARER)[0]) == "identical"
    assert verdict(repeated()[1], repeated(*NEARER)[1]) == "rounding from line 2 on"


def test_options_that_differ_are_printed(repeated):
    """Checkpoints have options, but no norms."""
    output = compare(repeated()[1], repeated(*NEAR)[1]).stdout
    assert "\n  -learning_rate * : 0.002 | 0.002000000001\n" in output
    assert "\n  -checkpoint_dir : " in output
    assert "-seed" not in output
    assert "norm :" not in output
    assert re.search(r"\n  up to line 285      \d\.\de-\d\d   unknown\n", output)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (COPY, 2),
        (("-seed", "124"), 1),
        (("-learning_rate", "0.00200001"), 2),
        (("-dropout", "0.01"), 1),
        (("-eval_val_every", "60"), 61),  # an evaluation changes the state
    ],
)
def test_errors_are_reported_from_the_line_where_they_begin(recorded, repeated, options, line):
    log, _ = repeated(*options, "-max_epochs", "0.08")  # 76 lines
    assert verdict(recorded("lstm"), log) == f"different from line {line} on"
    assert verdict(log, recorded("lstm")) == f"different from line {line} on"


def test_single_precision_is_rounding_and_still_shows_errors(recorded, repeated):
    """Single precision is known from a checkpoint, from a note, or from the digits of the losses."""
    log, checkpoint = repeated(*SINGLE)
    bare = log.with_suffix(".bare")
    bare.write_text("\n".join(log_lines(log.read_text())))
    for each in (log, checkpoint, bare):
        assert verdict(recorded("lstm"), each) == "rounding from line 1 on"
        if each != checkpoint:  # a checkpoint has no norms, which show the error first
            assert verdict(repeated(*COPY)[0], each) == "different from line 2 on"
    assert verdict(repeated(*NEAR)[1], checkpoint) == "rounding from line 1 on"


@pytest.mark.parametrize(("difference", "expected"), [(3.9e-6, "rounding"), (4.1e-6, "different")])
def test_logs_alone_show_single_precision_in_the_first_line(tmp_path, difference, expected):
    """By a difference before the first update of up to 16 units, which are 4.0e-6 for a loss of 4.2."""
    assert verdict(DEFAULTS, changed(tmp_path / "log", [difference])) == f"{expected} from line 1 on"


@pytest.mark.parametrize("other", ["gru", "lstm_1layer", "lstm_dropout", "rnn"])
def test_another_network_is_different(recorded, other):
    assert verdict(recorded("lstm"), recorded(other)) == "different from line 1 on"


def test_another_torch7_is_different():
    """It differs by 3.7e-7 in line 2. Rounding in single precision is of that size, but line 1 is the same."""
    checkpoint = REFERENCE / "2015/lm_lstm_epoch2.36_1.7753.t7.pt"  # its log-softmax used an approximation of exp
    assert verdict(DEFAULTS, checkpoint) == "different from line 2 on"
    assert "line 2: the loss is 3.7e-07 off, where rounding in float64" in compare(DEFAULTS, checkpoint).stdout


def changed(path, differences):
    """Write the recording of the default run with a difference added to the loss of each line."""
    lines = DEFAULTS.read_text().splitlines()
    for place, difference in enumerate(differences):
        loss = re.search(r"train_loss = ([\d.]+)", lines[place])[1]
        lines[place] = lines[place].replace(loss, f"{float(loss) + difference:.8f}")
    path.write_text("\n".join(lines))
    return path


def growth(begin):
    """Return the differences measured when Torch7 was started one unit in the last place away, shifted to `begin`.

    They were 1e-8 at line 136, 4e-5 at 250, 2e-2 at 350.
    """
    i = np.arange(1, 366)
    return 10 ** np.interp(i + 136 - begin, [1, 136, 250, 350, 500], [-15, -8, -4.4, -1.7, -1.7])


def test_growth_as_it_was_measured_is_rounding_and_earlier_it_is_not(tmp_path):
    for begin in (136, 100, 60):
        output = compare(DEFAULTS, changed(tmp_path / "log", growth(begin))).stdout
        assert re.search(r"; from line \d+ on it could have made any\nrounding from line \d+ on\n$", output)
    for begin in (10, 3):
        assert verdict(DEFAULTS, changed(tmp_path / "log", growth(begin))).startswith("different from line ")


@pytest.mark.parametrize("line", [2, 30, 200, 350])
def test_a_jump_is_an_error_wherever_it_comes(tmp_path, line):
    jump = np.where(np.arange(1, 366) >= line, 1e-4, 0.0)
    assert verdict(DEFAULTS, changed(tmp_path / "log", jump)) == f"different from line {line} on"
    after_rounding = np.where(np.arange(1, 366) == line, 1e-4, np.where(np.arange(1, 366) >= 136, 2e-8, 0.0))
    assert verdict(DEFAULTS, changed(tmp_path / "log", after_rounding)) == f"different from line {line} on"


def test_the_last_printed_digit_is_no_error(tmp_path):
    """In any line: a number halfway between two neighbors is rounded to either. All of the tables is printed."""
    other = changed(tmp_path / "log", [0.0, 1e-8])
    assert compare(DEFAULTS, other).stdout == (
        f"A: {DEFAULTS}, 365 lines\n"
        f"B: {other}, 365 lines\n"
        "options: none known of both\n"
        "first line whose digits differ: 2\n"
        "  loss : 3.93712096 | 3.93712097\n"
        "  norm : 1.4679e+00 | 1.4679e+00\n"
        "largest difference:  loss      norm\n"
        "  up to line 10       1.0e-08   0\n"
        "  up to line 100      1.0e-08   0\n"
        "  up to line 365      1.0e-08   0\n"
        "no difference is larger than rounding in float64 can have made it by then\n"
        "rounding from line 2 on\n"
    )


def test_a_log_of_fewer_digits_is_compared_by_those(tmp_path):
    """Another program may print fewer digits; a shorter log is compared up to its end."""
    text = re.sub(r"(train_loss = \d\.\d{4})\d+", r"\1", DEFAULTS.read_text())
    (tmp_path / "short").write_text("".join(text.splitlines(keepends=True)[:100]))
    result = compare(DEFAULTS, tmp_path / "short")
    # The digits are cut, not rounded, and so the last one differs too often.
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith("different from line ")
    rounded = re.sub(r"(?<=train_loss = )\d\.\d+", lambda match: f"{float(match[0]):.4f}", DEFAULTS.read_text())
    (tmp_path / "rounded").write_text(rounded)
    assert verdict(DEFAULTS, tmp_path / "rounded") == "identical"


def test_validation_losses_and_learning_rates_count(repeated, tmp_path):
    """A wrong evaluation or decay is found where the lines are the same to the last digit."""
    log, _ = repeated()
    assert "\nvalidation losses:\n  100 : 3.2558 | 3.2558\n  200 : 3.0296 | 3.0296\n" in compare(log, log).stdout
    (tmp_path / "log").write_text(log.read_text().replace("3.0296", "3.0396"))
    assert verdict(log, tmp_path / "log") == "different from line 200 on"
    (tmp_path / "log").write_text(log.read_text().replace("3.0296", "nan"))
    assert verdict(log, tmp_path / "log") == "different from line 200 on"
    decay = "decayed learning rate by a factor {} to {}\n"
    text = printed_lines = log.read_text()
    for name, factor in (("a", 0.5), ("b", 0.6)):
        text = printed_lines.replace("150/285", decay.format(factor, 0.002 * factor) + "150/285")
        (tmp_path / name).write_text(text)
    assert verdict(tmp_path / "a", tmp_path / "b") == "different from line 151 on"


def test_an_explosion_of_one_only(repeated, tmp_path):
    text = repeated()[0].read_text()
    line = next(line for line in text.splitlines() if line.startswith("250/285"))
    (tmp_path / "log").write_text(text.replace(line, re.sub(r"= [^,]+", "= nan", line)))
    assert verdict(repeated()[0], tmp_path / "log") == "different from line 250 on"


def test_json_has_all_of_it(recorded, repeated):
    result = compare(recorded("lstm"), repeated(*COPY)[0], "-json")
    assert result.stdout.startswith('{\n  "a": ')
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (found["verdict"], found["from_line"], found["first_line"], found["lines"]) == ("different", 2, 2, 285)
    assert found["largest_differences"].keys() == {"10", "100", "285"}
    assert found["largest_differences"]["10"]["train_loss"] > 1e-4
    assert found["val_losses"].keys() == {"100", "200", "285"}
    assert "-4 off, where rounding in float64" in found["why"].replace("e-0", "e-")
    assert json.loads(compare(recorded("lstm"), recorded("lstm"), "-json").stdout)["from_line"] is None


def test_nothing_to_compare(recorded, tmp_path):
    lines = DEFAULTS.read_text().splitlines()
    (tmp_path / "late").write_text("\n".join(lines[300:]))
    assert_one_line_error(compare(recorded("lstm"), tmp_path / "late"), 1, "301 to 365, and none is in both")
    assert_one_line_error(compare(recorded("lstm"), tmp_path / "none"), 1, "does not exist")


# The numbers behind the verdict


def test_numbers_are_compared_by_the_digits_of_the_coarser_format():
    """Two differ by at most `unit` if printing alone rounded them differently."""
    pairs = paired(np.array([1.23456, 2.0]), np.array([1.2349, 2.001]), {".4f", ".3f"})
    assert pairs.values.tolist() == [[1.235, 2.0], [1.235, 2.001]]
    assert pairs.differences == pytest.approx([0.0, 1e-3])
    assert pairs.unit == pytest.approx([1e-3, 1e-3])
    assert pairs.size.tolist() == [1.235, 2.001]
    assert pairs.form == ".3f"


def test_without_a_format_all_digits_count():
    pairs = paired(np.array([1.0, -3.0]), np.array([1.0 + 2**-52, 2.0]), set())
    assert pairs.differences.tolist() == [2**-52, 5.0]
    assert pairs.unit.tolist() == [0.0, 0.0]
    assert pairs.size.tolist() == [1.0 + 2**-52, 3.0]
    assert pairs.form == ""


@pytest.mark.parametrize(("unknown", "one"), [(False, np.inf), (True, 0.0)])
def test_nan_equals_nan(unknown, one):
    """NaN in one run only is an infinite difference, or, where NaN means unknown, none."""
    nan, inf = np.nan, np.inf
    pairs = paired(np.array([nan, nan, 1.0, inf, inf]), np.array([nan, 1.0, nan, inf, 1.0]), set(), unknown)
    assert pairs.differences[:4].tolist() == [0.0, one, one, 0.0]
    assert pairs.differences[4] > 1e300
    assert pairs.size.tolist() == [0.0] * 5


def test_one_in_the_last_printed_digit():
    """Of 3.27e2 it is 1e0; the coarsest of several formats counts."""
    sizes = np.array([0.0, 0.05, 1.0, 327.0])
    assert last_digit(sizes, {".8f"}) == pytest.approx([1e-8] * 4)
    assert last_digit(sizes[1:], {".2e"}) == pytest.approx([1e-4, 1e-2, 1.0])
    assert last_digit(sizes[1:], {".2e", ".3f"}) == pytest.approx([1e-3, 1e-2, 1.0])
    assert last_digit(sizes, set()).tolist() == [0.0] * 4


def test_limits_grow_from_the_differences_seen():
    """By a factor of 30 per line, or 1.5 after a spurt of 1000, whichever is less; no limit is below `fresh`."""
    lines = np.arange(1, 7)
    none = np.zeros(6)
    assert limits(lines, none, 1.0).tolist() == [1, 30, 30, 30, 30, 30]
    seen = np.array([0.0, 0.0, 10.0, 0.0, 0.0, 0.0])
    assert limits(lines, seen, 1.0).tolist() == [1, 30, 30, 300, 300, 300]
    # A larger difference than the limit does not raise the next one: it is an error already.
    assert limits(lines[:3], np.array([0.0, 1e9, 1e9]), 1.0).tolist() == [1, 30, 900]
    # Lines that are far apart: 30**3 is more than 1000 * 1.5**3.
    assert limits(np.array([1, 4]), none[:2], 1.0).tolist() == [1, 1000 * 1.5**3]
    assert limits(np.array([3]), none[:1], 2.0).tolist() == [1800]


@pytest.mark.parametrize(("precision", "unit"), [("float64", 2.0**-53), ("float32", 2.0**-24)])
def test_what_rounding_may_cause_in_a_number_of_size_1(precision, unit):
    """180 units in a loss. In a norm, ten times its first difference, and 100 times as much after line 20."""
    ones = np.ones(25)

    def most(name, first=0.0):
        pairs = paired(ones, ones - first * (np.arange(25) == 0), set())
        lines = {"train_loss": pairs, "grad_param_norm": pairs}
        return largest_by_rounding(Comparison(np.arange(1, 26), lines, pairs, [], pairs, {}), name, precision) / unit

    assert most("train_loss")[[0, 1, 24]].tolist() == [180, 180 * 30, 180 * 30]
    assert most("grad_param_norm")[[0, 1, 19, 20]].tolist() == [180, 180 * 30, 180 * 30, 180 * 30 * 100]
    assert most("grad_param_norm", 20 * unit)[0] == 200
    assert most("grad_param_norm", 10000 * unit)[0] == 300 * 180
    # One in the last printed digit of the first norm does not count, and its difference is relative to its size.
    first = np.array([1.0, 0.0, 0.0])
    pairs = Pairs(np.ones((2, 3)), 100 * unit * first, 20 * unit * first, 1 + first, ".4e")
    norms = Comparison(np.arange(1, 4), {"grad_param_norm": pairs}, pairs, [], pairs, {})
    assert largest_by_rounding(norms, "grad_param_norm", precision)[0] / unit == 10 * (100 - 20) / 2 * 2


def test_two_formats_are_applied_from_the_finer_to_the_coarser():
    """The number of digits counts, not the order of the formats as text."""
    values = np.array([0.12345678449])
    assert rounded(values, {".8f", ".10f"}).tolist() == [0.12345678]
    pairs = paired(values, values, {".8f", ".10f"})
    assert pairs.form == ".8f"


def test_the_largest_differences_of_a_long_run():
    """Up to lines 10, 100 and 1000, and in the whole run; the norms of one run are unknown here."""
    lines = np.arange(1, 1101)
    losses = paired(lines * 1.0, lines * 2.0, set())
    norms = paired(lines * np.nan, lines * 1.0, set(), nan_is_unknown=True)
    found = Comparison(lines, {"train_loss": losses, "grad_param_norm": norms}, losses, [], losses, {})
    assert largest_differences(found) == {
        end: {"train_loss": end, "grad_param_norm": None} for end in (10, 100, 1000, 1100)
    }


@pytest.mark.parametrize(("times", "begin"), [(9.5, []), (10.5, [2])])
def test_a_last_digit_that_often_differs_is_an_error(times, begin):
    """In three lines, where rounding is so far below this digit that ten times as much hardly changes it."""
    lines, size = np.arange(1, 5), np.array([0.0, 1.0, 1.0, 1.0])  # the first number is unknown

    def found(differences):
        pairs = Pairs(np.ones((2, 4)), differences, np.full(4, 1e-4), size, ".4f")
        return Comparison(lines, {"train_loss": pairs}, pairs, [], pairs, {})

    most = largest_by_rounding(found(np.zeros(4)), "train_loss", "float64")
    assert [misfit.line for misfit in misfits_of_lines(found(times * most), "float64")] == begin

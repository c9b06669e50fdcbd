"""Tests that each option is defined once, and that checks, help and docs/options.md are generated from that."""

import runpy
from dataclasses import FrozenInstanceError
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from conftest import ROOT

from charrnn_port.device import DTYPES, MIXED
from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.options import OptionError, SampleOptions, TrainOptions, described, lua_number, shared
from charrnn_port.util.errors import UserError


def test_the_docs_are_what_the_options_say(capsys):
    runpy.run_path(ROOT / "docs/options.py", run_name="__main__")
    assert capsys.readouterr().out == (ROOT / "docs/options.md").read_text()


def test_choices_are_what_there_is():
    """options/shared.py repeats the names, because it does not import torch."""
    assert tuple(CELLS) == shared.CELLS
    assert tuple(BACKENDS) == shared.BACKENDS
    assert tuple(DTYPES) == shared.DTYPES
    assert tuple(MIXED) == shared.MIXED


@pytest.mark.parametrize(
    ("text", "number"),
    [("1000", 1000), ("1e3", 1000), ("1000.0", 1000), (" 7 ", 7), ("0x10", 16), ("-0X1f", -31), (5, 5), (0.5, 0.5)],
)
def test_numbers_as_lua_reads_them(text, number):
    assert lua_number(text) == number


@pytest.mark.parametrize(
    ("number", "kind"),
    [(np.int64(8), int), (np.uint8(8), int), (np.float32(8), float), (np.array(8), int), (torch.tensor(8), int),
     (torch.tensor(8.0), float), (Fraction(8), float), (Decimal(8), float)],
    ids=repr,
)  # fmt: skip
def test_numbers_of_other_libraries(number, kind):
    """Numbers of any type are converted by __index__ or __float__."""
    assert (lua_number(number), type(lua_number(number))) == (8, kind)
    assert TrainOptions(rnn_size=number, learning_rate=number) == TrainOptions(rnn_size=8, learning_rate=8)


@pytest.mark.parametrize("number", [10**400, Fraction(10**400), Decimal("1e400"), np.float64("inf"), "1e400"])
def test_numbers_too_large_for_a_float(number):
    with pytest.raises(OptionError, match=r"^-rnn_size: .* is not a whole number"):
        TrainOptions(rnn_size=number)


@pytest.mark.parametrize("value", [2, -1, 0.5, 1 + 1e-12, "on", "", None])
def test_on_off_options_are_0_or_1(value):
    with pytest.raises(OptionError, match=r"^-log: expected 0 \(off\) or 1 \(on\), got "):
        TrainOptions(log=value)


def test_true_and_false_are_one_and_zero():
    assert TrainOptions(progress=True, log=False) == TrainOptions(progress=1, log=0)


@pytest.mark.parametrize(
    "text", ["1_0", "0x", "0b11", "ten", "", "1 0", None, [1], b"1", 1j, np.zeros(2), torch.zeros(2)], ids=repr
)
def test_what_is_no_number_to_lua(text):
    with pytest.raises(ValueError, match="is not a number"):
        lua_number(text)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rnn_size": 0}, "-rnn_size: 0 is out of range: it must be at least 1"),
        ({"rnn_size": 1.5}, "-rnn_size: 1.5 is not a whole number"),
        ({"dropout": 1}, "-dropout: 1 is out of range: it must be at least 0 and below 1"),
        ({"dropout": -0.1}, "-dropout: -0.1 is out of range"),
        ({"train_frac": 1.01}, "-train_frac: 1.01 is out of range: it must be at least 0 and at most 1"),
        ({"grad_clip": 0}, "-grad_clip: 0 is out of range: it must be above 0"),
        ({"learning_rate": float("nan")}, "-learning_rate: nan is not a finite number"),
        ({"learning_rate": "inf"}, "-learning_rate: inf is not a finite number"),
        ({"model": "gnu"}, "-model: 'gnu' is not one of lstm, gru, rnn"),
        ({"data_dir": 3}, "-data_dir: expected text, got 3"),
    ],
)
def test_a_wrong_value_is_named(values, words):
    with pytest.raises(OptionError) as error:
        TrainOptions(**values)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize("options_class", [TrainOptions, partial(SampleOptions, "cv")])
def test_a_wrong_name_is_answered_with_the_nearest(options_class):
    """It is a UserError, and a TypeError as for other unknown keywords."""
    with pytest.raises(UserError, match=r"^unknown option sed: did you mean seed\?$"):
        options_class(sed=3)
    with pytest.raises(TypeError, match=r"^unknown option colour; known options are .*, seed, "):
        options_class(colour="red")


def test_bounds_may_be_reached_or_not():
    TrainOptions(rnn_size=1, dropout=0, train_frac=1, val_frac=0, learning_rate=0)


def test_values_have_the_defaults_type(tmp_path):
    made = TrainOptions(rnn_size=64.0, dropout=0, learning_rate="1e-3", data_dir=tmp_path)
    assert (made.rnn_size, type(made.rnn_size)) == (64, int)
    assert (made.dropout, type(made.dropout)) == (0.0, float)
    assert made.learning_rate == 1e-3
    assert made.data_dir == str(tmp_path)


def test_options_do_not_change():
    with pytest.raises(FrozenInstanceError):
        TrainOptions().rnn_size = 3


def test_options_from_a_file():
    """Missing options have their defaults; the error for an unknown or invalid one names the file."""
    assert TrainOptions.from_checkpoint({"rnn_size": 3}, "x.pt") == TrainOptions(rnn_size=3)
    with pytest.raises(UserError, match=r"x\.pt has an unknown option -colour; "):
        TrainOptions.from_checkpoint({"colour": "red"}, "x.pt")
    with pytest.raises(UserError, match=r"x\.pt has invalid options: -rnn_size: 0") as error:
        TrainOptions.from_checkpoint({"rnn_size": 0}, "x.pt")
    assert not isinstance(error.value, OptionError)  # it was not typed


# The options that -resume allows to change.
CHANGEABLE = (
    "data_dir max_epochs print_every checkpoint_dir savefile keep_last accurate_gpu_timing gpuid resume cell "
    "progress sample_every log tensorboard dry_run patience config print_config".split()
)


def test_what_belongs_to_a_run():
    assert [each.name for each, about in described(TrainOptions) if not about.resume_locked] == sorted(
        CHANGEABLE, key=[each.name for each, _ in described(TrainOptions)].index
    )

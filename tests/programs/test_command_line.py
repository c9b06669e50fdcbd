"""Tests that options are spelled as in the original, and that the help lists all of them."""

import re

import pytest
from conftest import ROOT, assert_one_line_error, run_sample, run_train, train_options

# train.lua's and sample.lua's options with their defaults.
TRAIN = {
    "data_dir": "data/tinyshakespeare", "rnn_size": 128, "num_layers": 2, "model": "lstm", "learning_rate": 2e-3,
    "learning_rate_decay": 0.97, "learning_rate_decay_after": 10, "decay_rate": 0.95, "dropout": 0,
    "seq_length": 50, "batch_size": 50, "max_epochs": 50, "grad_clip": 5, "train_frac": 0.95, "val_frac": 0.05,
    "init_from": "", "seed": 123, "print_every": 1, "eval_val_every": 1000, "checkpoint_dir": "cv",
    "savefile": "lstm", "accurate_gpu_timing": 0, "gpuid": 0, "opencl": 0,
}  # fmt: skip
TRAIN_ADDED = {
    "keep_last": 0, "dtype": "auto", "tf32": 0, "state_carry": "alias", "torch7": "2017",
    "resume": "", "cell": "auto", "encoding": "bytes", "min_count": 1, "vocab_size": 1000, "vocab": "same",
}  # fmt: skip
TRAIN_ADDED |= {"split_by": "rows", "val_file": "", "test_file": "", "separator": ""}
TRAIN_ADDED |= {"progress": 1, "sample_every": 0, "log": 0, "tensorboard": "", "dry_run": 0}
TRAIN_ADDED |= {"optimizer": "rmsprop", "beta2": 0.999, "weight_decay": 0, "lr_schedule": "decay"}
TRAIN_ADDED |= {"warmup": 0, "clip_norm": 0, "patience": 0, "config": "", "print_config": 0}
SAMPLE = {
    "seed": 123,
    "sample": 1,
    "primetext": "",
    "length": 2000,
    "temperature": 1,
    "gpuid": 0,
    "opencl": 0,
    "verbose": 1,
}


def test_defaults_are_the_originals():
    assert train_options().values() == {**TRAIN, **TRAIN_ADDED}


@pytest.mark.parametrize(
    "words", [["-rnn_size", "64"], ["--rnn_size", "64"], ["-rnn_size=64"], ["--rnn_size=64"], ["-rnn_size", "6.4e1"]]
)
def test_spellings(words):
    assert train_options(*words).rnn_size == 64


def test_values_may_begin_with_a_dash():
    assert train_options("-gpuid", "-1", "-savefile", "-x-").gpuid == -1


@pytest.mark.parametrize("run", [run_train, run_sample])
@pytest.mark.parametrize("flag", ["-help", "-h", "--help"])
def test_help(run, flag):
    result = run(flag)
    assert result.exit_code == 0
    names = {**TRAIN, **TRAIN_ADDED} if run is run_train else SAMPLE
    for name, default in names.items():
        shown = re.search(rf"^  -{name} .*?(?=^  -|^\S|\Z)", result.stdout, re.M | re.S)
        assert shown, name
        if default != "":
            found = re.search(r"\[default:\s+(.*?)\]", shown[0])[1]
            assert found == default if isinstance(default, str) else float(found) == default
    assert "Example: python" in result.stdout


@pytest.mark.parametrize("run", [run_train, run_sample])
def test_the_page_of_options_names_every_option(run):
    program = "train" if run is run_train else "sample"
    section = (ROOT / "docs/options.md").read_text().split(f"charrnn {program}\n")[1].split("\n## ")[0]
    for name in re.findall(r"^  (-\w+) [A-Z\[]", run("-help").stdout, re.M):
        assert f"\n| `{name}`" in section


@pytest.mark.parametrize(
    ("words", "log"),
    [(["-log", "1"], 1), (["-log", "0"], 0), (["-log=1"], 1), (["-log"], 1), (["-log", "-seed", "3"], 1), ([], 0)],
)
def test_on_off_options(words, log):
    """The name alone means 1."""
    assert train_options(*words).log == log


@pytest.mark.parametrize("words", [["-log", "2"], ["-tf32", "0.5"], ["-progress", "yes"], ["-dry_run=true"], ["-log="]])
def test_on_off_options_are_0_or_1(words):
    assert_one_line_error(run_train(*words), 2, f"{words[0].partition('=')[0]}: expected 0 (off) or 1 (on), got ")


def test_an_on_off_option_before_an_argument():
    assert_one_line_error(run_sample("-interactive", "no such file.t7"), 1, "no such file.t7 does not exist")
    assert_one_line_error(run_sample("-interactive", "2", "no such file.t7"), 2, "-interactive: expected 0 (off) or 1")


def test_a_wrong_option_is_named_whole_with_the_nearest_one():
    assert_one_line_error(run_train("-rnn_sze", "3"), 2, "-rnn_sze", "did you mean -rnn_size?")
    assert_one_line_error(run_train("--batchsize=3"), 2, "--batchsize=3", "-batch_size")
    assert_one_line_error(run_train("-zzz"), 2, "-zzz", "-help")
    assert_one_line_error(run_train("-rnn_size"), 2, "-rnn_size needs a value")
    assert_one_line_error(run_sample(), 2, "MODEL")
    assert_one_line_error(run_train("stray"), 2, "stray")

"""Runs of the original program on Torch7, repeated: the printed lines, parameters, gradients and samples."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import RECORDINGS, REFERENCE, WAYS, run_sample, run_train, train_options
from runs import NOT_PRINTED, log_lines, losses, recorded, typed

from charrnn_port.reports.verify import samples, vectors
from charrnn_port.reports.verify.runs import Way, compare
from charrnn_port.training import prepare

RUNS = """lstm gru rnn lstm_1layer lstm_dropout gru_dropout rnn_dropout decay clip splits explode print_every
    init_from_lstm init_from_gru init_from_lstm_dropout""".split()
SAMPLED = "lstm gru rnn lstm_1layer lstm_dropout gru_dropout rnn_dropout decay".split()


@pytest.fixture(scope="module")
def trained(play, tmp_path_factory):
    """Function: train a recorded run (once) and return its output and its checkpoint folder."""
    folder = tmp_path_factory.mktemp("cv")

    @cache
    def repeat(name: str, cell: str, torch7: str = "2017") -> tuple[str, Path]:
        arguments = ["-cell", cell, "-torch7", torch7, *typed(recorded(name, torch7).arguments)]
        checkpoint_dir = folder / f"{name}_{cell}_{torch7}"
        result = run_train("-data_dir", play, "-checkpoint_dir", checkpoint_dir, *arguments)
        assert result.exit_code == (3 if name == "explode" else 0), result.output
        return result.stdout, checkpoint_dir

    return repeat


def compared(trained, name, cell, torch7="2017"):
    """What the program printed and wrote, against the recording."""
    output, checkpoint_dir = trained(name, cell, torch7)
    return compare(recorded(name, torch7), output, {file.name for file in checkpoint_dir.glob("*.t7*")})


# The way that users get repeats every run; the others some of them, and all with `-m long`.
CASES = [(name, "auto") for name in RUNS]
for cell, quick in [("plain", {"lstm", "gru", "rnn"}), ("script", {"lstm"}), ("fused", {"lstm", "gru", "rnn"})]:
    CASES += [pytest.param(name, cell, marks=[] if name in quick else pytest.mark.long) for name in RUNS]


@pytest.mark.parametrize(("name", "cell"), CASES)
def test_prints_the_same_lines(trained, name, cell):
    lines = compared(trained, name, cell)
    assert not lines.other, lines
    assert lines.holds
    assert lines.equal == lines.certain == lines.total > 0


# Torch7 as it was before April 2016.
CASES_2015 = [
    pytest.param(name, cell, marks=[] if (name, cell) in (("lstm", "auto"), ("gru", "auto")) else pytest.mark.long)
    for name in ("lstm", "gru", "rnn", "lstm_dropout", "decay", "defaults")
    for cell in ("auto", "plain", "script", "fused")
]


@pytest.mark.parametrize(("name", "cell"), CASES_2015)
def test_prints_the_lines_of_2015(trained, name, cell):
    lines = compared(trained, name, cell, "2015")
    assert lines.holds, lines
    assert lines.equal >= (113 if name == "defaults" else lines.total)


@pytest.mark.parametrize(("name", "torch7"), [*((name, "2017") for name in SAMPLED), ("lstm", "2015"), ("gru", "2015")])
@pytest.mark.parametrize("variant", ["seed123", "seed7_t05", "t2", "argmax", "prime", "prime_argmax"])
def test_samples_the_same_bytes(trained, name, torch7, variant):
    run = recorded(name, torch7)
    checkpoint = trained(name, "auto", torch7)[1] / f"{run.checkpoints[-1]}.pt"
    (sample,) = [sample for sample in run.samples if sample.variant == variant]
    result = run_sample(checkpoint, "-gpuid", "-1", "-verbose", "0", *typed(sample.arguments))
    assert samples.compare(name, sample, result.stdout_bytes).holds


def test_preprocessing_says_what_the_original_says(tmp_path):
    (tmp_path / "input.txt").write_bytes((RECORDINGS / "play/input.txt").read_bytes())
    # Too few iterations to print any: only the preparations are compared.
    arguments = "-gpuid -1 -max_epochs 0.001 -rnn_size 32 -batch_size 10 -seq_length 20".split()
    output = run_train("-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv", *arguments).stdout
    expected = NOT_PRINTED.sub("", recorded("lstm").stdout)
    expected = expected[: expected.index("1/285")].replace("data/play", str(tmp_path))
    # One cache file in place of two.
    expected = expected.replace("vocab.t7 and data.t7 do not", "data.h5 does not")
    expected = expected.replace(f"saving {tmp_path}/vocab.t7\n", "").replace("data.t7", "data.h5")
    assert output == expected


@pytest.mark.parametrize("cell", WAYS)
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "lstm_dropout", "gru_dropout", "rnn_dropout"])
def test_parameters_and_gradients(play, name, cell):
    """Initial parameters bit for bit; gradients to 1e-12 and parameters after 20 iterations to 1e-9, by norm."""
    limits = {"params_0": 0, "grads_1": 1e-12, "grads_2": 1e-12, "grads_3": 1e-12, "params_20": 1e-9}
    run = recorded(name)
    found = vectors.vectors(run, Way(cell), play.parent)
    assert {each.what for each in found} == set(run.vectors) >= {"grads_3", "params_20"}
    for each in found:
        assert each.holds, each
        assert each.limit == limits[each.what]


@pytest.mark.parametrize(
    "cell", ["auto", *[pytest.param(cell, marks=pytest.mark.long) for cell in ("plain", "script", "fused")]]
)
def test_defaults(trained, cell):
    """The default network: identical as far as rounding leaves the digits certain, within 1e-4 after that."""
    lines = compared(trained, "defaults", cell)
    assert lines.holds, lines
    assert (lines.certain, lines.total, lines.late_limit) == (112, 152, 1e-4)
    assert lines.equal >= 112
    assert max(lines.early, lines.late) < 1e-4


def test_float32_follows_the_same_curve(trained, play, tmp_path):
    """Within rounding: the losses of the lstm run's first 100 iterations to 2e-5, and all 285 to 2e-3."""
    arguments = ["-data_dir", play, "-checkpoint_dir", tmp_path, *typed(recorded("lstm").arguments)]
    single = losses(log_lines(run_train(*arguments, "-dtype", "float32").stdout))
    double = losses(log_lines(trained("lstm", "auto")[0]))
    assert np.abs(single - double)[:100].max() < 2e-5
    assert np.abs(single - double).max() < 2e-3


TINYSHAKESPEARE = Path("data/tinyshakespeare")


@pytest.mark.skipif(
    not (TINYSHAKESPEARE / "input.txt").exists(), reason="needs data/tinyshakespeare; `python train.py` fetches it"
)
def test_defaults_on_tinyshakespeare(tmp_path):
    """`python train.py -gpuid -1`: the first 135 lines are the original's, the loss is within 1e-5 to line 200.

    What is rounded otherwise grows a hundredfold in 50 iterations: Torch7 itself, started a unit in the last place
    away, is 4e-5 away at line 250. We round otherwise in every sum, and on every processor: within 1e-3 to there.
    """
    recorded = (REFERENCE / "lstm_defaults_tinyshakespeare.txt").read_text().splitlines()
    arguments = ["-data_dir", TINYSHAKESPEARE, "-checkpoint_dir", tmp_path, "-gpuid", "-1"]
    ntrain = prepare(train_options(*arguments)).loader.ntrain
    ours = log_lines(run_train(*arguments, "-max_epochs", 250.5 / ntrain).stdout)
    # The recorded run was to go on for 50 epochs.
    ours = [line.replace("/250 ", "/21150 ") for line in ours]
    assert ours[:135] == recorded[:135]
    difference = np.abs(losses(ours) - losses(recorded[:250]))
    assert difference[:200].max() < 1e-5
    assert difference.max() < 1e-3

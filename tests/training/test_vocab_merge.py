"""-vocab merge keeps what a network has learned about the characters that both texts have."""

import math

import pytest
import torch
from conftest import CPU_BACKENDS, assert_one_line_error, run_train
from runs import EVERY, SMALL, TEXT, assert_same, log_lines, saved

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model import BACKENDS
from charrnn_port.model.memory import parameter_count
from charrnn_port.torch7.random import Generator
from charrnn_port.training import initialize
from charrnn_port.training.vocab_merge import merge
from charrnn_port.util.vocabulary import Vocabulary

OTHER = TEXT.replace(b"q", b"Q").replace(b"z", b"Z!") + "é".encode()


@pytest.fixture
def trained(tmp_path):
    """Return a function that trains on TEXT with more options and returns the checkpoint's path."""

    def train(*options: object):
        (tmp_path / "old").mkdir()
        (tmp_path / "old/input.txt").write_bytes(TEXT)
        arguments = [*SMALL, *EVERY, "-data_dir", tmp_path / "old", "-checkpoint_dir", tmp_path / "cv", *options]
        assert run_train(*arguments).exit_code == 0
        return saved(tmp_path / "cv")[144][0]

    return train


@pytest.fixture
def start(tmp_path):
    """Return arguments to train on OTHER."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new/input.txt").write_bytes(OTHER)
    return [*SMALL, "-data_dir", tmp_path / "new", "-checkpoint_dir", tmp_path / "merged"]


@pytest.mark.parametrize("cell", CPU_BACKENDS)
@pytest.mark.parametrize("model", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    "vocab",
    [
        Vocabulary(b"abdeXY"),
        Vocabulary(b"edcba"),
        Vocabulary("a文éd"),
        Vocabulary(b"xec", with_unknown=True),
    ],
    ids=["others", "another order", "characters", "unknown"],
)
def test_shared_characters_are_predicted_as_before(model, cell, vocab):
    """Log-probabilities after shared characters differ only by the normalization, equally for all shared ones."""
    sizes = {"model": model, "rnn_size": 8, "num_layers": 2}
    params = torch.empty(parameter_count(model, 5, 8, 2), dtype=torch.float64)
    params.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(5))
    old = Checkpoint(sizes, Vocabulary(b"abcde"), params, 0, 0.0, [], {}, math.nan)
    network = BACKENDS[cell](model, len(vocab), 8, 2)
    initialize(network, Generator(1))
    drawn = network.params.clone()
    merge(old, network, vocab)
    pairs = vocab.shared(old.vocab)
    ours, theirs = (torch.tensor(ids) for ids in zip(*pairs, strict=True))
    places = torch.randint(len(pairs), (10, 3), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = old.build("plain", torch.float64)
        expected, _ = before.log_probs(theirs[places], before.zero_state(3))
        found, _ = network.log_probs(ours[places], network.zero_state(3))
    found, expected = found[..., ours], expected[..., theirs]
    torch.testing.assert_close(found - found.logsumexp(2, True), expected - expected.logsumexp(2, True))
    new = sorted(set(range(len(vocab))) - set(ours.tolist()))
    bias = network.decoder["bias"].detach()
    assert torch.equal(bias[new], drawn[-len(vocab) :][new])  # new characters keep their initial values
    assert torch.equal(bias[ours], old.params[-len(old.vocab) :][theirs])


def test_the_merge_is_logged(trained, start):
    path = trained()
    result = run_train(*start, "-init_from", path, "-vocab", "merge", "-max_epochs", 1)
    assert result.exit_code == 0, result.output
    known, new, left = (len(some) for some in (set(OTHER) & set(TEXT), set(OTHER) - set(TEXT), set(TEXT) - set(OTHER)))
    assert min(known, new, left) > 0
    line = f"-vocab merge: {known} of the text's characters known, {new} new; {left} of the checkpoint's left out\n"
    assert line in result.stderr
    fresh = run_train(*start, "-max_epochs", 1)
    first_loss = [float(log_lines(each.stdout)[0].split("train_loss = ")[1].split(",")[0]) for each in (result, fresh)]
    assert first_loss[0] < first_loss[1]  # the merged network has learned before


def test_without_it_another_vocabulary_is_an_error(trained, start):
    result = run_train(*start, "-init_from", trained())
    assert_one_line_error(result, 1, "'!' is in the text but not the checkpoint", "or take -vocab merge")


def test_a_merged_run_goes_on_to_the_digit(trained, start, tmp_path):
    arguments = [*start, *EVERY, "-init_from", trained(), "-vocab", "merge"]
    whole = run_train(*arguments)
    checkpoints = saved(tmp_path / "merged")
    (tmp_path / "cv").rename(tmp_path / "gone")  # resuming does not need the checkpoint of -init_from
    resumed = run_train("-resume", checkpoints[40][0], "-checkpoint_dir", tmp_path / "rest")
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[40:]
    assert "-vocab merge" not in resumed.stderr
    end = max(checkpoints)
    assert_same(saved(tmp_path / "rest")[end][1], checkpoints[end][1])
    assert_one_line_error(run_train("-resume", checkpoints[40][0], "-vocab", "same"), 1, "-vocab same would change")


def test_bytes_go_on_as_characters(trained, start, tmp_path):
    result = run_train(*start, "-init_from", trained(), "-vocab", "merge", "-encoding", "utf-8", "-max_epochs", 1)
    assert result.exit_code == 0, result.output
    checkpoints = saved(tmp_path / "merged")
    assert checkpoints[max(checkpoints)][1].vocab == Vocabulary("".join(sorted(set(OTHER.decode()))))


def test_with_nothing_to_merge(start):
    result = run_train(*start, "-vocab", "merge", "-max_epochs", 0.1)
    assert "-vocab merge is ignored without -init_from\n" in result.stderr

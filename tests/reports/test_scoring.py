"""Tests that predictions give the loss of training's evaluation, and that dynamic evaluation follows its formula."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import NEEDS_COMPILER, loss_of, train_options

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.reports.scoring import KNOWN_SEGMENTS, SEGMENT, CharacterScores, Learning, Reader, mean_square
from charrnn_port.reports.text_stream import BLOCK, TextStream
from charrnn_port.training import prepare
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary


def network(model: str = "lstm", backend: str = "fused"):
    made = BACKENDS[backend](model, 11, 6, 2)
    made.params.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(5))
    return made


def text(length: int) -> list[int]:
    return np.random.RandomState(1).randint(11, size=length).tolist()


@pytest.mark.parametrize("model", list(CELLS))
def test_rows_of_a_split_make_its_evaluation(model, play):
    """The mean over the rows of the batches, each read as a separate text, is the validation loss, to 1e-12."""
    options = train_options(
        *f"-gpuid -1 -model {model} -rnn_size 12 -batch_size 5 -seq_length 20".split(), "-data_dir", play
    )
    training = prepare(options)
    training.network.params.mul_(10)
    loader = training.loader
    row_length, begin = loader.nbatches * 20, loader.ntrain * 20
    nats, count = 0.0, 0
    for row in range(5):
        places = row * row_length + begin + np.arange(loader.nval * 20 + 1)
        places[-1] %= len(loader.ids)
        figures = Reader(training.network).read(loader.ids[places].tolist())
        nats, count = nats - figures.log_probs.sum(), count + len(figures.ids)
    assert count == loader.nval * 100
    assert abs(nats / count - loss_of(training.evaluate(2))) < 1e-12


@pytest.mark.parametrize("backend", ["fused", pytest.param("compiled", marks=NEEDS_COMPILER)])
@pytest.mark.parametrize("model", list(CELLS))
def test_predictions_do_not_depend_on_the_block_size(model, backend):
    """A text in one piece or in many has the predictions of the plain cells, to 1e-12."""
    ids, plain = text(700), network(model, "plain")
    log_probs, _ = plain.log_probs(torch.tensor(ids[:-1])[:, None], plain.zero_state(1))
    expected = log_probs[:, 0].detach().numpy()
    whole = Reader(network(model, backend)).read(ids)
    assert whole.ids.tolist() == ids[1:]
    reader, places = Reader(network(model, backend)), [0, 1, 2, 20, 300, 301, 700]
    parts = [reader.read(ids[begin:end]) for begin, end in pairwise(places)]
    assert [len(part.ids) for part in parts] == [0, 1, 18, 280, 1, 399]
    for predictions in (whole.predictions, np.concatenate([part.predictions for part in parts])):
        assert np.abs(predictions - expected).max() < 1e-12


def test_ranks_and_entropies_follow_their_definitions():
    """Equally likely characters share the better rank; an impossible character adds 0 to the entropy."""
    probabilities = np.array([[0.1, 0.6, 0.3, 0.0], [0.25, 0.25, 0.25, 0.25], [0.2, 0.2, 0.5, 0.1]])
    with np.errstate(divide="ignore"):
        figures = CharacterScores(np.array([0, 3, 1]), np.log(probabilities))
    assert figures.log_probs == pytest.approx(np.log([0.1, 0.25, 0.2]))
    assert figures.ranks.tolist() == [3, 1, 2]
    assert figures.entropies == pytest.approx([-sum(p * np.log(p) for p in row if p) for row in probabilities])
    assert figures.most_likely(2).tolist() == [[1, 2], [0, 1], [2, 0]]


def checkpoint_of(made, optimizer: dict | None = None) -> Checkpoint:
    opt = {"model": made.model, "rnn_size": 6, "num_layers": 2, "dropout": 0, "batch_size": 4, "seq_length": 10}
    progress = {"optimizer": optimizer} if optimizer else None
    return Checkpoint(opt, Vocabulary(b"abcdefghijk"), made.params.clone(), 0, 0.0, [], {}, 0.0, progress)


@pytest.mark.parametrize("known", [False, True])
def test_dynamic_evaluation_is_its_formula(known):
    """By autograd through the plain cells: theta -= rate * g / (sqrt(M) + 1e-8), where M is the mean of g * g."""
    ids, plain, made = text(3 * SEGMENT + 8), network(backend="plain"), network()
    optimizer = {"learning_rate": 0.1, "mean_square": torch.rand_like(made.params)} if known else None
    checkpoint = checkpoint_of(made, optimizer)
    reader = Reader(made, Learning(made, checkpoint, 0.01))
    found = np.concatenate([reader.read(part).predictions for part in (ids[: SEGMENT + 1], ids[SEGMENT + 1 :])])

    expected, state = [], plain.zero_state(1)
    mean, count = torch.zeros_like(plain.params), 0
    if known:  # noise decreases with the number of rows and increases with the length
        mean, count = optimizer["mean_square"] * 4 * SEGMENT / 10, KNOWN_SEGMENTS
    for begin in range(0, len(ids) - 1, SEGMENT):
        x = torch.tensor(ids[begin : begin + SEGMENT])[:, None]
        y = torch.tensor(ids[begin + 1 : begin + SEGMENT + 1])
        log_probs, state = plain.log_probs(x[: len(y)], state)
        expected.append(log_probs[:, 0].detach().numpy())
        plain.grad_params.zero_()
        (-log_probs[range(len(y)), 0, y].sum()).backward()
        state = [tensor.detach() for tensor in state]
        gradient, count = plain.grad_params, count + 1
        mean = mean + (gradient**2 - mean) / count
        plain.params -= 0.01 * gradient / (mean.sqrt() + 1e-8)
    assert np.abs(found - np.concatenate(expected)).max() < 1e-9
    assert torch.equal(checkpoint.params, network().params)


def test_dynamic_evaluation_lowers_the_loss_on_repetitive_text():
    ids = text(10) * 100
    losses = {}
    for rate in (0.0, 0.01):
        made = network()
        reader = Reader(made, Learning(made, checkpoint_of(made), rate) if rate else None)
        losses[rate] = -reader.read(ids).log_probs.mean()
    assert losses[0.01] < 0.8 * losses[0.0]


def test_other_optimizers_have_no_mean_square():
    made = network()
    assert mean_square(checkpoint_of(made)) is None
    assert mean_square(checkpoint_of(made, {"learning_rate": 0.1, "velocity": made.params})) is None


def test_blocks_have_one_size(tmp_path):
    """For any length of the text, and with skipped characters."""
    path = tmp_path / "text"
    path.write_bytes((b"ab?" * 50_000)[:-1])
    blocks = list(TextStream(str(path), {"a": Vocabulary(b"ab")}, skip=True))
    assert b"".join(block.units for block in blocks) == b"ab" * 50_000
    assert [len(block.units) for block in blocks] == [BLOCK + 1, *[BLOCK] * 18, 100_000 - 1 - 19 * BLOCK]
    positions = np.concatenate([block.positions for block in blocks])
    assert (positions == [place for place in range(149_999) if place % 3 < 2]).all()
    text = TextStream(str(path), {"a": Vocabulary(b"ab"), "b": Vocabulary(b"b?")}, skip=True)
    assert b"".join(block.units for block in text) == b"b" * 50_000
    assert text.skipped == 99_999


def test_a_character_may_be_split_between_reads(tmp_path, monkeypatch):
    """UTF-8 is decoded across reads; the error for invalid UTF-8 has the position in bytes."""
    monkeypatch.setattr("charrnn_port.reports.text_stream.BYTES", 3)
    path = tmp_path / "text"
    path.write_text("aéé€a" * 3, encoding="utf-8")
    vocab = Vocabulary("aé€")
    (block,) = TextStream(str(path), {"a": vocab})
    assert block.units == "aéé€a" * 3
    assert block.ids(vocab) == [0, 1, 1, 2, 0] * 3
    path.write_bytes("aé".encode() + b"\xc3a")
    with pytest.raises(UserError, match="not UTF-8: byte 0xc3 at position 3"):
        list(TextStream(str(path), {"a": vocab}))
    path.write_bytes("aaaa€".encode()[:-1])
    with pytest.raises(UserError, match="not UTF-8: byte 0xe2 at position 4"):
        list(TextStream(str(path), {"a": vocab}))

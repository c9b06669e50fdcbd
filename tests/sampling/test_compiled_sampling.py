"""Sampling in C, compared with NumPy: the steps of a model, and the draw."""

import numpy as np
import pytest
import torch
from conftest import NEEDS_COMPILER

from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.sampling import BatchedSession, Model, Session, samplers
from charrnn_port.torch7.random import Generator
from charrnn_port.util.vocabulary import Vocabulary

pytestmark = NEEDS_COMPILER
DTYPES = [torch.float64, torch.float32]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("num_layers", "rnn_size"), [(1, 1), (2, 37), (3, 130), (1, 512)])
@pytest.mark.parametrize("cell", list(CELLS))
def test_steps(cell, num_layers, rnn_size, dtype):
    """Scores and states of five characters agree up to rounding; a copy is independent."""
    network = BACKENDS["fused"](cell, 65, rnn_size, num_layers, dtype=dtype)
    largest = rnn_size**-0.5  # so that roundings do not grow from step to step
    network.params.uniform_(-largest, largest, generator=torch.Generator().manual_seed(5))
    vocab = Vocabulary(bytes(range(65)))
    ours, theirs = Session(Model(network, vocab)), Session(Model(network, vocab, use_numpy=True))
    eps = torch.finfo(dtype).eps
    for id_ in (3, 64, 0, 3, 7):
        aside = ours.copy()
        aside.feed([1])
        ours.feed([id_])
        theirs.feed([id_])
        assert ours.scores.dtype == theirs.scores.dtype
        assert ours.scores.max() == 0
        assert np.abs(ours.scores - theirs.scores).max() < 1000 * eps
        for a, b in zip(ours._step.state, theirs._step.state, strict=True):
            assert np.abs(a - b).max() < 100 * eps


@pytest.mark.parametrize("id_", [-1, 5, 2**40])
def test_what_is_no_character(id_):
    """A user's sampler may return it: it is an error, and C does not read outside the network's memory."""
    network = BACKENDS["fused"]("gru", 5, 3, 1, dtype=torch.float64)
    session = Session(Model(network, Vocabulary(b"abcde")))
    text = session.sample(2, lambda scores: id_)
    assert next(text) == id_
    with pytest.raises(IndexError, match=str(id_)):
        next(text)


def test_of_several_texts_one_that_has_no_character():
    """The other texts are not changed."""
    network = BACKENDS["fused"]("gru", 5, 3, 1, dtype=torch.float64)
    sessions = BatchedSession(Model(network, Vocabulary(b"abcde")), 3)
    before = sessions.scores.copy()
    with pytest.raises(IndexError, match="5"):
        sessions.feed([0, 5, 1])
    assert (sessions.scores == before).all()


@pytest.mark.parametrize("together", [1, 3])
def test_draws_in_another_type(together):
    """Scores in float64, as before the first character, then in float32: each is drawn in its own dtype."""
    random = np.random.RandomState(3)
    draw = samplers.BatchedCategorical("float64")
    for dtype in ("float64", "float32", "float64"):
        scores = (random.randn(together, 65) * 3).astype(dtype)
        ids = draw([Generator(seed) for seed in range(together)], [0.7] * together, scores)
        assert draw._draw.scores.numpy().dtype == dtype
        assert ids == [samplers.categorical(Generator(seed), 0.7, "float64")(row) for seed, row in enumerate(scores)]


@pytest.mark.parametrize("rounded_to", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("temperature", [0.003, 0.5, 1.0, 2.0])
def test_draws(temperature, dtype, rounded_to):
    """Draws equal those of NumPy, unless a number is within rounding of a boundary, which does not happen here."""
    random = np.random.RandomState(1)
    ours, theirs = (
        draw(Generator(7), temperature, rounded_to) for draw in (samplers.categorical, samplers.numpy_categorical)
    )
    for n in [65] * 300 + [1, 2, 3, 64, 200]:
        scores = (random.randn(n) * 3).astype(dtype)
        scores -= scores.max()
        assert ours(scores) == theirs(scores)


class Given:
    """Stands in for a random stream: always the same number."""

    def __init__(self, number: float) -> None:
        self._number = number

    def fraction(self) -> float:
        """Return the number."""
        return self._number


@pytest.mark.parametrize("rounded_to", ["float32", "float64"])
def test_what_is_rounded_before_it_is_drawn(rounded_to):
    """0.1 differs between float32 and float64: a draw between the two values shows which one is used."""
    scores = np.log(np.array([0.1, 0.9]))
    single = np.array([0.1, 0.9], np.float32).astype(float)
    boundary = {"float32": single[0] / single.sum(), "float64": 0.1}
    assert abs(boundary["float32"] - boundary["float64"]) > 1e-9
    between = sum(boundary.values()) / 2
    assert samplers.categorical(Given(between), 1.0, rounded_to)(scores) == int(between > boundary[rounded_to])


@pytest.mark.parametrize("shift", [-1000, 1000])
def test_where_exponentials_vanish_or_overflow(shift):
    """The largest score is subtracted first."""
    scores = np.log(np.array([0.2, 0.5, 0.3])) + shift
    ids = [samplers.categorical(Given(number), 1.0)(scores) for number in (0.0, 0.19, 0.21, 0.69, 0.71, 0.999)]
    assert ids == [0, 0, 1, 1, 2, 2]


def test_a_network_that_has_exploded():
    """If all scores are NaN, the first character is drawn, as in NumPy."""
    scores = np.full(5, np.nan)
    assert (
        samplers.categorical(Generator(1))(scores)
        == samplers.numpy_categorical(Generator(1), 1.0, "float32")(scores)
        == 0
    )

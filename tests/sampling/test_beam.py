"""Beam search finds the most likely text if the beam is wide enough, and the greedy one with a beam of 1."""

import itertools

import numpy as np
import pytest
import torch

from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.sampling import Model, Session
from charrnn_port.sampling.beam import likeliest_text
from charrnn_port.sampling.samplers import greedy
from charrnn_port.util.vocabulary import Vocabulary


def session_of(cell: str, scale: float = 2.0) -> Session:
    """Return a session on a network of three characters, after a `b`; with `scale` 0, all texts are equally likely."""
    network = BACKENDS["fused"](cell, 3, 5, 2)
    network.params.uniform_(-scale, scale, generator=torch.Generator().manual_seed(4))
    session = Session(Model(network, Vocabulary(b"abc")))
    session.feed([1])
    return session


def log_prob(session: Session, ids: list[int]) -> float:
    """Return the log-probability of these characters to come next, in nats."""
    session, total = session.copy(), 0.0
    for id_ in ids:
        total += session.log_probs()[id_]
        session.feed([id_])
    return total


@pytest.mark.parametrize("cell", list(CELLS))
def test_as_wide_as_there_are_texts_it_is_exact(cell):
    session = session_of(cell)
    texts = [list(ids) for ids in itertools.product(range(3), repeat=5)]
    assert likeliest_text(session, 5, 3**5) == max(texts, key=lambda ids: log_prob(session, ids))


@pytest.mark.parametrize("cell", list(CELLS))
def test_a_beam_of_one_takes_the_most_likely_character(cell):
    session = session_of(cell)
    assert likeliest_text(session, 40, 1) == list(session.copy().sample(40, greedy))


def test_of_equally_likely_texts_the_first():
    """Ties are decided by the smaller id."""
    assert likeliest_text(session_of("gru", scale=0.0), 6, 4) == [0] * 6


def test_it_finds_what_the_greedy_way_misses():
    """The text is never less likely than the greedy one, and is more likely for at least one of these networks."""
    gains = []
    for cell in CELLS:
        session = session_of(cell)
        gains.append(
            log_prob(session, likeliest_text(session, 8, 9)) - log_prob(session, likeliest_text(session, 8, 1))
        )
    assert min(gains) >= 0
    assert max(gains) > 0.1


def test_the_session_stays_where_it_is():
    session = session_of("lstm")
    before = session.scores.copy()
    likeliest_text(session, 3, 4)
    assert (session.scores == before).all()


def test_copies_go_on_by_themselves():
    """Each equals a session that has read its whole text."""
    session = session_of("lstm")
    other = session.copy()
    other.feed([2, 2])
    session.feed([0])
    for each, ids in ((session, [1, 0]), (other, [1, 2, 2])):
        fresh = Session(each._step.model)
        fresh.feed(ids)
        assert (each.scores == fresh.scores).all()
        assert not np.array_equal(session.scores, other.scores)

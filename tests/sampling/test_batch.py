"""Batched sampling: each text is the same as alone, bit by bit."""

import numpy as np
import pytest
import torch
from conftest import RECORDINGS

import charrnn_port
from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.options import SampleOptions
from charrnn_port.sampling import Model, Session, batch
from charrnn_port.sampling.text import text_of
from charrnn_port.util.vocabulary import Vocabulary


def model_of(cell: str, num_layers: int, rnn_size: int, dtype: torch.dtype) -> Model:
    network = BACKENDS["fused"](cell, 65, rnn_size, num_layers, dtype=dtype)
    network.params.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(5))
    return Model(network, Vocabulary(bytes(range(65))))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("num_layers", "rnn_size"), [(1, 1), (2, 37), (3, 128), (1, 256)])
@pytest.mark.parametrize("cell", list(CELLS))
def test_scores_are_those_of_single_sessions(cell, num_layers, rnn_size, dtype):
    """With a different text each, also with only one."""
    model = model_of(cell, num_layers, rnn_size, dtype)
    for count in (1, 2, 16, 33):
        texts = np.random.RandomState(count).randint(65, size=(6, count))
        together, alone = batch.BatchedSession(model, count), [Session(model) for _ in range(count)]
        for ids in texts.tolist():
            together.feed(ids)
            for session, id_, scores in zip(alone, ids, together.scores.T, strict=True):
                session.feed([id_])
                assert (scores == session.scores).all()


@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize(("places", "new"), [([2, 0], 0), ([1], 2), ([], 1), ([0, 1, 2], 1)])
def test_texts_that_are_kept_and_new_ones(cell, places, new):
    """Kept texts go on in the order of `places`; new ones come after them and begin at the start."""
    model = model_of(cell, 2, 7, torch.float64)
    together, alone = batch.BatchedSession(model, 3), [Session(model) for _ in range(3)]
    for text, id_ in zip(alone, [4, 5, 6], strict=True):
        text.feed([id_])
    together.feed([4, 5, 6])
    together.keep(places, new)
    alone = [alone[place] for place in places] + [Session(model) for _ in range(new)]
    ids = list(range(10, 10 + len(alone)))
    together.feed(ids)
    for text, id_, scores in zip(alone, ids, together.scores.T, strict=True):
        text.feed([id_])
        assert (scores == text.scores).all()


@pytest.mark.parametrize("dtype", [torch.float64, pytest.param(torch.float32, marks=pytest.mark.long)])
@pytest.mark.parametrize("choice", [{}, {"top_p": 0.95}, {"stop": "e "}])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_texts_are_those_of_single_runs(name, choice, dtype):
    """For any number of texts, also if they are read in another order, or end at different places."""
    checkpoint = charrnn_port.load_checkpoint(RECORDINGS / f"lua_checkpoints/{name}.t7")
    model = Model(checkpoint.build("fused", dtype), checkpoint.vocab)
    options = SampleOptions(model="", length=60, n=batch.SIDE_BY_SIDE * 2 + 1, seed=-3, temperature=0.8, **choice)
    prime = model.vocab.encode(b"The ")
    texts = list(batch.texts_of(model, options, prime))
    for seed, text in reversed(texts):
        assert b"".join(text) == b"".join(text_of(model, options, prime, seed))
    assert [seed for seed, _ in texts] == list(range(-3, 30))


def test_a_text_comes_as_it_is_drawn(monkeypatch):
    """The first character comes at once; no text is sampled to its end before it is read, and none on its own."""
    monkeypatch.setattr(batch, "text_of", None)
    model = model_of("gru", 1, 5, torch.float64)
    drawn = batch.ids_of(model, SampleOptions(model="", length=10**9, n=2), [], [1, 2])
    assert len(next(drawn)) == 2
    _, text = next(batch.texts_of(model, SampleOptions(model="", length=batch.LONGEST, n=2), []))
    assert len(next(text)) == 1


def test_texts_too_long_to_be_kept_are_drawn_one_after_the_other():
    model = model_of("gru", 1, 5, torch.float64)
    options = SampleOptions(model="", length=batch.LONGEST + 1, n=2)
    _, text = next(batch.texts_of(model, options, []))
    alone = text_of(model, options, [], options.seed)
    assert [next(text) for _ in range(50)] == [next(alone) for _ in range(50)]

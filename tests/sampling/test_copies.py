"""Models and sessions can be pickled and copied, and continue with the same bytes; their repr is one line."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from conftest import NEEDS_COMPILER, RECORDINGS

import charrnn_port
from charrnn_port.checkpoints import Checkpoint
from charrnn_port.sampling import Model, Session, samplers
from charrnn_port.torch7.random import Generator
from charrnn_port.util.vocabulary import Vocabulary

LUA = RECORDINGS / "lua_checkpoints"
WAYS_TO_COPY = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


def made(cell: str, how: str) -> Model:
    """Return a model whose steps are computed in C, in NumPy or in PyTorch, or one with a clamped unit."""
    saved = charrnn_port.load_checkpoint(LUA / f"{cell}.t7")
    if how in ("C", "clamped"):
        return Model.of(saved).clamped({(1, 3): 0.9} if how == "clamped" else {})
    return Model(saved.build("fused", torch.float64), saved.vocab, use_numpy=how == "NumPy")


def text(session: Session, seed: int = 1) -> list[int]:
    return list(session.sample(100, samplers.categorical(Generator(seed))))


@pytest.fixture(params=[pytest.param("C", marks=NEEDS_COMPILER), "NumPy", "PyTorch", "clamped"])
def how(request):
    return request.param


@pytest.mark.parametrize("copied", WAYS_TO_COPY.values(), ids=WAYS_TO_COPY)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_copy_of_a_session_goes_on_with_the_same_bytes(cell, how, copied):
    """And independently: feeding one does not change the other."""
    session = Session(made(cell, how))
    session.feed(session.sample(20, samplers.categorical(Generator(7))))
    other = copied(session)
    assert (other.scores == session.scores).all()
    assert text(other) == text(session)
    session.feed([0])
    before = text(other.copy(), seed=2)
    session.feed([1, 2, 3])
    assert text(other, seed=2) == before


@pytest.mark.parametrize("copied", WAYS_TO_COPY.values(), ids=WAYS_TO_COPY)
def test_a_copy_of_a_model_writes_the_same(how, copied):
    model = made("lstm", how)
    other = copied(model)
    assert repr(other) == repr(model)
    assert text(Session(other)) == text(Session(model))


def test_a_copied_model_is_the_same_one():
    """A model is immutable, so its arrays are not copied."""
    model = made("lstm", "NumPy")
    assert copy.deepcopy([model, Session(model)])[0] is model


def test_what_a_checkpoint_draws_from_is_kept():
    saved = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    saved.opt["drawn_from"] = "float64"
    assert pickle.loads(pickle.dumps(Model.of(saved))).sampling_dtype == "float64"


@pytest.mark.long
def test_sessions_go_on_in_other_processes():
    session = Session(made("gru", "C"))
    session.feed([1, 2, 3])
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(text, session).result() == text(session)


@pytest.mark.parametrize("size", [1, 10_000])
def test_one_line_says_what_a_checkpoint_is(size):
    """For runs of any length and networks of any size."""
    opt = {"model": "lstm", "rnn_size": 128, "num_layers": 2, "dropout": 0.5}
    losses = dict.fromkeys(range(size), 1.5)
    saved = Checkpoint(opt, Vocabulary(b"abc"), torch.zeros(10), 2115, 5.0, [1.5] * size, losses, 1.5341)
    assert repr(saved) == "Checkpoint(lstm 128x2, 3 characters, iteration 2115, epoch 5.00, val_loss 1.5341)"


def test_one_line_says_what_a_model_is(how):
    where = {"clamped": "NumPy, clamped", "PyTorch": "PyTorch on cpu"}.get(how, how)
    assert repr(made("gru", how)) == f"Model(gru 32x2, 60 characters, float64 in {where})"


def test_one_line_says_what_comes_next_in_a_session():
    session = Session(made("rnn", "NumPy"))
    session.feed([5])
    best = session.log_probs().argmax()
    expected = f"next: {session.model.vocab.decode([best])!r}"
    assert expected in repr(session)
    assert repr(session.model) in repr(session)
    assert "\n" not in repr(session)

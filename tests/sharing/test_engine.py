"""Continuous batching: each text has the same characters as alone, whenever others join and leave."""

import itertools

import numpy as np
import pytest
import torch
from conftest import RECORDINGS, REFERENCE

import charrnn_port
from charrnn_port.model.fused import FusedCharRNN
from charrnn_port.options import SampleOptions
from charrnn_port.sampling import Model, Session, sampler_of, samplers
from charrnn_port.sampling.samplers import ban
from charrnn_port.sharing.server.engine import BusyError, Engine
from charrnn_port.sharing.server.stream import Stream
from charrnn_port.torch7.random import Generator
from charrnn_port.util.vocabulary import Vocabulary


def stream_of(
    model, prime=(), length=50, seed=1, random=None, choose=None, top=None, echo=False, stops=(), notify=None, **how
):
    """Return a stream with the options of sample.py, or with the sampler `choose`."""
    options, random = SampleOptions(model="", **how), random or Generator(seed)
    plain = not choose and not {"top_k", "top_p", "min_p", "sample"} & how.keys()
    choose = choose or ban(model.vocab.unknown, sampler_of(options, random, model))
    return Stream(
        prime, length, choose, notify or (lambda: None),
        plainly=(random, options.temperature) if plain else None,
        top=top, echo=echo, stops=stops, decode=model.vocab.decode,
    )  # fmt: skip


def written(engine, *streams):
    """Generate these texts to their ends. Return their ids."""
    engine.submit(streams)
    while any(engine.load):
        engine.step()
    return [ids_of(stream) for stream in streams]


def ids_of(stream):
    """Return the new ids of a stream."""
    return [token.id for token in stream.read()]


def alone(model, prime=(), length=50, seed=1, **how):
    """Return the ids of the same text from a session of its own."""
    choose = sampler_of(SampleOptions(model="", **how), Generator(seed), model)
    return list(Session(model).sample(length, choose, prime))[len(prime) :]


def random_model(cell, dtype, unknown=False, use_numpy=None):
    network = FusedCharRNN(cell, 40 + unknown, 37, 2, dtype=dtype)
    network.params.uniform_(-0.4, 0.4, generator=torch.Generator().manual_seed(3))
    return Model(network, Vocabulary(bytes(range(40)), unknown), use_numpy)


@pytest.mark.parametrize("compiler", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, pytest.param(torch.float32, marks=pytest.mark.long)])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_each_text_is_what_it_is_alone(cell, dtype, compiler, monkeypatch):
    """100 texts that start at random steps, each with its own length, prime text, temperature and filter."""
    if not compiler:
        monkeypatch.setattr(samplers, "library", lambda dtype: None)
    random = np.random.RandomState(0)
    model = random_model(cell, dtype, unknown=cell == "gru", use_numpy=None if compiler else True)
    engine, asked = Engine(model, 20, 1000), []
    for seed in range(100):
        how = [{}, {"temperature": 0.5}, {"temperature": 1.7, "top_p": 0.8}, {"sample": 0}, {"top_k": 3}][seed % 5]
        request = {
            "prime": random.randint(40, size=random.randint(12)).tolist(),
            "length": int(random.randint(1, 80)), "seed": seed, **how,
        }  # fmt: skip
        asked.append((request, stream_of(model, **request)))
        engine.submit([asked[-1][1]])
        for _ in range(random.choice([0, 0, 2, 5])):
            engine.step()
        if seed % 9 == 8:
            engine.cancel([asked.pop(random.randint(len(asked)))[1]])
    while any(engine.load):
        engine.step()
    for request, stream in asked:
        assert ids_of(stream) == alone(model, **request)
        assert stream.finish_reason == "length"


@pytest.mark.parametrize(
    "path",
    [*(RECORDINGS / f"lua_checkpoints/{name}.t7" for name in ("lstm", "gru", "rnn")), REFERENCE / "torch_rnn/b_100.t7"],
    ids=lambda path: path.name,
)
def test_texts_are_sample_pys(path):
    """33 texts at once from a network of char-rnn or torch-rnn, each with its own seed."""
    model = Model.of(charrnn_port.load_checkpoint(path))
    prime = model.vocab.encode(b"The ")
    streams = [stream_of(model, prime, 60, seed, temperature=0.8, echo=True) for seed in range(33)]
    for seed, ids in enumerate(written(Engine(model, 50, 0), *streams)):
        text = b"".join(charrnn_port.sample_bytes(model, 60, primetext=b"The ", temperature=0.8, seed=seed))
        assert model.vocab.decode(ids) == text


@pytest.mark.parametrize(("sampling_dtype", "ids"), [("float32", [0, 1]), ("float64", [0, 0])])
def test_probabilities_are_rounded_as_the_checkpoints_program_does(sampling_dtype, ids):
    """A case where rounding matters: the first probability and the random number are both just above 1/4."""

    class Word:
        def random_raw(self) -> int:
            return 2**30 + 1

    network = FusedCharRNN("rnn", 2, 1, 1, dtype=torch.float64)
    network.params.zero_()
    network.params[-2:] = torch.tensor([0.25 + 2**-31, 0.75 - 2**-31], dtype=torch.float64).log()  # the decoder's bias
    model = Model(network, Vocabulary(b"ab"), sampling_dtype=sampling_dtype)
    random = Generator(1)
    random._words = Word()
    assert written(Engine(model, 1, 0), stream_of(model, length=2, random=random)) == [ids]


def test_very_low_temperatures():
    """Probabilities that underflow in one text do not affect the texts next to it."""
    model = random_model("lstm", torch.float64)
    requests = [{"temperature": 1e-5, "seed": 4}, {"seed": 5}, {"temperature": 1e-300, "seed": 6}]
    texts = written(Engine(model, 3, 0), *(stream_of(model, **request) for request in requests))
    assert texts == [alone(model, **request) for request in requests]


def test_log_probabilities():
    """Log-probabilities are those of a session, for the prime text too; its first character has none."""
    model = random_model("lstm", torch.float64)
    prime = [3, 1, 4, 1, 5]
    stream = stream_of(model, prime, 10, top=2, echo=True)
    engine = Engine(model, 1, 0)
    engine.submit([stream])
    while any(engine.load):
        engine.step()
    session, tokens = Session(model), stream.read()
    assert len(tokens) == 15
    assert tokens[0] == (3, None, [])
    for before, token in itertools.pairwise(tokens):
        session.feed([before.id])
        log_probs = session.log_probs()
        assert token.log_prob == log_probs[token.id]
        assert [value for _, value in token.top] == sorted(log_probs, reverse=True)[:2]


def test_a_text_ends_before_the_first_of_several_stop_sequences():
    """A possible beginning is held back, and emitted if it was none; nothing follows a stop sequence."""
    model = random_model("lstm", torch.float64)
    text = bytes(alone(model, length=50))
    for stops in [[text[20:22]], [text[30:33], text[10:11]], [text[48:50]], [text[47:50] + b"x"], [b"\xff"]]:
        stream = stream_of(model, stops=stops)
        (ids,) = written(Engine(model, 1, 0), stream)
        places = [text.index(stop) for stop in stops if stop in text]
        assert bytes(ids) == text[: min(places, default=50)]
        assert stream.finish_reason == ("stop" if places else "length")


@pytest.mark.parametrize("stops", [(), [b"\xff"]])
def test_a_reader_is_notified_twice(stops):
    """At the first readable character, whose time is kept, and at the end."""
    model, first, notified = random_model("rnn", torch.float64), [], []
    stream = stream_of(model, [1], 5, stops=stops, notify=lambda: notified.append(len(first)))
    engine = Engine(model, 1, 0)
    engine.submit([stream])
    while any(engine.load):
        engine.step()
        first.append(stream.first)
    assert notified == [1, 5]
    assert first == [None] + [stream.first] * 5
    assert stream.first >= stream.created
    assert len(ids_of(stream)) == 5
    assert stream.read() == []


def test_a_full_queue():
    """Either all texts of a request are queued, or none."""
    model = random_model("rnn", torch.float64)
    engine = Engine(model, 1, 2)
    endless = [stream_of(model, length=10**9) for _ in range(3)]
    engine.submit(endless)
    engine.step()
    assert engine.load == (1, 2)
    with pytest.raises(BusyError):
        engine.submit([stream_of(model)])
    engine.cancel(endless[:2])
    engine.step()
    assert engine.load == (0, 1)
    with pytest.raises(BusyError):
        engine.submit([stream_of(model) for _ in range(3)])
    assert engine.load == (0, 1)
    engine.submit([stream_of(model) for _ in range(2)])


def test_an_exception_ends_the_texts_in_progress(capsys):
    """They finish with an error, and the next text is generated as usual."""
    model = random_model("rnn", torch.float64)

    def fail(scores):
        raise ValueError("on purpose")

    stream, engine = stream_of(model, choose=fail), Engine(model, 2, 0)
    written(engine, stream)
    assert stream.finish_reason == "error"
    assert "on purpose" in capsys.readouterr().err
    assert written(engine, stream_of(model)) == [alone(model)]

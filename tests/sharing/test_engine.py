"""Texts that go on together: each has the characters that it has alone, whenever others come and go."""

import itertools
import threading
import time

import numpy as np
import pytest
import torch
from conftest import RECORDINGS, REFERENCE

import charrnn_port
from charrnn_port.options import SampleOptions
from charrnn_port.sampling import Model, Session, choice_of
from charrnn_port.sampling.choices import never
from charrnn_port.sharing.server.engine import BusyError, Engine
from charrnn_port.sharing.server.stream import Stream
from charrnn_port.torch7.random import Generator
from model.fused import FusedCharRNN
from util.vocabulary import Vocabulary


def stream_of(model, prime=(), length=50, seed=1, top=None, echo=False, stops=(), **how):
    """A stream as sample.py's options ask for it, and an event that is set at its end."""
    options, random, ended = SampleOptions(model="", **how), Generator(seed), threading.Event()
    plain = not {"top_k", "top_p", "min_p", "sample"} & how.keys()
    stream = Stream(
        prime, length, never(model.vocab.unknown, choice_of(options, random, model)),
        lambda: stream.finish_reason and ended.set(),
        plainly=(random, options.temperature) if plain else None,
        top=top, echo=echo, stops=stops, decode=model.vocab.decode,
    )  # fmt: skip
    return stream, ended


def ids_of(streamed):
    """All characters of a stream, once it has ended."""
    stream, ended = streamed
    assert ended.wait(60)
    return [token.id for token in stream.read()]


def alone(model, prime=(), length=50, seed=1, **how):
    """The same text from a session of its own."""
    choose = choice_of(SampleOptions(model="", **how), Generator(seed), model)
    return list(Session(model).sample(length, choose, prime))[len(prime) :]


@pytest.fixture
def engine_of():
    """Makes engines that are ended after the test."""
    engines = []

    def make(model, at_once=20, queue=1000):
        engines.append(Engine(model, at_once, queue))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
        engine.join()


def random_model(cell, dtype, unknown=False):
    network = FusedCharRNN(cell, 40 + unknown, 37, 2, dtype=dtype)
    network.params.uniform_(-0.4, 0.4, generator=torch.Generator().manual_seed(3))
    return Model(network, Vocabulary(bytes(range(40)), unknown))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_each_text_is_what_it_is_alone(cell, dtype, engine_of):
    """100 texts that begin at random moments, of other lengths, prime texts, temperatures and filters each."""
    random = np.random.RandomState(0)
    model = random_model(cell, dtype, unknown=cell == "gru")
    engine, asked = engine_of(model), []
    for seed in range(100):
        how = [{}, {"temperature": 0.5}, {"temperature": 1.7, "top_p": 0.8}, {"sample": 0}, {"top_k": 3}][seed % 5]
        request = {
            "prime": random.randint(40, size=random.randint(12)).tolist(),
            "length": int(random.randint(1, 80)), "seed": seed, **how,
        }  # fmt: skip
        streamed = stream_of(model, **request)
        engine.submit([streamed[0]])
        asked.append((request, streamed))
        time.sleep(random.choice([0, 0, 0.001, 0.003]))
        if seed % 9 == 8:
            asked.pop(random.randint(len(asked)))[1][0].cancel()
    for request, streamed in asked:
        assert ids_of(streamed) == alone(model, **request)
        assert streamed[0].finish_reason == "length"


@pytest.mark.parametrize(
    "path",
    [*(RECORDINGS / f"lua_checkpoints/{name}.t7" for name in ("lstm", "gru", "rnn")), REFERENCE / "torch_rnn/b_100.t7"],
    ids=lambda path: path.name,
)
def test_texts_are_sample_pys(path, engine_of):
    """33 at once from a network of the original's or torch-rnn's, each with a seed of its own."""
    model = Model.of(charrnn_port.load_checkpoint(path))
    prime = model.vocab.encode(b"The ")
    streams = {seed: stream_of(model, prime, 60, seed, temperature=0.8, echo=True) for seed in range(33)}
    engine_of(model).submit([stream for stream, _ in streams.values()])
    for seed, streamed in streams.items():
        ours = model.vocab.decode(ids_of(streamed))
        assert ours == b"".join(
            charrnn_port.sample_bytes(model, 60, primetext=b"The ", temperature=0.8, seed=seed)
        )


@pytest.mark.parametrize(("drawn_from", "ids"), [("float32", [0, 1]), ("float64", [0, 0])])
def test_probabilities_are_rounded_as_the_checkpoints_program_does(drawn_from, ids, engine_of):
    """Where it makes a difference: the first one is a little above a quarter, and so is the number that is drawn."""

    class Word:
        def random_raw(self) -> int:
            return 2**30 + 1

    network = FusedCharRNN("rnn", 2, 1, 1, dtype=torch.float64)
    network.params.zero_()
    network.params[-2:] = torch.tensor([0.25 + 2**-31, 0.75 - 2**-31], dtype=torch.float64).log()  # the decoder's bias
    model = Model(network, Vocabulary(b"ab"), drawn_from=drawn_from)
    streamed = stream_of(model, length=2)
    streamed[0].plainly[0]._words = Word()
    engine_of(model).submit([streamed[0]])
    assert ids_of(streamed) == ids


def test_a_network_without_numbers_and_a_very_low_temperature(engine_of):
    """Where probabilities come to none, those beside are drawn as ever."""
    model = random_model("lstm", torch.float64)
    engine = engine_of(model)
    requests = [{"temperature": 1e-5, "seed": 4}, {"seed": 5}, {"temperature": 1e-300, "seed": 6}]
    streams = [stream_of(model, **request) for request in requests]
    engine.submit([stream for stream, _ in streams])
    for request, streamed in zip(requests, streams, strict=True):
        assert ids_of(streamed) == alone(model, **request)


def test_log_probabilities(engine_of):
    """Those of a session, also of the prime text; of its first character there is none."""
    model = random_model("lstm", torch.float64)
    prime = [3, 1, 4, 1, 5]
    stream, ended = stream_of(model, prime, 10, top=2, echo=True)
    engine_of(model).submit([stream])
    assert ended.wait(60)
    session, tokens = Session(model), stream.read()
    assert len(tokens) == 15
    assert tokens[0] == (3, None, [])
    for before, token in itertools.pairwise(tokens):
        session.feed([before.id])
        log_probs = session.log_probs()
        assert token.log_prob == log_probs[token.id]
        assert [value for _, value in token.top] == sorted(log_probs, reverse=True)[:2]


def test_a_text_ends_before_the_first_of_several_stops(engine_of):
    """What may begin one waits, and is told if it was none; no character comes after a stop."""
    model = random_model("lstm", torch.float64)
    text = bytes(alone(model, length=50))
    for stops in [[text[20:22]], [text[30:33], text[10:11]], [text[48:50]], [text[47:50] + b"x"], [b"\xff"]]:
        streamed = stream_of(model, stops=stops)
        engine_of(model).submit([streamed[0]])
        places = [text.index(stop) for stop in stops if stop in text]
        assert bytes(ids_of(streamed)) == text[: min(places, default=50)]
        assert streamed[0].finish_reason == ("stop" if places else "length")


def test_no_room(engine_of):
    """All texts of a request find room, or none of them begins."""
    model = random_model("rnn", torch.float64)
    engine = engine_of(model, at_once=1, queue=2)
    endless = [stream_of(model, length=10**9)[0] for _ in range(3)]
    engine.submit(endless)
    with pytest.raises(BusyError):
        engine.submit([stream_of(model)[0]])
    endless[1].cancel()
    endless[0].cancel()
    deadline = time.monotonic() + 30
    while engine.load != (1, 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(BusyError):
        engine.submit([stream_of(model)[0] for _ in range(3)])
    endless[2].cancel()


def test_an_error_reaches_those_who_wait(engine_of, capsys):
    """Nobody waits for ever, and the next one is served."""
    model = random_model("rnn", torch.float64)

    def fail(scores):
        raise ValueError("on purpose")

    stream, ended = stream_of(model, length=10**9)
    stream.choose, stream.plainly = fail, None
    engine = engine_of(model)
    engine.submit([stream])
    assert ended.wait(60)
    assert stream.finish_reason == "error"
    assert "on purpose" in capsys.readouterr().err
    streamed = stream_of(model)
    engine.submit([streamed[0]])
    assert ids_of(streamed) == alone(model)

"""Sessions on one model are independent, and each gives what sample.py prints."""

import itertools
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import RECORDINGS, ROOT, run_sample

import charrnn_port
from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.sampling import Model, Session, samplers
from charrnn_port.torch7.random import Generator
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

LUA = RECORDINGS / "lua_checkpoints"
IDS = [4, 5, 4, 0, 10, 3, 2]


def networks(model: str, num_layers: int) -> list:
    """Return the same network twice: with the plain backend, and with the fused one that sampling uses."""
    made = [BACKENDS[backend](model, 11, 6, num_layers) for backend in ("plain", "fused")]
    for network in made:
        network.params.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(5))
    return made


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("model", list(CELLS))
def test_character_by_character_equals_the_whole_sequence(model, num_layers):
    """Log-probabilities of a session and of the plain cells agree to 1e-12."""
    plain, fused = networks(model, num_layers)
    session = Session(Model(fused, Vocabulary(b"abcdefghijk")))
    expected = plain.log_probs(torch.tensor(IDS)[:, None], plain.zero_state(1))[0][:, 0].detach().numpy()
    for id_, log_probs in zip(IDS, expected, strict=True):
        session.feed([id_])
        assert np.abs(session.log_probs() - log_probs).max() < 1e-12


def test_the_largest_score_is_zero():
    """So that at no temperature all exponentials underflow to 0."""
    session = Session(Model(networks("lstm", 2)[1], Vocabulary(b"abcdefghijk")))
    for id_ in IDS:
        session.feed([id_])
        assert session.scores.max() == 0


def test_before_the_first_character_all_are_equally_likely():
    session = Session(Model(networks("lstm", 1)[1], Vocabulary(b"abcdefghijk")))
    assert np.abs(session.log_probs() + np.log(11)).max() < 1e-15


@pytest.mark.parametrize("use_numpy", [None, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_model_does_not_follow_its_network(cell, use_numpy):
    """Its weights are read-only copies."""
    network = networks(cell, 2)[1]
    model = Model(network, Vocabulary(b"abcdefghijk"), use_numpy)
    before, after = Session(model), Session(model)
    before.feed(IDS)
    network.params.zero_()
    after.feed(IDS)
    assert (before.scores == after.scores).all()
    with pytest.raises(ValueError, match="read-only"):
        model.input_table[0] = 0


@pytest.mark.parametrize("name", [*(pytest.param(name, marks=pytest.mark.long) for name in ("lstm", "gru")), "rnn"])
def test_fifty_sessions_in_eight_threads(name):
    """Each gives the same bytes as alone, with different seeds, temperatures and prime texts on one model."""
    model = Model.of(charrnn_port.load_checkpoint(LUA / f"{name}.t7"))
    primes = [model.vocab.encode(text) for text in (b"", b"The tide ", b"a")]

    def text(seed: int) -> bytes:
        choose = samplers.categorical(Generator(seed), temperature=0.5 + seed % 3 / 2)
        return model.vocab.decode(Session(model).sample(200, choose, primes[seed % len(primes)]))

    alone = [text(seed) for seed in range(50)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(text, range(50))) == alone
    assert len(set(alone)) == 50


def test_defaults_are_the_program_s():
    saved = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    program = run_sample(LUA / "rnn.t7", "-verbose", 0, "-gpuid", -1)
    assert program.stdout_bytes == b"".join(charrnn_port.sample_bytes(saved)) + b"\n"


def test_a_choice_is_any_function():
    """A sampler maps scores to an id: here the least likely character."""
    saved = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    ids = list(Session(Model.of(saved)).sample(5, lambda scores: int(scores.argmin()), prime=[3]))
    assert ids[0] == 3
    assert len(ids) == 6


def test_greedy_sampling_takes_the_first_in_a_tie():
    assert samplers.greedy(np.array([-1.0, 0.0, 0.0])) == 1


@pytest.mark.parametrize("temperature", [1e-3, 0.7, 5])
def test_choosing_among_all_but_one(temperature):
    """With the same random numbers, the draws are as if that character did not exist. Scores are not changed."""
    scores = np.random.RandomState(1).normal(size=(200, 8))
    scores[:, -1] = 50  # by far the most likely
    before = scores.copy()
    without = samplers.ban(7, samplers.categorical(Generator(3), temperature))
    expected = samplers.categorical(Generator(3), temperature)
    assert [without(each) for each in scores] == [expected(each[:-1]) for each in scores]
    assert [samplers.ban(7, samplers.greedy)(each) for each in scores] == scores[:, :-1].argmax(1).tolist()
    assert (scores == before).all()
    assert samplers.ban(None, samplers.greedy) is samplers.greedy


def test_from_python_equals_the_program():
    saved = charrnn_port.load_checkpoint(LUA / "gru.t7")
    text = b"".join(charrnn_port.sample_bytes(saved, 100, primetext=b"The ", temperature=0.7, seed=9))
    program = run_sample(LUA / "gru.t7", "-length", 100, "-primetext", "The ", "-temperature", 0.7, "-seed", 9,
                         "-verbose", 0, "-gpuid", -1)  # fmt: skip
    assert program.stdout_bytes == text + b"\n"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"length": -5}, "-length: -5"), ({"temperature": 0}, "-temperature: 0"), ({"temperature": np.nan}, "nan"),
     ({"primetext": b"a\xc3\xa9"}, "'é'.* at position 2")],
)  # fmt: skip
def test_what_the_program_refuses_is_refused_from_python(wrong, words):
    saved = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    with pytest.raises(UserError, match=words):
        charrnn_port.sample_bytes(saved, **wrong)


@pytest.mark.parametrize(("wrong", "nearest"), [("tempreture", "temperature"), ("prime_text", "primetext")])
def test_a_wrong_keyword_is_answered_with_the_nearest(wrong, nearest):
    saved = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    with pytest.raises(UserError, match=f"^unknown option {wrong}: did you mean {nearest}\\?$"):
        charrnn_port.sample_bytes(saved, 5, **{wrong: 1})


def test_numbers_may_be_numpys():
    saved = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    numbers = {"seed": np.uint8(3), "temperature": np.float32(0.5), "top_k": np.int8(9)}
    of_numpy = charrnn_port.sample_bytes(saved, np.int64(50), **numbers)
    assert list(of_numpy) == list(charrnn_port.sample_bytes(saved, 50, seed=3, temperature=0.5, top_k=9))
    session, ids = Session(Model.of(saved)), np.array(IDS)
    assert list(session.sample(np.int64(5), samplers.categorical(Generator(np.uint8(3)), np.float32(1)), ids)) == list(
        Session(Model.of(saved)).sample(5, samplers.categorical(Generator(3)), IDS)
    )


def test_no_random_numbers_by_either_name():
    saved = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    texts = [charrnn_port.sample_bytes(saved, 50, **name) for name in ({"sample": 0}, {"argmax": True})]
    assert list(texts[0]) == list(texts[1])


@pytest.mark.parametrize("temperature", [1e-300, 1e-5, 0.001, 0.003])
@pytest.mark.parametrize("primetext", [b"", b"The "])
def test_very_low_temperatures_take_the_most_likely(temperature, primetext):
    """If Torch7's exponentials give 0 / 0 or infinity. The first character is excluded: all are equally likely."""
    saved = charrnn_port.load_checkpoint(LUA / "lstm.t7")
    cold = b"".join(charrnn_port.sample_bytes(saved, 40, primetext=primetext, temperature=temperature))
    prime = primetext or cold[:1]
    greedy = charrnn_port.sample_bytes(saved, len(cold) - len(prime), primetext=prime, argmax=True)
    assert b"".join(greedy) == cold


def test_before_the_first_character_low_temperatures_draw_evenly():
    """All are equally likely at any temperature: not always the first or the last is drawn."""
    saved = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    first = {next(charrnn_port.sample_bytes(saved, 1, temperature=1e-5, seed=seed)) for seed in range(50)}
    assert len(first) > 20


def test_scores_that_are_not_shifted_draw_the_same():
    """Torch7's arithmetic is used if it is finite; scores are shifted only if it is not."""
    scores = np.log(np.array([0.5, 0.3, 0.2]))
    assert [samplers.categorical(Generator(seed))(scores) for seed in range(20)] == [
        samplers.categorical(Generator(seed))(scores - scores.max()) for seed in range(20)
    ]


class Given:
    """Stands in for a random stream: keeps the probabilities that it gets."""

    def multinomial(self, probabilities: np.ndarray) -> int:
        """Return 0, the first id."""
        self.probabilities = probabilities
        return 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_probabilities_are_torch7_s(temperature):
    """Divided by their sum from left to right in float64, then rounded to float32: the same bits."""
    scores = np.random.RandomState(1).randn(65) * 3
    stream = Given()
    samplers.numpy_categorical(stream, temperature, "float32")(scores)
    powers, total = np.exp(scores / temperature), 0.0
    for power in powers:
        total += power
    assert stream.probabilities.dtype == np.float32
    assert (stream.probabilities == (powers / total).astype(np.float32)).all()
    samplers.numpy_categorical(stream, 1.0, "float32")(scores)
    assert (stream.probabilities == (np.exp(scores) / np.exp(scores).cumsum()[-1]).astype(np.float32)).all()


@pytest.mark.parametrize("shift", [-1000, 1000])
def test_where_exponentials_vanish_or_overflow_the_largest_is_subtracted(shift):
    scores = np.log(np.array([0.2, 0.5, 0.3]))
    stream = Given()
    with np.errstate(over="ignore"):
        samplers.numpy_categorical(stream, 0.5, "float32")(scores + shift)
    expected = np.exp((scores + shift - (scores + shift).max()) / 0.5)
    assert (stream.probabilities == (expected / expected.cumsum()[-1]).astype(np.float32)).all()


def test_memory_does_not_grow_with_the_prime_text():
    """At most by its ids. It was 29 kB per character once."""
    model = Model.of(charrnn_port.load_checkpoint(LUA / "rnn.t7"))
    session = Session(model)
    session.feed([1] * 100)
    tracemalloc.start()
    session.feed(itertools.repeat(1, 3000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


FORKED = """
import os, sys
import charrnn_port
checkpoint = charrnn_port.load_checkpoint(sys.argv[2])
for event in charrnn_port.train(data_dir=sys.argv[1], rnn_size=128, max_epochs=0.02, gpuid=-1):
    pass
text = b"".join(charrnn_port.sample_bytes(checkpoint, 20))
if os.fork():
    os.wait()
    losses = [type(event).__name__ for event in charrnn_port.train(data_dir=sys.argv[1], max_epochs=0.02, gpuid=-1)]
    assert losses[-1] == "Finished"
else:
    assert b"".join(charrnn_port.sample_bytes(checkpoint, 20)) == text
    for event in charrnn_port.train(data_dir=sys.argv[1], rnn_size=128, max_epochs=0.02, gpuid=-1):
        pass
    print("the child has finished", flush=True)
    os._exit(0)
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_after_training_samples_and_trains(play):
    """OpenMP's threads do not exist in the child, which would wait for them forever."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", FORKED, str(play), str(LUA / "lstm.t7")]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "the child has finished\n"


def test_text_may_be_str():
    saved = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    assert b"".join(charrnn_port.sample_bytes(saved, 9, primetext="The ")) == b"".join(
        charrnn_port.sample_bytes(saved, 9, primetext=b"The ")
    )

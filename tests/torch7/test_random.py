"""The random stream is Torch7's, bit for bit."""

import json

import numpy as np
import pytest

from charrnn_port.torch7.random import Generator

SEEDS = [0, 1, 123, 2147483647]


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform(recordings, seed):
    assert np.array_equal(Generator(seed).uniform(-0.08, 0.08, 1000), recordings[f"random/uniform_{seed}"])


@pytest.mark.parametrize("seed", SEEDS)
def test_bernoulli(recordings, seed):
    assert np.array_equal(Generator(seed).bernoulli(0.7, 1000), recordings[f"random/bernoulli_{seed}"])


@pytest.mark.parametrize("seed", SEEDS)
def test_multinomial(recordings, seed):
    random = Generator(seed)
    probabilities = np.array([0.05, 0.3, 0, 0.15, 0.5], np.float32)
    drawn = [random.multinomial(probabilities) + 1 for _ in range(500)]  # Lua counts from 1
    assert np.array_equal(drawn, recordings[f"random/multinomial_{seed}"])


def test_a_layer_uses_one_word_a_parameter(recordings):
    """nn.Linear(3, 2) draws six weights, two biases and nothing else; the recorder had drawn four words before."""
    random = Generator(123)
    random.words(4)
    bound = 1 / np.sqrt(3)
    assert np.array_equal(random.uniform(-bound, bound, 8), recordings["random/linear_3_2"])
    assert np.array_equal(random.uniform(0, 1, 5), recordings["random/after_linear"])


def test_seeds_count_modulo_two_to_the_32():
    assert np.array_equal(Generator(-1).words(10), Generator(2**32 - 1).words(10))


def test_certain_bernoulli_is_always_true():
    assert Generator(1).bernoulli(1.0, 100_000).all()


def test_bernoulli_at_the_very_edge():
    """True up to and with the probability itself, as Torch7's uniform <= p: to one word in 2**32."""
    words = Generator(1).words(1000)
    for i in (0, 10, 999):
        at, below = int(words[i]) / 2**32, (int(words[i]) - 0.5) / 2**32
        assert Generator(1).bernoulli(at, 1000)[i]
        assert not Generator(1).bernoulli(below, 1000)[i]
        assert np.array_equal(Generator(1).bernoulli(at, 1000), words <= words[i])


@pytest.mark.parametrize("total", [0.125, 4])
def test_multinomial_takes_any_total(recordings, total):
    random = Generator(123)
    probabilities = np.array([0.05, 0.3, 0, 0.15, 0.5], np.float32) * np.float32(total)
    drawn = [random.multinomial(probabilities) + 1 for _ in range(500)]
    assert np.array_equal(drawn, recordings["random/multinomial_123"])


@pytest.mark.parametrize("drawn", [0, 1, 623, 624, 1000])
def test_a_stream_goes_on_from_its_state(drawn):
    """The state is plain numbers; the generator makes 624 words at a time."""
    random, other = Generator(5), Generator(6)
    random.words(drawn)
    state = json.loads(json.dumps(random.state))
    expected = random.words(1000)
    other.state = state
    assert np.array_equal(other.words(1000), expected)


def test_shapes_are_filled_row_by_row():
    assert np.array_equal(Generator(1).words((3, 4)), Generator(1).words(12).reshape(3, 4))
    assert Generator(1).words((3, 4)).dtype == np.uint64
    assert Generator(1).uniform(0, 1, (3, 4)).shape == Generator(1).bernoulli(0.5, (3, 4)).shape == (3, 4)

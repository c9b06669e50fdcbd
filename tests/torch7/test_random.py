"""The random stream is Torch7's, bit for bit."""

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

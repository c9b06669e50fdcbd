"""Tests that the random stream is Torch7's, bit for bit."""

import json

import numpy as np
import pytest

from charrnn_port.reports.verify import streams
from charrnn_port.torch7.random import Generator


@pytest.mark.parametrize("seed", [0, 1, 123, 2147483647])
@pytest.mark.parametrize(
    ("kind", "count"), [(streams.uniform, 1000), (streams.bernoulli, 1000), (streams.multinomial, 500)]
)
def test_numbers_are_the_recorded_ones(kind, count, seed):
    stream = kind(seed)
    assert stream.holds, stream
    assert stream.total == count


def test_a_layer_uses_one_word_a_parameter():
    layer = streams.layer()
    assert layer.holds, layer
    assert layer.total == 8 + 5


def test_seeds_count_modulo_two_to_the_32():
    assert np.array_equal(Generator(-1).words(10), Generator(2**32 - 1).words(10))


def test_certain_bernoulli_is_always_true():
    assert Generator(1).bernoulli(1.0, 100_000).all()


def test_bernoulli_at_the_very_edge():
    """True up to and including the probability, as Torch7's `uniform <= p`, exact to one word in 2**32."""
    words = Generator(1).words(1000)
    for i in (0, 10, 999):
        at, below = int(words[i]) / 2**32, (int(words[i]) - 0.5) / 2**32
        assert Generator(1).bernoulli(at, 1000)[i]
        assert not Generator(1).bernoulli(below, 1000)[i]
        assert np.array_equal(Generator(1).bernoulli(at, 1000), words <= words[i])


@pytest.mark.parametrize("total", [0.125, 4])
def test_multinomial_takes_any_total(total):
    assert streams.multinomial(123, total).holds


@pytest.mark.parametrize("drawn", [0, 1, 623, 624, 1000])
def test_a_stream_goes_on_from_its_state(drawn):
    """The state is plain numbers. The generator computes 624 words at a time."""
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

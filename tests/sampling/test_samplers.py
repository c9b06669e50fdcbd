"""Filters compared with direct implementations of their definitions, on whole vectors of probabilities."""

import itertools

import numpy as np
import pytest

import charrnn_port
from charrnn_port.sampling import samplers
from charrnn_port.torch7.random import Generator


def by_likelihood(probabilities: np.ndarray) -> list[int]:
    """Return ids from the most to the least likely."""
    return sorted(range(len(probabilities)), key=lambda id_: -probabilities[id_])


def the_k_most_likely(probabilities: np.ndarray, k: int) -> set[int]:
    return set(by_likelihood(probabilities)[:k])


def the_nucleus(probabilities: np.ndarray, p: float) -> set[int]:
    """Return the smallest set of most likely ids whose normalized probabilities add up to at least p."""
    nucleus, total = set(), 0.0
    for id_ in by_likelihood(probabilities):
        nucleus.add(id_)
        total += probabilities[id_] / probabilities.sum()
        if total >= p:
            break
    return nucleus


def those_near_the_most_likely(probabilities: np.ndarray, p: float) -> set[int]:
    return {id_ for id_, each in enumerate(probabilities) if each >= p * max(probabilities)}


DEFINITIONS = {"top_k": the_k_most_likely, "top_p": the_nucleus, "min_p": those_near_the_most_likely}
VALUES = {"top_k": [1, 2, 10, 64, 65, 1000], "top_p": [1e-9, 0.1, 0.5, 0.9, 0.999], "min_p": [1e-4, 0.05, 0.3, 1]}
CASES = [(name, value) for name, values in VALUES.items() for value in values]


def some_scores(seed: int) -> np.ndarray:
    """Return log-probabilities of 65 characters plus a constant; all are different."""
    return np.random.RandomState(seed).randn(65) * 3


def staying(filters: list, scores: np.ndarray, temperature: float = 1.0) -> set[int]:
    """Return the ids that filters leave to a sampler."""
    seen = []

    def take(left: np.ndarray) -> int:
        seen.append(left)
        return 0

    samplers.filtered(take, filters, temperature)(scores)
    return set(np.flatnonzero(np.isin(scores, seen[0])).tolist())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_filter_is_its_definition(name, value, seed):
    scores = some_scores(seed)
    stay = getattr(samplers, name)(value)(scores)
    assert set(np.flatnonzero(stay).tolist()) == DEFINITIONS[name](np.exp(scores), value)


@pytest.mark.parametrize("temperature", [0.3, 1, 2])
@pytest.mark.parametrize("order", list(itertools.permutations(DEFINITIONS)))
def test_temperature_comes_first_then_each_looks_at_what_is_left(order, temperature):
    values = {"top_k": 12, "top_p": 0.8, "min_p": 0.1}
    scores = some_scores(9)
    probabilities, ids = np.exp(scores / temperature), np.arange(65)
    for name in order:
        ids = ids[sorted(DEFINITIONS[name](probabilities[ids], values[name]))]
    filters = [getattr(samplers, name)(values[name]) for name in order]
    assert staying(filters, scores, temperature) == set(ids.tolist())


@pytest.mark.parametrize(("name", "value"), [("top_k", 1), ("top_k", 2), ("top_p", 0.3), ("top_p", 0.6), ("min_p", 1)])
def test_equally_likely_ones_stay_together(name, value):
    log_probs = np.log(np.array([0.1, 0.4, 0.4, 0.1]))
    assert getattr(samplers, name)(value)(log_probs).tolist() == [False, True, True, False]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_where_all_are_equally_likely_all_stay(name, value):
    """As before the first character, which a filter must not select by its id."""
    assert getattr(samplers, name)(value)(np.full(65, 1 / 65)).all()


@pytest.mark.parametrize(("name", "value"), CASES)
def test_where_scores_are_nan_all_stay(name, value):
    """As in a network that has exploded: sampling from no characters would raise an exception."""
    assert getattr(samplers, name)(value)(np.full(65, np.nan)).all()


def test_filters_that_leave_all_change_no_draw():
    """The arithmetic of the draw is the same, bit by bit."""
    filters = [samplers.top_k(65), samplers.top_p(1.0), samplers.min_p(0.0)]
    plain = samplers.categorical(Generator(3), 0.7)
    same = samplers.filtered(samplers.categorical(Generator(3), 0.7), filters, 0.7)
    assert [plain(some_scores(seed)) for seed in range(200)] == [same(some_scores(seed)) for seed in range(200)]


def test_a_filtered_draw_takes_one_word():
    """Even if only one character is left, so that later draws do not depend on the filters."""
    random, other = Generator(5), Generator(5)
    samplers.filtered(samplers.categorical(random), [samplers.top_k(1)])(some_scores(1))
    other.words(1)
    assert random.state == other.state


class Zero:
    """Stands in for a random stream: draws 0, which is below every probability."""

    def fraction(self) -> float:
        """Return 0."""
        return 0.0

    def multinomial(self, probabilities: np.ndarray) -> int:
        """Return the first id whose cumulative probability is not below 0."""
        return int(probabilities.cumsum().searchsorted(0.0))


def test_what_was_left_out_is_never_drawn():
    """Not even by a draw of 0 when the first character is removed."""
    scores = np.log(np.array([0.01, 0.01, 0.9, 0.08]))
    assert samplers.filtered(samplers.categorical(Zero()), [samplers.top_k(2)])(scores) == 2


@pytest.mark.parametrize("temperature", [1e-300, 1e-5, 0.003])
def test_filters_at_very_low_temperatures(temperature):
    for name, value in CASES:
        choose = samplers.filtered(
            samplers.categorical(Generator(1), temperature), [getattr(samplers, name)(value)], temperature
        )
        assert choose(some_scores(2)) == some_scores(2).argmax()


def test_names_of_version_0_2():
    names = {"Choice": "Sampler", "drawn": "categorical", "likeliest": "greedy", "never": "ban", "top_p": "top_p"}
    for old, new in names.items():
        assert getattr(charrnn_port.choices, old) is getattr(samplers, new)

"""Samplers of the next character: greedy and categorical, with top-k, nucleus (top-p) and min-p filters.

A sampler is a function from scores to an id. Scores `[vocab_size]` are log-probabilities plus a constant, in float64 or
float32.

A filter restricts a sampler to some characters. It is a function from log-probabilities plus a constant, `[n]`, to bool
`[n]`: True for the characters that are kept. Equally likely characters are kept or removed together. The most likely
one is always kept. Filters compute which characters to remove, so if scores are NaN, all characters are kept.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from charrnn_port.model.build import library
from charrnn_port.model.decode import CompiledSampler, exp
from charrnn_port.torch7.random import Generator

Sampler = Callable[[np.ndarray], int]
Filter = Callable[[np.ndarray], np.ndarray]


def categorical(random: Generator, temperature: float = 1.0, rounded_to: str = "float32") -> Sampler:
    """Return a sampler that draws from probabilities ** (1 / temperature), normalized.

    The arithmetic is Torch7's (sample.lua and torch.multinomial), bit by bit. `rounded_to` is the dtype of the
    probabilities: float32 in sample.lua, float64 in torch-rnn. If their sum is 0 or infinite, as at very low
    temperatures, the largest score is subtracted first. Computed in C if a compiler is available.
    """
    return (CompiledCategorical if library(torch.float64) else numpy_categorical)(
        random, float(temperature), rounded_to
    )


class CompiledCategorical:
    """The sampler of `categorical` in C."""

    def __init__(self, random: Generator, temperature: float, rounded_to: str) -> None:
        self._random, self._temperature, self._single = random, temperature, rounded_to == "float32"
        self._scores = np.empty(0)

    def __call__(self, scores: np.ndarray) -> int:
        """Draw an id."""
        if scores.shape != self._scores.shape or scores.dtype != self._scores.dtype:
            self._prepare(scores)
        self._scores[:] = scores
        self._uniform[0] = self._random.fraction()
        self._draw()
        return int(self._id[0])

    def _prepare(self, scores: np.ndarray) -> None:
        self._draw = CompiledSampler(1, len(scores), torch.from_numpy(scores).dtype, self._single)
        self._draw.temperatures[0] = self._temperature
        self._scores, self._uniform, self._id = (
            tensor.numpy() for tensor in (self._draw.scores[0], self._draw.uniforms, self._draw.ids)
        )


def numpy_categorical(random: Generator, temperature: float, rounded_to: str) -> Sampler:
    """Return the sampler of `categorical` in NumPy. Probabilities may differ in the last bit before rounding."""
    # Scores are at most 1, so their exponentials can overflow only at very low temperatures.
    exponential = np.errstate(over="ignore")(np.exp) if temperature < 0.01 else np.exp

    def draw_one(scores: np.ndarray) -> int:
        probabilities = exponential(scores / temperature)
        total = probabilities.cumsum()[-1]  # Torch7 adds from left to right
        if not 0 < total < np.inf:
            probabilities = np.exp((scores - scores.max()) / temperature)
            total = probabilities.cumsum()[-1]
        probabilities /= total
        return random.multinomial(probabilities.astype(rounded_to))

    return draw_one


class BatchedCategorical:
    """`categorical` for several texts at once. Each text gets the id that it would get alone."""

    def __init__(self, rounded_to: str, without: int | None = None) -> None:
        """See `categorical` for `rounded_to`. `without` is an id that is never drawn."""
        self._rounded_to, self._without = rounded_to, without
        self._draw: CompiledSampler | None = None

    def __call__(self, randoms: Sequence[Generator], temperatures: Sequence[float], scores: np.ndarray) -> list[int]:
        """Draw an id from each row of `scores` `[texts, V]`."""
        if not library(torch.float64):
            each = zip(randoms, temperatures, scores, strict=True)
            return [self._alone(random, temperature)(row) for random, temperature, row in each]
        draw, dtype = self._draw, torch.from_numpy(scores[:0]).dtype
        if draw is None or scores.shape != draw.scores.shape or dtype != draw.scores.dtype:
            draw = self._draw = CompiledSampler(*scores.shape, dtype, self._rounded_to == "float32")
        draw.scores.numpy()[:] = scores
        if self._without is not None:
            draw.scores[:, self._without] = -torch.inf
        draw.temperatures.numpy()[:] = temperatures
        draw.uniforms.numpy()[:] = [random.fraction() for random in randoms]
        draw()
        return draw.ids.tolist()

    def _alone(self, random: Generator, temperature: float) -> Sampler:
        return ban(self._without, numpy_categorical(random, temperature, self._rounded_to))


def ban(id_: int | None, choose: Sampler) -> Sampler:
    """Return a sampler that never chooses `id_`, such as the unknown symbol. With None, return `choose` itself."""
    if id_ is None:
        return choose

    def choose_another(scores: np.ndarray) -> int:
        scores = scores.copy()
        scores[id_] = -np.inf
        return choose(scores)

    return choose_another


def biased(choose: Sampler, bias: np.ndarray) -> Sampler:
    """Return a sampler that adds `bias` `[V]` to the log-probabilities before it chooses; -inf bans a character.

    It is added before the temperature and the filters, as `logit_bias` is in OpenAI's API.
    """
    return lambda scores: choose(scores + bias)


def greedy(scores: np.ndarray) -> int:
    """Return the id of the most likely character; in a tie, the smallest id."""
    return int(scores.argmax())


def filtered(choose: Sampler, filters: Sequence[Filter], temperature: float = 1.0) -> Sampler:
    """Return a sampler that chooses among the characters that all filters keep.

    The filters see probabilities ** (1 / temperature). They are applied in order; each sees what the ones before kept.
    """

    def choose_filtered(scores: np.ndarray) -> int:
        ids = np.arange(len(scores))
        scaled = (scores - scores.max()) / temperature
        for stays in filters:
            kept = stays(scaled)
            ids, scaled = ids[kept], scaled[kept]
        return int(ids[choose(scores[ids])])

    return choose_filtered


def exp_of(x: np.ndarray) -> np.ndarray:
    """Return exp(x), `[n]`, in float64. With a C compiler, the result has the same bits on every machine."""
    return exp(torch.from_numpy(x.astype(np.float64))).numpy()


def top_k(k: int) -> Filter:
    """Return a filter that keeps the `k` most likely characters (Fan et al. 2018, arXiv:1805.04833)."""
    return lambda log_probs: ~(log_probs < np.sort(log_probs)[-min(k, len(log_probs))])


def top_p(p: float) -> Filter:
    """Return a filter that keeps the nucleus: the smallest set of most likely characters with total probability `p`.

    Nucleus (top-p) sampling is from Holtzman et al. 2020, arXiv:1904.09751.
    """

    def stays(log_probs: np.ndarray) -> np.ndarray:
        falling = np.sort(log_probs)[::-1]
        reached = exp_of(falling - falling[0]).cumsum()
        last = int(reached.searchsorted(p * reached[-1]))
        return ~(log_probs < falling[last])

    return stays


def min_p(p: float) -> Filter:
    """Return a filter that keeps characters at least `p` times as likely as the most likely one.

    Min-p sampling is from Nguyen et al. 2024, arXiv:2407.01082.
    """
    return lambda log_probs: ~(exp_of(log_probs - log_probs.max()) < p)

"""How the next character is chosen: a choice is a function from scores to an id.

Scores `[vocab_size]` are the log-probabilities of each character, float64 or float32, up to a constant.

A filter leaves only some characters to a choice. It is a function from log-probabilities `[n]`, up to a constant, to
bool `[n]`: which ones stay. Equally likely ones stay or go together; the likeliest always stays. It asks which ones go:
so all stay where a network that has exploded has no numbers.
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
    """Draw from the probabilities ** (1 / temperature), with Torch7's arithmetic (sample.lua and torch.multinomial).

    sample.lua rounds them to single precision, torch-rnn's does not: `rounded_to` is float32 or float64.
    Where that comes to 0 / 0 or the like, as at very low temperatures, the largest score is subtracted first. Computed
    in C where there is a compiler.
    """
    return (CompiledCategorical if library(torch.float64) else numpy_categorical)(
        random, float(temperature), rounded_to
    )


class CompiledCategorical:
    """`categorical`, in C."""

    def __init__(self, random: Generator, temperature: float, rounded_to: str) -> None:
        self._random, self._temperature, self._single = random, temperature, rounded_to == "float32"
        self._scores = np.empty(0)

    def __call__(self, scores: np.ndarray) -> int:
        """The id that is drawn."""
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
    """`categorical`, which may differ in the last place of a probability before it is rounded."""
    # Only at very low temperatures can scores of ours, which are at most 1, become infinite.
    exponential = np.errstate(over="ignore")(np.exp) if temperature < 0.01 else np.exp

    def draw_one(scores: np.ndarray) -> int:
        probabilities = exponential(scores / temperature)
        total = probabilities.cumsum()[-1]  # Torch7 sums from the left
        if not 0 < total < np.inf:
            probabilities = np.exp((scores - scores.max()) / temperature)
            total = probabilities.cumsum()[-1]
        probabilities /= total
        return random.multinomial(probabilities.astype(rounded_to))

    return draw_one


class BatchedCategorical:
    """`categorical` for several texts at a time: what each of them would draw alone."""

    def __init__(self, rounded_to: str, without: int | None = None) -> None:
        """`without`: an id that is never drawn."""
        self._rounded_to, self._without = rounded_to, without
        self._draw: CompiledSampler | None = None

    def __call__(self, randoms: Sequence[Generator], temperatures: Sequence[float], scores: np.ndarray) -> list[int]:
        """An id from each row of `scores` `[texts, V]`."""
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
    """The same choice among all characters but one, which is what keeps the unknown symbol out; with None among all."""
    if id_ is None:
        return choose

    def choose_another(scores: np.ndarray) -> int:
        scores = scores.copy()
        scores[id_] = -np.inf
        return choose(scores)

    return choose_another


def greedy(scores: np.ndarray) -> int:
    """The likeliest character; of several the first."""
    return int(scores.argmax())


def filtered(choose: Sampler, filters: Sequence[Filter], temperature: float = 1.0) -> Sampler:
    """The same choice among what the filters leave.

    They look at the probabilities ** (1 / temperature), one after the other: each at what those before it have left.
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
    """Return exp(x), `[n]`, in float64; where there is a C compiler, with the same bits on every machine."""
    return exp(torch.from_numpy(x.astype(np.float64))).numpy()


def top_k(k: int) -> Filter:
    """The `k` likeliest stay (Fan et al. 2018, arXiv:1805.04833)."""
    return lambda log_probs: ~(log_probs < np.sort(log_probs)[-min(k, len(log_probs))])


def top_p(p: float) -> Filter:
    """The fewest likeliest stay that have probability `p` together (Holtzman et al. 2020, arXiv:1904.09751)."""

    def stays(log_probs: np.ndarray) -> np.ndarray:
        falling = np.sort(log_probs)[::-1]
        reached = exp_of(falling - falling[0]).cumsum()
        last = int(reached.searchsorted(p * reached[-1]))
        return ~(log_probs < falling[last])

    return stays


def min_p(p: float) -> Filter:
    """Those stay that are at least `p` times as likely as the likeliest (Nguyen et al. 2024, arXiv:2407.01082)."""
    return lambda log_probs: ~(exp_of(log_probs - log_probs.max()) < p)

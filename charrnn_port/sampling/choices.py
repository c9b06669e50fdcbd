"""How the next character is chosen: a choice is a function from scores to an id.

Scores `[vocab_size]` are the log-probabilities of each character, float64 or float32, up to a constant.

A filter leaves only some characters to a choice. It is a function from log-probabilities `[n]`, up to a constant, to
bool `[n]`: which ones stay. Equally likely ones stay or go together; the likeliest always stays. It asks which ones go:
so all stay where a network that has exploded has no numbers.
"""

from collections.abc import Callable, Sequence

import numpy as np

from charrnn_port.torch7.random import Generator, multinomials

Choice = Callable[[np.ndarray], int]
Filter = Callable[[np.ndarray], np.ndarray]


def drawn(random: Generator, temperature: float = 1.0, rounded_to: str = "float32") -> Choice:
    """Draw from the probabilities ** (1 / temperature), with Torch7's arithmetic (sample.lua and torch.multinomial).

    sample.lua rounds them to single precision, torch-rnn's does not: `rounded_to` is float32 or float64.
    Where that comes to 0 / 0 or the like, as at very low temperatures, the largest score is subtracted first.
    """

    # Only there can scores of ours, which are at most 1, become infinite.
    exp = np.errstate(over="ignore")(np.exp) if temperature < 0.01 else np.exp

    def draw(scores: np.ndarray) -> int:
        probabilities = exp(scores / temperature)
        total = probabilities.cumsum()[-1]  # Torch7 sums from the left
        if not 0 < total < np.inf:
            probabilities = np.exp((scores - scores.max()) / temperature)
            total = probabilities.cumsum()[-1]
        probabilities /= total
        return random.multinomial(probabilities.astype(rounded_to))

    return draw


def drawn_together(
    randoms: Sequence[Generator],
    temperatures: Sequence[float],
    scores: np.ndarray,
    rounded_to: str = "float32",
    without: int | None = None,
) -> list[int]:
    """What `drawn` would draw for each row of `scores` `[texts, V]`, contiguous; never the id `without`."""
    if without is not None:
        scores = scores.copy()
        scores[:, without] = -np.inf
    with np.errstate(over="ignore"):
        probabilities = np.exp(scores / np.array(temperatures, scores.dtype)[:, None])
    totals = probabilities.cumsum(axis=1)[:, -1:]
    if not ((totals > 0) & (totals < np.inf)).all():
        each = zip(randoms, temperatures, scores, strict=True)
        return [drawn(random, temperature, rounded_to)(row) for random, temperature, row in each]
    probabilities /= totals
    return multinomials(randoms, probabilities.astype(rounded_to))


def never(id_: int | None, choose: Choice) -> Choice:
    """The same choice among all characters but one, which is what keeps the unknown symbol out; with None among all."""
    if id_ is None:
        return choose

    def choose_another(scores: np.ndarray) -> int:
        scores = scores.copy()
        scores[id_] = -np.inf
        return choose(scores)

    return choose_another


def likeliest(scores: np.ndarray) -> int:
    """The likeliest character; of several the first."""
    return int(scores.argmax())


def filtered(choose: Choice, filters: Sequence[Filter], temperature: float = 1.0) -> Choice:
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


def top_k(k: int) -> Filter:
    """The `k` likeliest stay (Fan et al. 2018, arXiv:1805.04833)."""
    return lambda log_probs: ~(log_probs < np.sort(log_probs)[-min(k, len(log_probs))])


def top_p(p: float) -> Filter:
    """The fewest likeliest stay that have probability `p` together (Holtzman et al. 2020, arXiv:1904.09751)."""

    def stays(log_probs: np.ndarray) -> np.ndarray:
        falling = np.sort(log_probs)[::-1]
        reached = np.exp(falling - falling[0]).cumsum()
        last = int(reached.searchsorted(p * reached[-1]))
        return ~(log_probs < falling[last])

    return stays


def min_p(p: float) -> Filter:
    """Those stay that are at least `p` times as likely as the likeliest (Nguyen et al. 2024, arXiv:2407.01082)."""
    return lambda log_probs: ~(np.exp(log_probs - log_probs.max()) < p)

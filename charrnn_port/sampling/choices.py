"""How the next character is chosen: a choice is a function from scores to an id.

Scores `[vocab_size]` are the log-probabilities of each character, float64 or float32, up to a constant.
"""

from collections.abc import Callable

import numpy as np

from charrnn_port.torch7.random import Generator

Choice = Callable[[np.ndarray], int]


def drawn(random: Generator, temperature: float = 1.0) -> Choice:
    """Draw from the probabilities ** (1 / temperature), with Torch7's arithmetic (sample.lua and torch.multinomial).

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
        return random.multinomial(probabilities.astype(np.float32))

    return draw


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

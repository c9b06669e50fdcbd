"""Compare random streams with those of Torch7, bit for bit."""

from functools import partial

import numpy as np

from charrnn_port.reports.verify.recordings import random_numbers
from charrnn_port.reports.verify.results import Same, same
from charrnn_port.torch7.random import Generator

PART = "random streams"
SEEDS = (0, 1, 123, 2147483647)
PROBABILITIES = np.array([0.05, 0.3, 0, 0.15, 0.5], np.float32)


def checks() -> list[partial[Same]]:
    """Return the checks to run."""
    return [*(partial(kind, seed) for kind in (uniform, bernoulli, multinomial) for seed in SEEDS), partial(layer)]


def uniform(seed: int) -> Same:
    """Draw 1000 numbers between -0.08 and 0.08, as for the initialization of parameters."""
    return compare("uniform", seed, Generator(seed).uniform(-0.08, 0.08, 1000))


def bernoulli(seed: int) -> Same:
    """Draw 1000 Bernoulli variables with probability 0.7, as for dropout."""
    return compare("bernoulli", seed, Generator(seed).bernoulli(0.7, 1000))


def multinomial(seed: int, total: float = 1) -> Same:
    """Draw 500 of five categories, as for sampling characters; the probabilities sum to `total`."""
    random = Generator(seed)
    drawn = [random.multinomial(PROBABILITIES * np.float32(total)) + 1 for _ in range(500)]  # Lua counts from 1
    return compare("multinomial", seed, np.array(drawn))


def layer() -> Same:
    """Draw the parameters of nn.Linear(3, 2): six weights and two biases. The recording starts after four words."""
    random, recorded = Generator(123), random_numbers()
    random.words(4)
    bound = 1 / np.sqrt(3)
    ours = np.concatenate([random.uniform(-bound, bound, 8), random.uniform(0, 1, 5)])
    return same(PART, "nn.Linear", "seed 123", ours, np.concatenate([recorded["linear_3_2"], recorded["after_linear"]]))


def compare(kind: str, seed: int, drawn: np.ndarray) -> Same:
    """Compare numbers with the recorded ones."""
    return same(PART, kind, f"seed {seed}", drawn, random_numbers()[f"{kind}_{seed}"])

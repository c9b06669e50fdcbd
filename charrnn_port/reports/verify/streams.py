"""Random streams: Torch7's, bit for bit, on any machine."""

from functools import partial

import numpy as np

from charrnn_port.reports.verify.recordings import random_numbers
from charrnn_port.reports.verify.results import Same, same
from charrnn_port.torch7.random import Generator

PART = "random streams"
SEEDS = (0, 1, 123, 2147483647)
PROBABILITIES = np.array([0.05, 0.3, 0, 0.15, 0.5], np.float32)


def checks() -> list[partial[Same]]:
    """Those to be made."""
    return [*(partial(kind, seed) for kind in (uniform, bernoulli, multinomial) for seed in SEEDS), partial(layer)]


def uniform(seed: int) -> Same:
    """1000 numbers between -0.08 and 0.08, as parameters are drawn."""
    return compare("uniform", seed, Generator(seed).uniform(-0.08, 0.08, 1000))


def bernoulli(seed: int) -> Same:
    """1000 times whether a unit is kept, as for dropout."""
    return compare("bernoulli", seed, Generator(seed).bernoulli(0.7, 1000))


def multinomial(seed: int, total: float = 1) -> Same:
    """500 choices among five, as characters are drawn; the probabilities may add up to any `total`."""
    random = Generator(seed)
    drawn = [random.multinomial(PROBABILITIES * np.float32(total)) + 1 for _ in range(500)]  # Lua counts from 1
    return compare("multinomial", seed, np.array(drawn))


def layer() -> Same:
    """nn.Linear(3, 2) draws six weights, two biases and nothing else; the recorder had drawn four words before."""
    random, recorded = Generator(123), random_numbers()
    random.words(4)
    bound = 1 / np.sqrt(3)
    ours = np.concatenate([random.uniform(-bound, bound, 8), random.uniform(0, 1, 5)])
    return same(PART, "nn.Linear", "seed 123", ours, np.concatenate([recorded["linear_3_2"], recorded["after_linear"]]))


def compare(kind: str, seed: int, drawn: np.ndarray) -> Same:
    """Numbers against the recorded ones."""
    return same(PART, kind, f"seed {seed}", drawn, random_numbers()[f"{kind}_{seed}"])

"""Cosine annealing (Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, with one period and the floor 0)."""

import math

from charrnn_port.training.optimizers import Optimizer
from charrnn_port.training.schedules.schedule import Schedule


class Cosine(Schedule):
    """Lets the rate glide along half a cosine, from its first value to 0 after `iterations`, the whole run."""

    def __init__(self, optimizer: Optimizer, iterations: float) -> None:
        super().__init__(optimizer)
        self.highest = optimizer.learning_rate
        self.iterations = iterations

    def after_iteration(self, i: int) -> None:
        """As Schedule's."""
        self.optimizer.learning_rate = self.highest * (1 + half_cosine(i / self.iterations)) / 2


def half_cosine(part: float) -> float:
    """Return cos(pi * part) for a part in [0, 1], by its Taylor series.

    C's cosine has another last digit on some machines, and a run would go another way.
    """
    if part > 0.5:
        return -half_cosine(1 - part)
    # Up to pi / 4 by the cosine, above it by the sine of what is left to pi / 2: the terms fall fast.
    by_sine = part > 0.25
    x = math.pi * (0.5 - part if by_sine else part)
    total = 0.0
    for n in range(21 if by_sine else 20, 1, -2):
        total = (1 - total) * x * x / (n * (n - 1))
    return x * (1 - total) if by_sine else 1 - total

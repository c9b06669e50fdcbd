"""Cosine annealing (Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5) without restarts, down to 0."""

import math

from charrnn_port.training.optimizers import Optimizer
from charrnn_port.training.schedules.schedule import Schedule


class Cosine(Schedule):
    """Lowers the rate along half a cosine, from its first value to 0 after `iterations`, the length of the run."""

    def __init__(self, optimizer: Optimizer, iterations: float) -> None:
        super().__init__(optimizer)
        self.highest = optimizer.learning_rate
        self.iterations = iterations

    def after_iteration(self, i: int) -> None:
        """See `Schedule.after_iteration`."""
        self.optimizer.learning_rate = self.highest * (1 + half_cosine(i / self.iterations)) / 2


def half_cosine(part: float) -> float:
    """Return cos(pi * part) for `part` in [0, 1], by its Taylor series.

    The cosine of the C library differs in the last bit between machines, which would make runs diverge.
    """
    if part > 0.5:
        return -half_cosine(1 - part)
    # The series of the cosine up to pi / 4, that of the sine of pi / 2 - x above: both converge fast there.
    by_sine = part > 0.25
    x = math.pi * (0.5 - part if by_sine else part)
    total = 0.0
    for n in range(21 if by_sine else 20, 1, -2):
        total = (1 - total) * x * x / (n * (n - 1))
    return x * (1 - total) if by_sine else 1 - total

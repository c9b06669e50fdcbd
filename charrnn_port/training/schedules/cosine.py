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
        self.optimizer.learning_rate = self.highest * (1 + math.cos(math.pi * i / self.iterations)) / 2

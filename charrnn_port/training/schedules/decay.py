"""The original's schedule: from some epoch on, every epoch ends with a smaller learning rate (train.lua)."""

from charrnn_port.training.optimizers import Optimizer
from charrnn_port.training.schedules.schedule import Schedule


class Decay(Schedule):
    """Multiplies the rate by `factor` at the end of each epoch from the epoch `after` on, unless it is 1 or more."""

    def __init__(self, optimizer: Optimizer, factor: float, after: float, ntrain: int) -> None:
        super().__init__(optimizer)
        self.factor = factor
        self.after = after
        self.ntrain = ntrain

    def after_iteration(self, i: int) -> float | None:
        """As Schedule's."""
        if i % self.ntrain or self.factor >= 1 or i / self.ntrain < self.after:
            return None
        self.optimizer.learning_rate *= self.factor
        return self.factor

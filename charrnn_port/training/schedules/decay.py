"""The schedule of train.lua: step decay, once per epoch after the first epochs."""

from charrnn_port.training.optimizers import Optimizer
from charrnn_port.training.schedules.schedule import Schedule


class Decay(Schedule):
    """Multiplies the rate by `factor`, if below 1, at the end of each epoch from epoch `after` on."""

    def __init__(self, optimizer: Optimizer, factor: float, after: float, ntrain: int) -> None:
        super().__init__(optimizer)
        self.factor = factor
        self.after = after
        self.ntrain = ntrain

    def after_iteration(self, i: int) -> float | None:
        """See `Schedule.after_iteration`."""
        if i % self.ntrain or self.factor >= 1 or i / self.ntrain < self.after:
            return None
        self.optimizer.learning_rate *= self.factor
        return self.factor

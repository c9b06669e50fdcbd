"""The original's schedule: from some epoch on, every epoch ends with a smaller learning rate (train.lua)."""

from charrnn_port.training.optimizers import Optimizer


class Decay:
    """Multiplies the rate by `factor` at the end of each epoch from the epoch `after` on, unless it is 1 or more."""

    def __init__(self, optimizer: Optimizer, factor: float, after: float, ntrain: int) -> None:
        self.optimizer = optimizer
        self.factor = factor
        self.after = after
        self.ntrain = ntrain

    def after_iteration(self, i: int) -> bool:
        """Told after each iteration (from 1); whether the rate is another one now."""
        decays = i % self.ntrain == 0 and self.factor < 1 and i / self.ntrain >= self.after
        if decays:
            self.optimizer.learning_rate *= self.factor
        return decays

    def state(self) -> dict[str, float]:
        """Nothing: the rate itself tells all, and the optimiser keeps it."""
        return {}

    def load_state(self, state: dict[str, float]) -> None:
        """There is nothing to take over."""

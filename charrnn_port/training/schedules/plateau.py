"""Lowers the rate where the validation loss gets no better."""

import math

from charrnn_port.training.optimizers import Optimizer
from charrnn_port.training.schedules.schedule import Schedule


class Plateau(Schedule):
    """Multiplies the rate by `factor` after each evaluation, from the epoch `after` on, that brought no better loss.

    The same as `torch.optim.lr_scheduler.ReduceLROnPlateau(factor=factor, patience=0, eps=0)`, and with its threshold:
    better is what is below the best by more than a ten-thousandth of it.
    """

    THRESHOLD = 1e-4

    def __init__(self, optimizer: Optimizer, factor: float, after: float, ntrain: int) -> None:
        super().__init__(optimizer)
        self.factor = factor
        self.after = after
        self.ntrain = ntrain
        self.best = math.inf

    def after_evaluation(self, i: int, val_loss: float) -> float | None:
        """As Schedule's."""
        if val_loss < self.best * (1 - self.THRESHOLD):
            self.best = val_loss
            return None
        if self.factor >= 1 or i / self.ntrain < self.after:
            return None
        self.optimizer.learning_rate *= self.factor
        return self.factor

    def state(self) -> dict[str, float]:
        """As Schedule's."""
        return {"best": self.best}

    def load_state(self, state: dict[str, float]) -> None:
        """As Schedule's."""
        self.best = state["best"]

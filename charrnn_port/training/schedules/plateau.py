"""Reduce on plateau: lowers the learning rate when the validation loss stops improving."""

import math

from charrnn_port.training.optimizers import Optimizer
from charrnn_port.training.schedules.schedule import Schedule


class Plateau(Schedule):
    """Multiplies the rate by `factor` after each evaluation without improvement, from epoch `after` on.

    Equals `torch.optim.lr_scheduler.ReduceLROnPlateau(factor=factor, patience=0, eps=0)` with its default threshold: a
    loss is an improvement if it is below 0.9999 times the best one.
    """

    THRESHOLD = 1e-4

    def __init__(self, optimizer: Optimizer, factor: float, after: float, ntrain: int) -> None:
        super().__init__(optimizer)
        self.factor = factor
        self.after = after
        self.ntrain = ntrain
        self.best = math.inf

    def after_evaluation(self, i: int, val_loss: float) -> float | None:
        """See `Schedule.after_evaluation`."""
        if val_loss < self.best * (1 - self.THRESHOLD):
            self.best = val_loss
            return None
        if self.factor >= 1 or i / self.ntrain < self.after:
            return None
        self.optimizer.learning_rate *= self.factor
        return self.factor

    def state(self) -> dict[str, float]:
        """See `Schedule.state`."""
        return {"best": self.best}

    def load_state(self, state: dict[str, float]) -> None:
        """See `Schedule.load_state`."""
        self.best = state["best"]

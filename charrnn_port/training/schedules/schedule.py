"""The base class of the learning rate schedules, and the schedule of train.lua."""

from charrnn_port.training.optimizers import Optimizer


class Schedule:
    """Changes the learning rate of an optimizer between iterations. This base class keeps it constant.

    `after_iteration` and `after_evaluation` return the factor when they lowered the rate in a step, which is reported
    as RateDecayed, and None when the rate is unchanged or changes a little in every iteration.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def after_iteration(self, i: int) -> float | None:
        """Update the rate after iteration `i`, counted from 1."""

    def after_evaluation(self, i: int, val_loss: float) -> float | None:
        """Update the rate after the evaluation that follows iteration `i`; `val_loss` is in nats per character."""

    def state(self) -> dict[str, float]:
        """Return what the next changes depend on, except the learning rate, which is the optimizer's."""
        return {}

    def load_state(self, state: dict[str, float]) -> None:
        """Restore a state that `state` returned. Raises KeyError if a part of it is missing."""


class Decay(Schedule):
    """The schedule of train.lua: multiplies the rate by `factor`, if below 1, after each epoch from `after` on."""

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

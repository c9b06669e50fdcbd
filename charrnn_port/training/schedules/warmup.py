"""Lets a run begin with small steps."""

from collections.abc import Callable

from charrnn_port.training.schedules.schedule import Schedule


class Warmup(Schedule):
    """Iteration i of the first `iterations` has i / `iterations` of the rate that another schedule gives it."""

    def __init__(self, schedule: Schedule, iterations: int) -> None:
        super().__init__(schedule.optimizer)
        self.schedule = schedule
        self.iterations = iterations
        self.whole = self.optimizer.learning_rate
        self._set(1, lambda: None)

    def _set(self, next_i: int, change: Callable[[], float | None]) -> float | None:
        """The rate of the iteration `next_i`, after the other schedule has had its way with the whole one."""
        self.optimizer.learning_rate = self.whole
        factor = change()
        self.whole = self.optimizer.learning_rate
        self.optimizer.learning_rate *= min(next_i / self.iterations, 1)
        return factor

    def after_iteration(self, i: int) -> float | None:
        """As Schedule's."""
        return self._set(i + 1, lambda: self.schedule.after_iteration(i))

    def after_evaluation(self, i: int, val_loss: float) -> float | None:
        """As Schedule's."""
        return self._set(i + 1, lambda: self.schedule.after_evaluation(i, val_loss))

    def state(self) -> dict[str, float]:
        """As Schedule's: that of the other schedule too."""
        return {**self.schedule.state(), "whole_rate": self.whole}

    def load_state(self, state: dict[str, float]) -> None:
        """As Schedule's."""
        self.schedule.load_state(state)
        self.whole = state["whole_rate"]

"""Learning rate warmup: a linear ramp over the first iterations, on top of any other schedule."""

from collections.abc import Callable

from charrnn_port.training.schedules.schedule import Schedule


class Warmup(Schedule):
    """Multiplies the rate of another schedule by i / `iterations` in iteration i, for the first `iterations`."""

    def __init__(self, schedule: Schedule, iterations: int) -> None:
        super().__init__(schedule.optimizer)
        self.schedule = schedule
        self.iterations = iterations
        self.whole = self.optimizer.learning_rate
        self._set(1, lambda: None)

    def _set(self, next_i: int, change: Callable[[], float | None]) -> float | None:
        """Let `change` update the rate without warmup, then set the rate of iteration `next_i`."""
        self.optimizer.learning_rate = self.whole
        factor = change()
        self.whole = self.optimizer.learning_rate
        self.optimizer.learning_rate *= min(next_i / self.iterations, 1)
        return factor

    def after_iteration(self, i: int) -> float | None:
        """See `Schedule.after_iteration`."""
        return self._set(i + 1, lambda: self.schedule.after_iteration(i))

    def after_evaluation(self, i: int, val_loss: float) -> float | None:
        """See `Schedule.after_evaluation`."""
        return self._set(i + 1, lambda: self.schedule.after_evaluation(i, val_loss))

    def state(self) -> dict[str, float]:
        """Return the state of the other schedule and the rate without warmup."""
        return {**self.schedule.state(), "whole_rate": self.whole}

    def load_state(self, state: dict[str, float]) -> None:
        """See `Schedule.load_state`."""
        self.schedule.load_state(state)
        self.whole = state["whole_rate"]

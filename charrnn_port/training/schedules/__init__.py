"""How the learning rate changes in the course of a run: a schedule is a file here, and a line in `create`."""

from typing import Protocol

from charrnn_port.options import TrainOptions
from charrnn_port.training.optimizers import Optimizer
from charrnn_port.training.schedules.decay import Decay

__all__ = ["Decay", "Schedule", "create"]


class Schedule(Protocol):
    """Changes its optimiser's learning rate between iterations."""

    factor: float  # by which the last change multiplied the rate

    def after_iteration(self, i: int) -> bool:
        """Told after each iteration (from 1); whether the rate is another one now."""

    def state(self) -> dict[str, float]:
        """All that its next changes depend on, beside the optimiser's learning rate."""

    def load_state(self, state: dict[str, float]) -> None:
        """Go on from such a state. Raises KeyError where a part of it is missing."""


def create(options: TrainOptions, optimizer: Optimizer, ntrain: int) -> Schedule:
    """The schedule of a run whose epochs have `ntrain` iterations."""
    return Decay(optimizer, options.learning_rate_decay, options.learning_rate_decay_after, ntrain)

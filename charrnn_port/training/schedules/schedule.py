"""What every schedule of the learning rate has."""

from charrnn_port.training.optimizers import Optimizer


class Schedule:
    """Changes its optimiser's learning rate between iterations; this one leaves it as it is.

    Both methods that are told of the run return the factor by which they lowered the rate, where that is an event;
    None where it stays, or glides along from iteration to iteration.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def after_iteration(self, i: int) -> float | None:
        """Told after each iteration (from 1)."""

    def after_evaluation(self, i: int, val_loss: float) -> float | None:
        """Told after each evaluation, with the iteration before it and the loss in nats per character."""

    def state(self) -> dict[str, float]:
        """All that its next changes depend on, beside the optimiser's learning rate."""
        return {}

    def load_state(self, state: dict[str, float]) -> None:
        """Go on from such a state. Raises KeyError where a part of it is missing."""

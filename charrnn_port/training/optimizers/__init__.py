"""What a run's gradients do to its parameters: an optimiser is a file here, and a line in `create`."""

from typing import Protocol

from torch import Tensor

from charrnn_port.options import TrainOptions
from charrnn_port.training.optimizers.adam import Adam
from charrnn_port.training.optimizers.adamw import AdamW
from charrnn_port.training.optimizers.rmsprop import RMSprop

__all__ = ["Adam", "AdamW", "Optimizer", "RMSprop", "create"]


class Optimizer(Protocol):
    """Works on the flat vectors of all parameters and gradients, `[n]`, in place."""

    learning_rate: float  # a schedule changes it

    def step(self, gradients: Tensor) -> None:
        """Update the parameters from the gradients `[n]`."""

    def state(self) -> dict[str, float | Tensor]:
        """Copies on the CPU of all that the next step depends on: numbers, and tensors `[n]`."""

    def load_state(self, state: dict[str, float | Tensor]) -> None:
        """Go on from such a state. Raises KeyError where a part of it is missing."""


def create(options: TrainOptions, params: Tensor) -> Optimizer:
    """The optimiser of a run, for its parameters `[n]`."""
    if options.optimizer == "adam":
        return Adam(params, options.learning_rate, options.beta2, options.weight_decay)
    if options.optimizer == "adamw":
        return AdamW(params, options.learning_rate, options.beta2, options.weight_decay)
    return RMSprop(params, options.learning_rate, options.decay_rate, options.weight_decay)

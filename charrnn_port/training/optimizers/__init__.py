"""Optimizers, one file each. A new one also needs a line in `create`."""

from typing import Protocol

from torch import Tensor

from charrnn_port.options import TrainOptions
from charrnn_port.training.optimizers.adam import Adam
from charrnn_port.training.optimizers.adamw import AdamW
from charrnn_port.training.optimizers.rmsprop import RMSprop

__all__ = ["Adam", "AdamW", "Optimizer", "RMSprop", "create"]


class Optimizer(Protocol):
    """The interface of an optimizer. It works in place on flat vectors `[n]` of all parameters and gradients."""

    learning_rate: float  # a schedule changes it

    def step(self, gradients: Tensor) -> None:
        """Update the parameters from the gradients `[n]`."""

    def state(self) -> dict[str, float | Tensor]:
        """Return what the next step depends on: numbers, and copies on the CPU of tensors `[n]`."""

    def load_state(self, state: dict[str, float | Tensor]) -> None:
        """Restore a state that `state` returned. Raises KeyError if a part of it is missing."""


def create(options: TrainOptions, params: Tensor) -> Optimizer:
    """Return the optimizer that the options select, for the parameters `[n]`."""
    if options.optimizer == "adam":
        return Adam(params, options.learning_rate, options.beta2, options.weight_decay)
    if options.optimizer == "adamw":
        return AdamW(params, options.learning_rate, options.beta2, options.weight_decay)
    return RMSprop(params, options.learning_rate, options.decay_rate, options.weight_decay)

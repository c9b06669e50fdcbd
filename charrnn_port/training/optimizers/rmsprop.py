"""RMSprop as in Torch's optim/rmsprop.lua."""

import torch
from torch import Tensor

from charrnn_port.model.update import rmsprop_


class RMSprop:
    """Divides each gradient by a running root mean square of itself.

    The same as `torch.optim.RMSprop(alpha=decay_rate, eps=1e-8)` on the flat vector `params` `[n]`. `weight_decay`,
    which the original has not, is the factor of an L2 penalty: so much of the parameters is added to their gradients.
    """

    EPSILON = 1e-8

    def __init__(self, params: Tensor, learning_rate: float, decay_rate: float, weight_decay: float = 0) -> None:
        self.params = params
        self.learning_rate = learning_rate
        self.decay_rate = decay_rate
        self.weight_decay = weight_decay
        self.mean_square = torch.zeros_like(params)

    @torch.no_grad()
    def step(self, gradients: Tensor) -> None:
        """Update the parameters in place from `gradients` `[n]`."""
        rmsprop_(
            self.params, self.mean_square, gradients,
            self.learning_rate, self.decay_rate, self.EPSILON, self.weight_decay,
        )  # fmt: skip

    def state(self) -> dict[str, float | Tensor]:
        """Copies of what the next step depends on."""
        return {"learning_rate": self.learning_rate, "mean_square": self.mean_square.to("cpu", copy=True)}

    def load_state(self, state: dict[str, float | Tensor]) -> None:
        """Go on from such a state. Raises KeyError where a part of it is missing, TypeError where it is no tensor."""
        if not isinstance(state["mean_square"], Tensor):
            raise TypeError("the mean square is no tensor")
        self.mean_square.copy_(state["mean_square"])
        self.learning_rate = state["learning_rate"]

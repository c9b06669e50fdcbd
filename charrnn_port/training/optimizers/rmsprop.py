"""RMSprop as in Torch's optim/rmsprop.lua."""

import torch
from torch import Tensor

from charrnn_port.model.update import rmsprop_


class RMSprop:
    """Divides each gradient by its running root mean square.

    Equals `torch.optim.RMSprop(alpha=decay_rate, eps=1e-8)` on the flat vector `params` `[n]`. `weight_decay`, which
    the original does not have, is the factor of an L2 penalty: `weight_decay * params` is added to the gradients.
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
        """Return copies of what the next step depends on."""
        return {"learning_rate": self.learning_rate, "mean_square": self.mean_square.to("cpu", copy=True)}

    def load_state(self, state: dict[str, float | Tensor]) -> None:
        """Restore a state that `state` returned. Raises KeyError for a missing part, TypeError for a wrong type."""
        if not isinstance(state["mean_square"], Tensor):
            raise TypeError("mean_square: expected a tensor")
        self.mean_square.copy_(state["mean_square"])
        self.learning_rate = state["learning_rate"]

"""Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1)."""

import torch
from torch import Tensor

from charrnn_port.model.update import adam_


class Adam:
    """Divides the running mean of each gradient by its running root mean square, both with bias correction.

    Equals `torch.optim.Adam(betas=(0.9, beta2), eps=1e-8)` on the flat vector `params` `[n]`. `weight_decay` is the
    factor of an L2 penalty: `weight_decay * params` is added to the gradients.
    """

    BETA1 = 0.9
    EPSILON = 1e-8

    def __init__(self, params: Tensor, learning_rate: float, beta2: float, weight_decay: float) -> None:
        self.params = params
        self.learning_rate = learning_rate
        self.beta2 = beta2
        self.weight_decay = weight_decay
        self.steps = 0
        self.mean = torch.zeros_like(params)
        self.mean_square = torch.zeros_like(params)

    @torch.no_grad()
    def step(self, gradients: Tensor) -> None:
        """Update the parameters in place from `gradients` `[n]`."""
        self._update(gradients, self.weight_decay)

    def _update(self, gradients: Tensor, weight_decay: float) -> None:
        self.steps += 1
        adam_(
            self.params, self.mean, self.mean_square, gradients, self.steps,
            self.learning_rate, (self.BETA1, self.beta2), self.EPSILON, weight_decay,
        )  # fmt: skip

    def state(self) -> dict[str, float | Tensor]:
        """Return copies of what the next step depends on."""
        return {
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "mean": self.mean.to("cpu", copy=True),
            "mean_square": self.mean_square.to("cpu", copy=True),
        }

    def load_state(self, state: dict[str, float | Tensor]) -> None:
        """Restore a state that `state` returned. Raises KeyError for a missing part, TypeError for a wrong type."""
        if not all(isinstance(state[name], Tensor) for name in ("mean", "mean_square")):
            raise TypeError("mean and mean_square: expected tensors")
        self.mean.copy_(state["mean"])
        self.mean_square.copy_(state["mean_square"])
        self.learning_rate, self.steps = state["learning_rate"], state["steps"]

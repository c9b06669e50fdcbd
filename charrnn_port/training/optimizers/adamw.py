"""AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2)."""

import torch
from torch import Tensor

from charrnn_port.model.update import scale_
from charrnn_port.training.optimizers.adam import Adam


class AdamW(Adam):
    """Multiplies all parameters by `1 - learning_rate * weight_decay` before a step of Adam without weight decay.

    Equals `torch.optim.AdamW(betas=(0.9, beta2), eps=1e-8)` on the flat vector `params` `[n]`, biases included.
    """

    @torch.no_grad()
    def step(self, gradients: Tensor) -> None:
        """Update the parameters in place from `gradients` `[n]`."""
        scale_(self.params, 1 - self.learning_rate * self.weight_decay)
        self._update(gradients, 0)

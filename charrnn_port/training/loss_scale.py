"""Loss scaling for float16: gradients below 6e-8, its smallest positive number, would underflow to 0."""

from torch import Tensor

from charrnn_port.model.char_rnn import CharRNN


class LossScale:
    """Dynamic loss scale: multiplies the loss before the backward pass and divides the gradients by the same factor.

    The factor halves when gradients overflow and doubles after 2000 iterations without overflow, as in
    `torch.amp.GradScaler` (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2).
    """

    FIRST = 65536.0
    PATIENCE = 2000  # iterations

    def __init__(self, network: CharRNN) -> None:
        self.network = network
        network.loss_scale = self.FIRST
        self.good = 0  # iterations since the scale last changed

    def fits(self, gradients: Tensor) -> bool:
        """Return whether the gradients `[n]` are finite, and update the scale. If not, skip the optimizer's step."""
        fits = bool(gradients.isfinite().all())
        self.good = self.good + 1 if fits else 0
        if not fits:
            self.network.loss_scale /= 2
        elif self.good == self.PATIENCE:
            self.network.loss_scale *= 2
            self.good = 0
        return fits

    def state(self) -> dict[str, float]:
        """Return the scale and the number of iterations since it last changed."""
        return {"scale": self.network.loss_scale, "good": self.good}

    def load_state(self, state: dict[str, float]) -> None:
        """Restore a state that `state` returned. Raises KeyError if a part of it is missing."""
        self.network.loss_scale, self.good = state["scale"], state["good"]

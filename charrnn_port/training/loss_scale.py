"""Loss scaling for float16, whose smallest number is 6e-8: gradients below it would be lost."""

from torch import Tensor

from charrnn_port.model.char_rnn import CharRNN


class LossScale:
    """The factor on a network's loss before its backward pass; after it, the gradients are divided by it again.

    It halves when gradients overflow, and doubles after 2000 iterations in which they did not, as in
    `torch.amp.GradScaler` (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2).
    """

    FIRST = 65536.0
    PATIENCE = 2000  # iterations

    def __init__(self, network: CharRNN) -> None:
        self.network = network
        network.loss_scale = self.FIRST
        self.good = 0  # iterations since the scale last changed

    def fits(self, gradients: Tensor) -> bool:
        """Whether these gradients `[n]` did not overflow: else there must be no step. Sets the next scale."""
        fits = bool(gradients.isfinite().all())
        self.good = self.good + 1 if fits else 0
        if not fits:
            self.network.loss_scale /= 2
        elif self.good == self.PATIENCE:
            self.network.loss_scale *= 2
            self.good = 0
        return fits

    def state(self) -> dict[str, float]:
        """What the next iterations depend on."""
        return {"scale": self.network.loss_scale, "good": self.good}

    def load_state(self, state: dict[str, float]) -> None:
        """Go on from such a state. Raises KeyError where a part of it is missing."""
        self.network.loss_scale, self.good = state["scale"], state["good"]

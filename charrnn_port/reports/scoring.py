"""Compute a network's predictions for each character of a text.

    reader = Reader(network)
    for block in TextStream(path, {name: vocab}):
        figures = reader.read(vocab.encode(block.units))

The arithmetic is that of an evaluation with batch size 1. The state is carried from the first character to the last.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model.fused import FusedCharRNN

SIZES = (1024, 256, 64, 16, 4, 1)  # time steps of a pass; few sizes, since each has its own buffers
SEGMENT = 20  # characters between updates in dynamic evaluation
LEARN_SIZES = (SEGMENT, 4, 1)  # time steps of a pass in dynamic evaluation
KNOWN_SEGMENTS = 1000  # weight of the mean square from training, in segments


class CharacterScores(NamedTuple):
    """Predictions of n consecutive characters, each given all characters before it."""

    ids: np.ndarray  # [n] int64: the actual characters
    predictions: np.ndarray  # [n, vocab_size] float64 or float32: log-probabilities of all characters

    @property
    def log_probs(self) -> np.ndarray:
        """Log-probabilities of the actual characters, `[n]`, in nats."""
        return self.predictions[np.arange(len(self.ids)), self.ids]

    @property
    def ranks(self) -> np.ndarray:
        """Ranks of the actual characters, `[n]`: 1 + the number of characters that were more likely."""
        return 1 + (self.predictions > self.log_probs[:, None]).sum(1)

    @property
    def entropies(self) -> np.ndarray:
        """Entropies of the predictions, `[n]`, in nats: -sum p log p."""
        probabilities = np.exp(self.predictions)
        return -(probabilities * np.where(probabilities > 0, self.predictions, 0)).sum(1)

    def most_likely(self, count: int) -> np.ndarray:
        """Return the `count` most likely ids, `[n, count]`, the most likely first."""
        return np.argsort(-self.predictions, axis=1, kind="stable")[:, :count]


class Reader:
    """Reads one text with a network, from the zero state."""

    def __init__(self, network: FusedCharRNN, learn: "Learning | None" = None) -> None:
        """With `learn`, the network's parameters are updated while it reads."""
        self._network, self._learn = network, learn
        self.begin()

    def begin(self) -> None:
        """Begin a piece of the text, from the zero state again."""
        self._state = self._network.zero_state(1)
        self._last: list[int] = []  # the last character, which is read together with the next ones

    def read(self, ids: Sequence[int]) -> CharacterScores:
        """Read the next characters and return their predictions. The first character of a text has none."""
        text = torch.tensor([*self._last, *ids], dtype=torch.int64, device=self._network.params.device)[:, None]
        self._last = text[-1:, 0].tolist()
        x, y = text[:-1], text[1:]
        places = pieces(len(x), LEARN_SIZES if self._learn else SIZES)
        predictions = [self._predict(x[place], y[place]) for place in places]
        found = torch.cat([self._network.params.new_empty(0, self._network.vocab_size), *predictions])
        return CharacterScores(y[:, 0].cpu().numpy(), found.cpu().numpy())

    def _predict(self, x: Tensor, y: Tensor) -> Tensor:
        log_probs, after = self._network.log_probs(x, self._state)
        predictions = log_probs[:, 0].clone()
        if self._learn and len(x) == SEGMENT:
            self._learn(x, y, self._state)
        else:
            for tensor, value in zip(self._state, after, strict=True):
                tensor.copy_(value)
        return predictions


class Learning:
    """Dynamic evaluation: updates a network on the text that it is evaluated on (Krause et al. 2018, arXiv:1709.07432,
    section 5, with RMS statistics and without decay towards the original parameters):

    theta -= learning_rate * g / (sqrt(M) + EPSILON)

    g is the gradient of the loss of a SEGMENT of characters, summed over them. The update follows their prediction. M
    is the mean of g * g. The paper takes it over the training text. Here it starts from RMSprop's mean square in the
    checkpoint, rescaled to single segments, and includes each segment of this text before it is used. If the checkpoint
    has no mean square, M is taken over this text alone.
    """

    EPSILON = 1e-8

    def __init__(self, network: FusedCharRNN, checkpoint: Checkpoint, learning_rate: float) -> None:
        self._network, self._learning_rate = network, learning_rate
        known = mean_square(checkpoint)
        self._mean_square = torch.zeros_like(network.params) if known is None else known.to(network.params)
        self._segments = 0 if known is None else KNOWN_SEGMENTS

    def __call__(self, x: Tensor, y: Tensor, state: list[Tensor]) -> None:
        """Update the parameters on x and y `[SEGMENT, 1]`; advances `state` from before x to after it, in place."""
        self._network.training_pass(x, y, state, None, alias=False)
        gradient = self._network.grad_params
        self._segments += 1
        self._mean_square.lerp_(gradient.square(), 1 / self._segments)
        denominator = self._mean_square.sqrt().add_(self.EPSILON)
        self._network.params.addcdiv_(gradient, denominator, value=-self._learning_rate)


def mean_square(checkpoint: Checkpoint) -> Tensor | None:
    """Return the mean square `[n]` of the gradients of single segments, or None if the checkpoint has none of RMSprop.

    In training, gradients are means over the rows of a batch and sums over seq_length. They are mostly noise, so that
    their square is inversely proportional to the number of rows and proportional to the length.
    """
    found = ((checkpoint.progress or {}).get("optimizer") or {}).get("mean_square")
    sizes = [checkpoint.opt.get(name) for name in ("batch_size", "seq_length")]
    if not isinstance(found, Tensor) or not all(isinstance(size, int) and size > 0 for size in sizes):
        return None
    return found * (sizes[0] * SEGMENT / sizes[1])


def pieces(count: int, sizes: Sequence[int]) -> Iterator[slice]:
    """Yield slices that cover `count` places, with these sizes in descending order; the last size must be 1."""
    place = 0
    for size in sizes:
        while count - place >= size:
            yield slice(place, place + size)
            place += size

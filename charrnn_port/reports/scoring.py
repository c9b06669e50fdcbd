"""How well a network foretells a text: figures for each of its characters.

    reader = Reader(network)
    for block in TextStream(path, {name: vocab}):
        figures = reader.read(vocab.encode(block.units))

What is computed is an evaluation's arithmetic at batch 1, the state being carried from the first character to the last.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model.fused import FusedCharRNN

SIZES = (256, 64, 16, 4, 1)  # time steps of a pass: few sizes, since each has its buffers
SEGMENT = 20  # characters after which a network learns, in dynamic evaluation
LEARN_SIZES = (SEGMENT, 4, 1)  # the same then
KNOWN_SEGMENTS = 1000  # as so many segments counts what training found


class CharacterScores(NamedTuple):
    """What a network foretold of n characters in a row, each from all those before it."""

    ids: np.ndarray  # [n] int64: the characters that came
    predictions: np.ndarray  # [n, vocab_size], float64 or float32: log-probabilities of all that could have come

    @property
    def log_probs(self) -> np.ndarray:
        """Of those that came, `[n]`, in nats."""
        return self.predictions[np.arange(len(self.ids)), self.ids]

    @property
    def ranks(self) -> np.ndarray:
        """1 where the likeliest came, `[n]`: one more than the number of likelier ones."""
        return 1 + (self.predictions > self.log_probs[:, None]).sum(1)

    @property
    def entropies(self) -> np.ndarray:
        """How uncertain the predictions were, `[n]`, in nats: - sum p log p."""
        probabilities = np.exp(self.predictions)
        return -(probabilities * np.where(probabilities > 0, self.predictions, 0)).sum(1)

    def most_likely(self, count: int) -> np.ndarray:
        """The ids that were the likeliest, `[n, count]`, the very likeliest first."""
        return np.argsort(-self.predictions, axis=1, kind="stable")[:, :count]


class Reader:
    """A network that reads one text from the zero state."""

    def __init__(self, network: FusedCharRNN, learn: "Learning | None" = None) -> None:
        """With `learn`, the network's parameters change while it reads."""
        self._network, self._learn = network, learn
        self._state = network.zero_state(1)
        self._last: list[int] = []  # the character that the network has not read yet, since nothing followed

    def read(self, ids: Sequence[int]) -> CharacterScores:
        """Go on by these characters. Nothing foretells the very first one, so that there are no figures of it."""
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
    """Dynamic evaluation: a network goes on learning on the text that it is measured by (Krause et al. 2018, arXiv:
    1709.07432, section 5, with RMS and without the decay towards the old parameters):

    theta -= learning_rate * g / (sqrt(M) + EPSILON)

    for the gradient g of the loss of each SEGMENT of characters, summed over them, once their figures are taken; M is
    the mean of its square. In the paper it is that over the training text. Here it begins with what RMSprop left in the
    checkpoint, made as large as it would be for single segments, and goes on over those of this text, each before it is
    used; where the checkpoint has none, M is of this text alone.
    """

    EPSILON = 1e-8

    def __init__(self, network: FusedCharRNN, checkpoint: Checkpoint, learning_rate: float) -> None:
        self._network, self._learning_rate = network, learning_rate
        known = mean_square(checkpoint)
        self._mean_square = torch.zeros_like(network.params) if known is None else known.to(network.params)
        self._segments = 0 if known is None else KNOWN_SEGMENTS

    def __call__(self, x: Tensor, y: Tensor, state: list[Tensor]) -> None:
        """Learn from x and y, `[SEGMENT, 1]`; `state`, that before them, becomes that after them."""
        self._network.training_pass(x, y, state, None, alias=False)
        gradient = self._network.grad_params
        self._segments += 1
        self._mean_square.lerp_(gradient.square(), 1 / self._segments)
        denominator = self._mean_square.sqrt().add_(self.EPSILON)
        self._network.params.addcdiv_(gradient, denominator, value=-self._learning_rate)


def mean_square(checkpoint: Checkpoint) -> Tensor | None:
    """Of the gradients `[n]` of single segments, from what RMSprop kept in a checkpoint; None where it kept nothing.

    Training's gradients are means over the rows of a batch and sums over seq_length. Most of them is chance, and so
    their square falls with the number of rows and grows with the length.
    """
    found = ((checkpoint.progress or {}).get("optimizer") or {}).get("mean_square")
    sizes = [checkpoint.opt.get(name) for name in ("batch_size", "seq_length")]
    if not isinstance(found, Tensor) or not all(isinstance(size, int) and size > 0 for size in sizes):
        return None
    return found * (sizes[0] * SEGMENT / sizes[1])


def pieces(count: int, sizes: Sequence[int]) -> Iterator[slice]:
    """So many places in pieces of these sizes, the largest first, the last of which is 1."""
    place = 0
    for size in sizes:
        while count - place >= size:
            yield slice(place, place + size)
            place += size

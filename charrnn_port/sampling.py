"""The stream of characters that sample.lua prints."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
import torch

from charrnn_port.checkpoint import Checkpoint
from charrnn_port.device import choose_dtype, record
from charrnn_port.torch7.random import Generator
from model.char_rnn import carry
from model.fused import FusedCharRNN
from util.errors import UserError


def encode(text: bytes, vocab: bytes) -> list[int]:
    """The ids of a text. Raises UserError for a byte that the vocabulary lacks, with its position."""
    for position, byte in enumerate(text):
        if byte not in vocab:
            raise UserError(
                f"-primetext has {bytes([byte])!r} at position {position} (from 0), which the training text "
                "never has: leave it out"
            )
    return [vocab.index(byte) for byte in text]


def sample_bytes(
    checkpoint: Checkpoint,
    length: int = 2000,
    *,
    primetext: bytes = b"",
    temperature: float = 1.0,
    argmax: bool = False,
    seed: int = 123,
    device: torch.device | str = "cpu",
) -> Iterator[bytes]:
    """The bytes that sample.py prints for a checkpoint, one by one: `primetext`, then `length` more.

    Computed in double precision on a CPU and in single on a GPU. Raises UserError for a byte in `primetext`
    that the training text never has.
    """
    prime = encode(primetext, checkpoint.vocab)
    device = torch.device(device)
    network = checkpoint.build("fused", choose_dtype("auto", device), device)
    ids = sample(network, Generator(seed), length, prime, temperature, argmax)
    return (checkpoint.vocab[id_ : id_ + 1] for id_ in ids)


def sample(
    network: FusedCharRNN,
    random: Generator,
    length: int,
    prime: list[int] | None = None,
    temperature: float = 1.0,
    argmax: bool = False,
) -> Iterator[int]:
    """Ids, one by one: those of `prime`, fed to the network, then `length` that it predicts.

    Each is drawn from the probabilities ** (1 / temperature), or is the likeliest with `argmax`. Without
    `prime` the first is drawn from the uniform distribution.
    """
    device = network.params.device.type
    predict = (GraphedPredictor if device == "cuda" else Predictor)(network, in_numpy=device == "cpu")
    if prime:
        yield from prime
        prediction = predict.prime(prime)
    else:
        # Torch7 fills in probabilities here where log-probabilities belong; all equal, they come to the same.
        prediction = np.full(network.vocab_size, 1 / network.vocab_size)
    for _ in range(length):
        id_ = int(prediction.argmax()) if argmax else draw(prediction, random, temperature)
        yield id_
        prediction = predict(id_)


class Predictor:
    """What comes next, character by character: a network with the state of one sequence.

    On a CPU `in_numpy`: with vectors this short a character takes half as long as in PyTorch.
    """

    def __init__(self, network: FusedCharRNN, in_numpy: bool = True) -> None:
        self.network = network
        self.convert = (lambda tensor: tensor.detach().numpy()) if in_numpy else torch.Tensor.detach
        self.functions = (numpy_sigmoid, np.tanh) if in_numpy else (torch.sigmoid, torch.tanh)
        first, *_ = layers = network.weights()
        self.first_sums = self.convert(first.rows + first.i2h_bias + first.h2h_bias)  # [V, n]
        self.layers = [
            [self.convert(tensor) for tensor in (each.i2h, each.i2h_bias + each.h2h_bias, each.h2h)] for each in layers
        ]
        self.decoder = [self.convert(network.decoder[name]) for name in ("weight", "bias")]
        self.set_state(network.zero_state(1))

    def set_state(self, state: list[torch.Tensor]) -> None:
        """Take over a state of batch size 1, `[1, H]` each."""
        self.state = self._by_layer([self.convert(tensor[0].clone()) for tensor in state])

    def _by_layer(self, state: list) -> list[list]:
        width = len(self.network.cell.STATE)
        return [state[i : i + width] for i in range(0, len(state), width)]

    def prime(self, ids: list[int]) -> np.ndarray:
        """Feed a text in one pass over the whole sequence; log-probabilities `[V]` of what follows."""
        x = torch.tensor(ids, device=self.network.params.device)[:, None]
        log_probs, state = self.network.log_probs(x, self.network.zero_state(1))
        self.set_state(state)
        return log_probs[-1, 0].cpu().numpy()

    def __call__(self, id_: int) -> np.ndarray:
        """Feed one character; log-probabilities `[V]` of the next, up to a constant that sampling divides out."""
        scores = self.scores(self.first_sums[id_])
        return scores if isinstance(scores, np.ndarray) else scores.cpu().numpy()

    def scores(self, sums):
        """What __call__ returns, from the first layer's sums `[n]` without h2h; an array or tensor `[V]`."""
        output = None
        for index, (i2h_weight, bias, h2h_weight) in enumerate(self.layers):
            if index > 0:
                sums = bias + i2h_weight @ output
            self.state[index] = self.network.cell.advance(sums, *self.state[index], h2h_weight, *self.functions)
            output = self.state[index][-1]
        weight, bias = self.decoder
        scores = bias + weight @ output
        scores -= scores.max()
        return scores


class GraphedPredictor(Predictor):
    """On a CUDA device, with all that a character takes in one graph."""

    def set_state(self, state: list[torch.Tensor]) -> None:
        """As Predictor's."""
        super().set_state(state)
        self._id = torch.zeros(1, dtype=torch.int64, device=state[0].device)
        self._run, self._calls = self._advance, 0

    def __call__(self, id_: int) -> np.ndarray:
        """As Predictor's."""
        self._id.fill_(id_)
        self._calls += 1
        if self._calls == 2:  # once as it is, so that libraries load what they need
            self._run = record(self._advance)
        self._run()
        return self._scores.cpu().numpy()

    def _advance(self) -> None:
        state = list(chain(*self.state))
        self._scores = self.scores(self.first_sums.index_select(0, self._id)[0])
        carry(list(chain(*self.state)), state)  # where the next replay looks for it
        self.state = self._by_layer(state)


def numpy_sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without its overflow."""
    result = 0.5 * x
    np.tanh(result, out=result)
    result *= 0.5
    result += 0.5
    return result


def draw(prediction: np.ndarray, random: Generator, temperature: float) -> int:
    """One id, drawn from log-probabilities `[vocab_size]`."""
    probabilities = np.exp(prediction / temperature)
    probabilities /= probabilities.cumsum()[-1]  # Torch7 sums from the left
    return random.multinomial(probabilities.astype(np.float32))

"""The stream of characters that sample.lua prints."""

from collections.abc import Iterator

import numpy as np
import torch

from charrnn_port.torch7.random import Generator
from model.char_rnn import CharRNN
from util.errors import UserError


def encode(text: bytes, vocab: bytes) -> list[int]:
    """The ids of a text. Raises UserError for a byte that the vocabulary lacks, with its position."""
    for position, byte in enumerate(text):
        if byte not in vocab:
            raise UserError(
                f"-primetext has {bytes([byte])!r} at position {position}, which the training text never has: "
                "leave it out"
            )
    return [vocab.index(byte) for byte in text]


def sample(
    network: CharRNN,
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
    state = network.zero_state(1)
    # Torch7 fills in probabilities here where log-probabilities belong; all equal, they come to the same.
    prediction = np.full(network.vocab_size, 1 / network.vocab_size)
    for id_ in prime or []:
        yield id_
        prediction, state = feed(network, id_, state)
    for _ in range(length):
        id_ = int(prediction.argmax()) if argmax else draw(prediction, random, temperature)
        prediction, state = feed(network, id_, state)
        yield id_


def draw(prediction: np.ndarray, random: Generator, temperature: float) -> int:
    """One id, drawn from log-probabilities `[vocab_size]`."""
    probabilities = np.exp(prediction / temperature)
    probabilities /= np.cumsum(probabilities)[-1]  # Torch7 sums from the left
    return random.multinomial(probabilities.astype(np.float32))


@torch.no_grad()
def feed(network: CharRNN, id_: int, state: list[torch.Tensor]) -> tuple[np.ndarray, list[torch.Tensor]]:
    """One character on: log-probabilities `[vocab_size]` of the next, and the state."""
    log_probs, state = network.log_probs(torch.tensor([[id_]], device=network.params.device), state)
    return log_probs.flatten().cpu().numpy(), state

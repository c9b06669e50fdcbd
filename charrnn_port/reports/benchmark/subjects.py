"""Build what is timed: a text, trainings as in train.py, and models as in sample.py."""

import numpy as np
import torch

from charrnn_port.model import BACKENDS
from charrnn_port.options import TrainOptions
from charrnn_port.sampling import Model
from charrnn_port.torch7.random import Generator
from charrnn_port.training import Training, initialize, training_for
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import MinibatchLoader
from charrnn_port.util.vocabulary import Vocabulary

VOCAB = bytes(range(32, 97))  # 65 characters, as many as tinyshakespeare has
SEQ_LENGTH = 50


def parse_size(text: str) -> tuple[int, int]:
    """Return (rnn_size, num_layers): (128, 2) for `128x2`. Raises UserError for invalid syntax."""
    try:
        rnn_size, num_layers = text.split("x")
        return int(rnn_size), int(num_layers)
    except ValueError as error:
        raise UserError(f"-sizes: {text!r} is invalid: expected RNN_SIZExNUM_LAYERS, such as 128x2") from error


def random_text(size: int) -> bytes:
    """Return `size` random characters of VOCAB, uniformly distributed."""
    return bytes(np.random.RandomState(1).choice(np.frombuffer(VOCAB, np.uint8), size))


def our_training(
    folder: str,
    cell: str,
    model: str,
    rnn_size: int,
    num_layers: int,
    batch_size: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Training:
    """Return a training as train.py builds it."""
    loader = MinibatchLoader(folder, batch_size, SEQ_LENGTH, 0.95, 0.05, echo=lambda line: None)
    network = BACKENDS[cell](model, len(VOCAB), rnn_size, num_layers, dtype=dtype, device=device)
    random = Generator(1)
    initialize(network, random)
    options = TrainOptions(model=model, rnn_size=rnn_size, num_layers=num_layers, batch_size=batch_size)
    return training_for(options, network, loader, random)


def our_model(rnn_size: int, num_layers: int, dtype: torch.dtype, device: torch.device) -> Model:
    """Return a model of an lstm as sample.py builds it."""
    network = BACKENDS["fused"]("lstm", len(VOCAB), rnn_size, num_layers, dtype=dtype, device=device)
    initialize(network, Generator(1))
    return Model(network, Vocabulary(VOCAB))

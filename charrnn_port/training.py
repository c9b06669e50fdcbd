"""One iteration of train.lua, and its evaluation of a split."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from charrnn_port.torch7.random import Generator
from charrnn_port.torch7.rmsprop import RMSprop
from model.char_rnn import CharRNN, carry
from util.minibatch_loader import MinibatchLoader

FORGET_BIAS = 1.0


def initialize(network: CharRNN, random: Generator) -> None:
    """Fill a new network's parameters as train.lua does, drawing from `random`.

    The layers' constructors draw a value for each parameter first, which is then overwritten.
    """
    size = network.params.numel()
    random.words(size)
    network.params.copy_(torch.from_numpy(random.uniform(-0.08, 0.08, size)))


@torch.no_grad()
def open_forget_gates(network: CharRNN, layer: int) -> None:
    """Set the forget gate's i2h bias of an lstm layer (from 0), so that it remembers at the start."""
    gates = network.layers[layer]["i2h_bias"].chunk(4)  # in, forget, out, transform
    gates[1].fill_(FORGET_BIAS)


class Training:
    """A network with its data, optimiser, random stream and the state carried from batch to batch."""

    def __init__(
        self,
        network: CharRNN,
        loader: MinibatchLoader,
        optimizer: RMSprop,
        random: Generator,
        *,
        dropout: float = 0.0,
        grad_clip: float = 5.0,
        alias_state: bool = True,
    ) -> None:
        self.network = network
        self.loader = loader
        self.optimizer = optimizer
        self.random = random
        self.dropout = dropout
        self.grad_clip = grad_clip
        self.alias_state = alias_state
        self.state = network.zero_state(loader.batch_size)
        self._first = True

    def iteration(self) -> float:
        """One batch: forward, backward, clip, update. Returns the loss before it, in nats per character."""
        x, y = self._batch(1)
        # The very first state is a buffer of its own; every later one is what the last step wrote into.
        alias = self.alias_state and not self._first
        loss = self.network.training_pass(x, y, self.state, self._masks(), alias)
        self._first = False
        gradients = self.network.grad_params
        gradients.clamp_(-self.grad_clip, self.grad_clip)
        self.optimizer.step(gradients)
        return loss.item()

    def progress(self) -> dict[str, Any]:
        """Copies of all that the next iteration depends on, the parameters aside: for `go_on` in another run."""
        return {
            "learning_rate": self.optimizer.learning_rate,
            "mean_square": self.optimizer.mean_square.to("cpu", copy=True),
            "state": [tensor.to("cpu", copy=True) for tensor in self.state],
            "random": self.random.state,
        }

    def go_on(self, iterations: int, progress: dict[str, Any]) -> None:
        """Stand where the run stood that had done so many iterations (at least one) and made this progress."""
        self.optimizer.learning_rate = progress["learning_rate"]
        self.optimizer.mean_square.copy_(progress["mean_square"])
        carry(progress["state"], self.state)
        self.random.state = progress["random"]
        self.loader.reset_batch_pointer(1, iterations)
        self._first = False

    def norm_ratio(self) -> float:
        """Norm of the clipped gradient over norm of the updated parameters, as the log line prints it."""
        return (self.network.grad_params.norm() / self.network.params.norm()).item()

    def evaluate(self, split_index: int, echo: Callable[[str], None] = print) -> float:
        """The mean loss over a split from a zero state, without dropout, in nats per character.

        With the original's aliased state, the next batch then goes on from this split's final state.
        """
        echo(f"evaluating loss over split index {split_index}")
        count = self.loader.split_sizes[split_index]
        self.loader.reset_batch_pointer(split_index)
        state = self.network.zero_state(self.loader.batch_size)
        loss = 0.0
        for number in range(1, count + 1):
            x, y = self._batch(split_index)
            loss += self.network.evaluation_pass(x, y, state).item()
            echo(f"{number}/{count}...")
        if self.alias_state:
            carry(state, self.state)
        return loss / count

    def _batch(self, split_index: int) -> tuple[Tensor, Tensor]:
        x, y = self.loader.next_batch(split_index)
        device = self.network.params.device
        return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)

    def _masks(self) -> Tensor | None:
        """Dropout masks `[seq_length, num_layers, batch_size, rnn_size]`: 0 or 1 / (1 - dropout)."""
        if self.dropout == 0:
            return None
        keep = 1 - self.dropout
        shape = (self.loader.seq_length, self.network.num_layers, *self.state[0].shape)
        return torch.from_numpy(self.random.bernoulli(keep, shape)).to(self.network.params) / keep

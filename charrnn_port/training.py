"""One iteration of train.lua, and its evaluation of a split."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from charrnn_port.parallel import Alone
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
    """A network with its data, optimiser, random stream and the state carried from batch to batch.

    Of several `processes` each has its rows of the batches and of the state; all else is the same in all of them.
    """

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
        processes: Alone | None = None,
    ) -> None:
        self.network = network
        self.loader = loader
        self.optimizer = optimizer
        self.random = random
        self.dropout = dropout
        self.grad_clip = grad_clip
        self.alias_state = alias_state
        self.processes = processes or Alone()
        self._rows = self.processes.rows(loader.batch_size)
        self.state = self._zero_state()
        self._first = True

    def iteration(self) -> float:
        """One batch: forward, backward, clip, update. Returns the loss before it, in nats per character."""
        x, y = self._batch(1)
        # The very first state is a buffer of its own; every later one is what the last step wrote into.
        alias = self.alias_state and not self._first
        loss = self._update(x, y, self._masks(), alias)
        self._first = False
        return loss.item()

    def _update(self, x: Tensor, y: Tensor, masks: Tensor | None, alias: bool) -> Tensor:
        loss = self.network.training_pass(x, y, self.state, masks, alias)
        gradients = self.network.grad_params
        self.processes.average(gradients, loss)
        gradients.clamp_(-self.grad_clip, self.grad_clip)
        self.optimizer.step(gradients)
        return loss

    def progress(self) -> dict[str, Any]:
        """Copies of all that the next iteration depends on, the parameters aside: for `go_on` in another run.

        All processes must call it at once; it does not tell how many they are.
        """
        return {
            "learning_rate": self.optimizer.learning_rate,
            "mean_square": self.optimizer.mean_square.to("cpu", copy=True),
            "state": [self.processes.gather(tensor).to("cpu", copy=True) for tensor in self.state],
            "random": self.random.state,
        }

    def go_on(self, iterations: int, progress: dict[str, Any]) -> None:
        """Stand where the run stood that had done so many iterations and made this progress."""
        self.optimizer.learning_rate = progress["learning_rate"]
        self.optimizer.mean_square.copy_(progress["mean_square"])
        carry([tensor[self._rows] for tensor in progress["state"]], self.state)
        self.random.state = progress["random"]
        self.loader.reset_batch_pointer(1, iterations)
        self._first = iterations == 0

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
        state = self._zero_state()
        loss = torch.zeros((), dtype=torch.float64)
        for number in range(1, count + 1):
            x, y = self._batch(split_index)
            loss += self.network.evaluation_pass(x, y, state).item()
            echo(f"{number}/{count}...")
        if self.alias_state:
            carry(state, self.state)
        self.processes.average(loss)
        return loss.item() / count

    def _zero_state(self) -> list[Tensor]:
        return self.network.zero_state(self._rows.stop - self._rows.start)

    def _batch(self, split_index: int) -> tuple[Tensor, Tensor]:
        x, y = self.loader.next_batch(split_index)
        device = self.network.params.device
        return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)

    def _masks(self) -> Tensor | None:
        """Dropout masks `[seq_length, num_layers, rows, rnn_size]`: 0 or 1 / (1 - dropout).

        Drawn for all rows of the batch, so that the random stream is the same in all processes.
        """
        if self.dropout == 0:
            return None
        keep = 1 - self.dropout
        shape = (self.loader.seq_length, self.network.num_layers, self.loader.batch_size, self.network.rnn_size)
        drawn = self.random.bernoulli(keep, shape)[:, :, self._rows]
        return torch.from_numpy(drawn).to(self.network.params) / keep

"""One training iteration of train.lua, and its evaluation of a split."""

import math
from collections.abc import Callable
from collections.abc import Generator as PythonGenerator
from dataclasses import asdict

import torch
from torch import Tensor

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model.char_rnn import CharRNN, add_up, carry, reset
from charrnn_port.model.update import clip_, norms, scale_
from charrnn_port.options import TrainOptions
from charrnn_port.torch7.random import Generator
from charrnn_port.training import optimizers, schedules
from charrnn_port.training.events import Evaluating, Iteration
from charrnn_port.training.loss_scale import LossScale
from charrnn_port.training.parallel import SingleProcess
from charrnn_port.util.minibatch_loader import MinibatchLoader

FORGET_BIAS = 1.0
NOT_KEPT = {"resume", "config", "print_config", "progress", "dry_run"}  # options of one process, not of the run


class Training:
    """The state of a run between two iterations.

    It consists of network, data, optimizer, schedule, random stream, carried state and losses. With several
    `processes`, each one has its own rows of the batches and of the carried state; the rest is the same in all.
    """

    def __init__(
        self,
        options: TrainOptions,
        network: CharRNN,
        loader: MinibatchLoader,
        random: Generator,
        processes: SingleProcess | None = None,
    ) -> None:
        self.options = options
        self.network = network
        self.loader = loader
        self.random = random
        self.optimizer = optimizers.create(options, network.params)
        self.schedule = schedules.create(options, self.optimizer, loader.ntrain)
        self.loss_scale = LossScale(network) if options.dtype == "float16" else None
        # In mixed precision, products keep rounded copies of the state, so overwriting the state has no effect on them.
        # A short text begins from the zero state, which the original's alias would replace.
        self.alias_state = options.state_carry == "alias" and not network.products and not loader.padded
        self.processes = processes or SingleProcess()
        self._rows = self.processes.rows(loader.batch_size)
        self.state = self._zero_state()
        self.train_losses: list[float] = []  # nats per character, one per iteration
        self.val_losses: dict[int, float] = {}  # by iteration
        # The last iteration, if its evaluation was interrupted: a resumed run begins with this evaluation.
        self.pending_evaluation: Iteration | None = None
        self._first = True

    @property
    def i(self) -> int:
        """The number of iterations done."""
        return len(self.train_losses)

    def iteration(self) -> float:
        """Train on one batch: forward, backward, clip, update.

        Returns the loss before the update, in nats per character.
        """
        loss = self._iterate()
        self.train_losses.append(loss)
        return loss

    def _iterate(self) -> float:
        x, y = self._batch(1, self.state)
        # The first state is a buffer of its own. Later ones are the buffer that the last time step writes into.
        alias = self.alias_state and not self._first
        losses = self._pass(x, y, self._masks(), alias)
        self._first = False
        fits = self.loss_scale is None or self.loss_scale.fits(self.network.grad_params)
        self._clip()
        if fits:
            self.optimizer.step(self.network.grad_params)
        return mean_loss(losses) * (self.loader.batch_size * self.loader.seq_length / self.loader.batch_targets)

    def _pass(self, x: Tensor, y: Tensor, masks: Tensor | None, alias: bool) -> Tensor:
        """Compute the gradients and return the loss of each time step, `[seq_length]`."""
        losses = self.network.training_pass(x, y, self.state, masks, alias)
        self.processes.average(self.network.grad_params, losses)
        return losses

    def _clip(self) -> None:
        gradients = self.network.grad_params
        clip_(gradients, self.options.grad_clip)
        if self.options.clip_norm:
            clip_norm(gradients, self.options.clip_norm)

    def grad_param_norm(self) -> float:
        """Return the norm of the clipped gradient divided by the norm of the updated parameters (train.lua's log)."""
        gradients, params = norms(self.network.grad_params, self.network.params)
        return gradients / params if params else math.nan

    def evaluate(
        self, split_index: int, interrupted: Callable[[], bool] = lambda: False
    ) -> PythonGenerator[Evaluating, None, float | None]:
        """Compute the mean loss over a split, from a zero state and without dropout, in nats per character.

        A generator that yields its progress and returns the loss: `loss = yield from training.evaluate(2)`. The loss is
        NaN for a split without batches. `interrupted` is called before each batch; if it returns True, the generator
        returns None and the run is unchanged. With the original's aliased state, the next training batch starts from
        the final state of this split.
        """
        count = self.loader.split_sizes[split_index]
        yield Evaluating(split_index, 0, count)
        if count == 0:  # 0 / 0 in the original, where no cell has run and so the state is unchanged
            return math.nan
        self.loader.reset_batch_pointer(split_index)
        state = self._zero_state()
        loss = 0.0
        for number in range(1, count + 1):
            if interrupted():
                return None
            x, y = self._batch(split_index, state)
            loss = add_up(self.network.evaluation_pass(x, y, state), loss)
            yield Evaluating(split_index, number, count)
        if self.alias_state:
            carry(state, self.state)
        total = torch.tensor(loss, dtype=torch.float64, device="cpu")
        self.processes.average(total)
        places = count * self.loader.batch_size * self.loader.seq_length
        return total.item() / self.loader.seq_length / count * (places / self.loader.targets(split_index))

    def checkpoint(self) -> Checkpoint:
        """Return a checkpoint of the state after the last iteration. It holds copies.

        All processes must call it together. The result does not depend on their number.
        """
        return Checkpoint(
            opt={name: value for name, value in self.options.to_checkpoint().items() if name not in NOT_KEPT},
            vocab=self.loader.vocab,
            params=self.network.params.to("cpu", copy=True),
            i=self.i,
            epoch=self.i / self.loader.ntrain,
            train_losses=self.train_losses.copy(),
            val_losses=self.val_losses.copy(),
            val_loss=self.val_losses[max(self.val_losses)] if self.val_losses else math.nan,
            progress={
                "optimizer": self.optimizer.state(),
                "schedule": self.schedule.state(),
                "state": [self.processes.gather(tensor).to("cpu", copy=True) for tensor in self.state],
                "random": self.random.state,
                "text": self.loader.digest,
                "unfinished": asdict(self.pending_evaluation) if self.pending_evaluation else None,
                **({"loss_scale": self.loss_scale.state()} if self.loss_scale else {}),
            },
        )

    def restore(self, saved: Checkpoint) -> None:
        """Restore the training state from a checkpoint, except the parameters, which the network has already.

        Raises KeyError or TypeError for a checkpoint with missing or wrong parts.
        """
        progress = saved.progress
        self.optimizer.load_state(progress["optimizer"])
        self.schedule.load_state(progress["schedule"])
        if self.loss_scale:
            self.loss_scale.load_state(progress["loss_scale"])
        carry([tensor[self._rows] for tensor in progress["state"]], self.state)
        self.random.state = progress["random"]
        self.loader.reset_batch_pointer(1, saved.i)
        self.train_losses, self.val_losses = saved.train_losses.copy(), saved.val_losses.copy()
        self._first = saved.i == 0
        pending_evaluation = progress.get("unfinished")
        self.pending_evaluation = Iteration(**pending_evaluation) if pending_evaluation else None

    def _zero_state(self) -> list[Tensor]:
        return self.network.zero_state(self._rows.stop - self._rows.start)

    def _batch(self, split_index: int, state: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the next batch of a split, x and y `[seq_length, rows]`; reset the state where a text begins."""
        x, y = self.loader.next_batch(split_index)
        device = self.network.params.device
        if self.loader.begins is not None:
            reset(state, torch.from_numpy(self.loader.begins).to(device))
        return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)

    def _masks(self) -> Tensor | None:
        """Dropout masks `[seq_length, num_layers, rows, rnn_size]`: 0 or 1 / (1 - dropout).

        Drawn for all rows of the batch, so that the random stream is the same in all processes.
        """
        if self.options.dropout == 0:
            return None
        keep = 1 - self.options.dropout
        shape = (self.loader.seq_length, self.network.num_layers, self.loader.batch_size, self.network.rnn_size)
        drawn = self.random.bernoulli(keep, shape)[:, :, self._rows]
        return torch.from_numpy(drawn).to(self.network.params) / keep


def mean_loss(losses: Tensor) -> float:
    """Return the mean of the losses of time steps `[T]`, rounded as in train.lua."""
    return add_up(losses) / len(losses)


def clip_norm(gradients: Tensor, maximum: float) -> None:
    """Scale the gradients `[n]` in place to the Euclidean norm `maximum` if theirs is larger.

    Equals `torch.nn.utils.clip_grad_norm_`.
    """
    norm, _ = norms(gradients, gradients)
    scale_(gradients, min(1.0, maximum / (norm + 1e-6)))


def initialize(network: CharRNN, random: Generator) -> None:
    """Initialize the parameters of a new network from a uniform distribution on [-0.08, 0.08], as in train.lua.

    In train.lua the constructors of the layers draw a value for each parameter first. These draws are skipped here.
    """
    size = network.params.numel()
    random.words(size)
    network.params.copy_(torch.from_numpy(random.uniform(-0.08, 0.08, size)))


@torch.no_grad()
def open_forget_gates(network: CharRNN, layer: int) -> None:
    """Set the i2h bias of the forget gate of an LSTM layer (counted from 0) to 1, so that it remembers at first."""
    gates = network.layers[layer]["i2h_bias"].chunk(4)  # in, forget, out, transform
    gates[1].fill_(FORGET_BIAS)

"""The network of train.lua: one-hot input, layers of one cell, dropout after each, a linear decoder and log-softmax.

Letters in shapes: T = seq_length, B = batch_size, H = rnn_size, V = vocab_size.
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, nll_loss

from charrnn_port.model import gru, lstm, rnn
from charrnn_port.model.log_softmax import LOG_SOFTMAX
from charrnn_port.util.errors import UserError
from charrnn_port.util.model_utils import flat_parameters
from charrnn_port.util.one_hot import one_hot
from charrnn_port.util.vocabulary import IGNORED

CELLS = {"lstm": lstm, "gru": gru, "rnn": rnn}


class CharRNN:
    """A stack of cells that runs step by step and is differentiated by autograd.

    `params` and `grad_params` are flat vectors `[n]`; all parameters and gradients are views of them: those of
    `layers`, by name in the cell's order, then the `decoder`'s weight `[V, H]` and bias `[V]`.

    The state is a list of `[B, H]` tensors, layer by layer in the cell's order (lstm: c, h).

    `torch7` is the year of the Torch7 version whose log-softmax is used (model/log_softmax.py).
    """

    def __init__(
        self,
        model: str,
        vocab_size: int,
        rnn_size: int,
        num_layers: int,
        *,
        scripted: bool = False,
        torch7: str = "2017",
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.model = model
        self.vocab_size = vocab_size
        self.rnn_size = rnn_size
        self.num_layers = num_layers
        self.cell = CELLS[model]
        self.torch7 = torch7
        self.log_softmax, self.log_softmax_ = LOG_SOFTMAX[torch7]
        self._step = script(self.cell.step) if scripted else self.cell.step
        self.products: torch.dtype | None = None  # mixed precision: the dtype of the factors of matrix products
        self.padded = False  # whether targets may be IGNORED: these have no loss and no gradient
        self.loss_scale = 1.0  # multiplies the loss before the backward pass; divides the gradients after it

        input_sizes = [vocab_size] + [rnn_size] * (num_layers - 1)
        parts = [self.cell.parameter_shapes(input_size, rnn_size) for input_size in input_sizes]
        parts.append({"weight": (vocab_size, rnn_size), "bias": (vocab_size,)})
        shapes = [shape for part in parts for shape in part.values()]
        self.params, self.grad_params, tensors = flat_parameters(shapes, dtype, device)
        remaining = iter(tensors)
        *self.layers, self.decoder = [{name: next(remaining) for name in part} for part in parts]

    def zero_state(self, batch_size: int) -> list[Tensor]:
        """Return the state before the first character: a zero tensor for each layer and name in the cell's STATE."""
        count = self.num_layers * len(self.cell.STATE)
        return [self.params.new_zeros(batch_size, self.rnn_size) for _ in range(count)]

    def log_probs(self, x: Tensor, state: Sequence[Tensor], masks: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Return the log-probabilities `[T, B, V]` of every next character, and the state after x `[T, B]` int64.

        masks `[T, num_layers, B, H]` multiply the output of each layer (dropout); None means no dropout.

        Raises IndexError for an invalid id on a CPU, as the passes below do for x and y.
        """
        require_ids(x, self.vocab_size)
        with torch.autocast(self.params.device.type, self.products, enabled=self.products is not None):
            return self._log_probs(x, state, masks)

    def _log_probs(self, x: Tensor, state: Sequence[Tensor], masks: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        width = len(self.cell.STATE)
        log_probs = []
        for t, ids in enumerate(x):
            output = one_hot(ids, self.vocab_size, self.params.dtype)
            next_state: list[Tensor] = []
            for index, parameters in enumerate(self.layers):
                next_state += self._step(output, *state[index * width : (index + 1) * width], *parameters.values())
                output = next_state[-1]
                if masks is not None:
                    output = output * masks[t, index]
            state = next_state
            log_probs.append(self.log_softmax(linear(output, **self.decoder).to(self.params.dtype)))
        return torch.stack(log_probs), list(state)

    @torch.no_grad()
    def activations(self, ids: Tensor, state: Sequence[Tensor]) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Compute one time step for ids `[B]` int64. Return the gates and states of each layer, and log-probabilities.

        The gates (the cell's GATE_NAMES) and the state after the step (STATE) are `[B, H]`, by name; the
        log-probabilities are `[B, V]`.
        """
        require_ids(ids, self.vocab_size)
        width, names = len(self.cell.STATE), (*self.cell.GATE_NAMES, *self.cell.STATE)
        output = one_hot(ids, self.vocab_size, self.params.dtype)
        layers = []
        for index, parameters in enumerate(self.layers):
            before = state[index * width : (index + 1) * width]
            computed = self.cell.step_with_gates(output, *before, *parameters.values())
            layers.append(dict(zip(names, computed, strict=True)))
            output = computed[-1]
        return layers, self.log_softmax(linear(output, **self.decoder))

    def require_targets(self, y: Tensor) -> None:
        """Raise IndexError for an invalid target in y `[T, B]`, as `require_ids` does. IGNORED is valid if `padded`."""
        require_ids(y.masked_fill(y == IGNORED, 0) if self.padded else y, self.vocab_size)

    def step_losses(self, log_probs: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each time step `[T]`, the mean over the batch in nats per character.

        log_probs `[T, B, V]`, targets y `[T, B]` int64. The loss of an IGNORED target is 0.
        """
        return nll_loss(log_probs.flatten(0, 1), y.flatten(), reduction="none").view_as(y).mean(1)

    def training_pass(self, x: Tensor, y: Tensor, state: Sequence[Tensor], masks: Tensor | None, alias: bool) -> Tensor:
        """Do a forward and a backward pass: fill `grad_params`, advance `state` in place, return the losses `[T]`.

        The losses are batch means for each time step, in nats per character. The gradient is that of their *sum*, as
        in train.lua: seq_length times that of the loss, which is their mean.

        With `alias` the final state overwrites `state` before the backward pass, which then reads it as the state
        before t = 1. The original does this from its second batch on, because the state it carries over is the buffer
        that its last time step writes to.

        x, y: `[T, B]` int64; state: `[B, H]` each; masks: as in `log_probs`.
        """
        self.require_targets(y)
        log_probs, final = self.log_probs(x, state, masks)
        losses = self.step_losses(log_probs, y)
        if alias:
            carry(final, state)
        self.grad_params.zero_()
        (losses.sum() * self.loss_scale).backward()
        if self.loss_scale != 1:
            self.grad_params.div_(self.loss_scale)
        if not alias:
            carry(final, state)
        return losses.detach()

    @torch.no_grad()
    def evaluation_pass(self, x: Tensor, y: Tensor, state: Sequence[Tensor]) -> Tensor:
        """Return the loss of each time step `[T]`, without dropout or gradients; advance `state` in place."""
        self.require_targets(y)
        log_probs, final = self.log_probs(x, state)
        carry(final, state)
        return self.step_losses(log_probs, y)


def add_up(losses: Tensor, total: float = 0.0) -> float:
    """Add the losses of time steps `[T]` to a total one by one: Torch7's last digit depends on that order.

    (From Python 3.12 on, the built-in `sum` compensates for rounding.)
    """
    for loss in losses.tolist():
        total += loss
    return total


def require_ids(ids: Tensor, vocab_size: int) -> None:
    """Raise IndexError for ids out of range. Skipped on a GPU, where the check would force a synchronization.

    Otherwise PyTorch would count negative ids from the end or ignore them, and C would read beyond an array.
    """
    if ids.device.type == "cpu" and ids.numel():
        for id_ in torch.stack(torch.aminmax(ids)).tolist():
            if not 0 <= id_ < vocab_size:
                raise IndexError(f"invalid character id {id_}: expected 0 to {vocab_size - 1}")


def carry(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    """Copy one state over another without autograd's knowledge: tensors of `target` that it saved change too."""
    for tensor, value in zip(target, source, strict=True):
        tensor.data.copy_(value)


def reset(state: Sequence[Tensor], rows: Tensor) -> None:
    """Set the rows of a state for which `rows` `[B]` bool is true to zero, in place."""
    for tensor in state:
        tensor.data[rows] = 0


def script(step: Callable) -> Callable:
    """Compile a step with TorchScript. Raises UserError if this PyTorch has no TorchScript."""
    with warnings.catch_warnings():
        # TorchScript is deprecated in PyTorch, but on CUDA it still fuses a step's pointwise operations.
        warnings.simplefilter("ignore")
        try:
            return torch.jit.script(step)
        except (AttributeError, NotImplementedError, RuntimeError) as error:
            raise UserError(
                f"-cell script: PyTorch {torch.__version__} has no TorchScript for this Python; use plain or fused"
            ) from error

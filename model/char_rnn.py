"""The network of train.lua: one-hot input, layers of one cell with dropout between, decoder, log-softmax.

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

CELLS = {"lstm": lstm, "gru": gru, "rnn": rnn}


class CharRNN:
    """A stack of cells written out step by step, differentiated by autograd.

    `params` and `grad_params` are the flat vectors `[n]` that all parameters and gradients are views of:
    `layers`, each by name in the cell's order, then the `decoder`'s weight `[V, H]` and bias `[V]`.

    The state is a list of `[B, H]` tensors, layer by layer in the cell's order (lstm: c, h).

    `torch7` is the year of the Torch7 whose log-softmax it has (model/log_softmax.py).
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
        self.products: torch.dtype | None = None  # mixed precision: the type that factors of products are rounded to
        self.loss_scale = 1.0  # the loss is multiplied by it before the backward pass, and the gradients divided after

        input_sizes = [vocab_size] + [rnn_size] * (num_layers - 1)
        parts = [self.cell.parameter_shapes(input_size, rnn_size) for input_size in input_sizes]
        parts.append({"weight": (vocab_size, rnn_size), "bias": (vocab_size,)})
        shapes = [shape for part in parts for shape in part.values()]
        self.params, self.grad_params, tensors = flat_parameters(shapes, dtype, device)
        remaining = iter(tensors)
        *self.layers, self.decoder = [{name: next(remaining) for name in part} for part in parts]

    def zero_state(self, batch_size: int) -> list[Tensor]:
        """The state before the first character: a zero tensor for each layer and name in the cell's STATE."""
        count = self.num_layers * len(self.cell.STATE)
        return [self.params.new_zeros(batch_size, self.rnn_size) for _ in range(count)]

    def log_probs(self, x: Tensor, state: Sequence[Tensor], masks: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Log-probabilities of every next character: x `[T, B]` int64 → `[T, B, V]`, and the state after it.

        masks `[T, num_layers, B, H]` multiply the output of each layer (dropout); None leaves it as it is.

        Raises IndexError on a CPU for an id that is of no character, as the passes below do for x and y.
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
        """One time step, ids `[B]` int64, with what the plain cells compute on the way, in each layer, by name:

        the gates (the cell's GATE_NAMES) and the state after it (STATE), each `[B, H]`. And as `log_probs`, `[B, V]`.
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

    def step_losses(self, log_probs: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each time step `[T]`, the mean over the batch in nats per character.

        log_probs `[T, B, V]`, targets y `[T, B]` int64.
        """
        return nll_loss(log_probs.flatten(0, 1), y.flatten(), reduction="none").view_as(y).mean(1)

    def training_pass(self, x: Tensor, y: Tensor, state: Sequence[Tensor], masks: Tensor | None, alias: bool) -> Tensor:
        """Do a forward and a backward pass: fill `grad_params`, advance `state` in place, return the losses `[T]`.

        They are the time steps' batch means, in nats per character. The gradient is of their *sum*, as in train.lua:
        seq_length times that of the loss, which is their mean.

        With `alias` the final state is written over `state` before the backward pass, which then reads it as
        the state before t = 1. The original does so from its second batch on, because the state it carries
        over is the very buffer its last time step writes into.

        x, y: `[T, B]` int64; state: `[B, H]` each; masks: as in `log_probs`.
        """
        require_ids(y, self.vocab_size)
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
        """Return the loss of each time step `[T]`, without dropout and gradients; advance `state` in place."""
        require_ids(y, self.vocab_size)
        log_probs, final = self.log_probs(x, state)
        carry(final, state)
        return self.step_losses(log_probs, y)


def add_up(losses: Tensor, total: float = 0.0) -> float:
    """Add the losses of time steps `[T]` to a total, one after the other: Torch7's last digit depends on that order.

    (Python's own `sum` compensates for rounding, from 3.12 on.)
    """
    for loss in losses.tolist():
        total += loss
    return total


def require_ids(ids: Tensor, vocab_size: int) -> None:
    """Raises IndexError for ids that are none, where they can be looked at: of a GPU nobody waits for that.

    Negative ones would be taken as from the end, or as to be left out; larger ones are read from beyond an array in C.
    """
    if ids.device.type == "cpu" and ids.numel():
        for id_ in torch.stack(torch.aminmax(ids)).tolist():
            if not 0 <= id_ < vocab_size:
                raise IndexError(f"there is no character {id_} in a vocabulary of {vocab_size}: they count from 0")


def carry(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    """Copy one state over another behind autograd's back: what it saved of `target` changes with it."""
    for tensor, value in zip(target, source, strict=True):
        tensor.data.copy_(value)


def script(step: Callable) -> Callable:
    """The step compiled by TorchScript. Raises UserError where this PyTorch has none."""
    with warnings.catch_warnings():
        # TorchScript is deprecated upstream; on CUDA it still fuses a step's pointwise operations.
        warnings.simplefilter("ignore")
        try:
            return torch.jit.script(step)
        except (AttributeError, NotImplementedError, RuntimeError) as error:
            raise UserError(
                f"-cell script: PyTorch {torch.__version__} has no TorchScript for this Python; take plain or fused"
            ) from error

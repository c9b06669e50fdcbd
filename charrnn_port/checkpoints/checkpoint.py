"""Defines the values of a checkpoint and checks that they are consistent."""

import hashlib
import math
import reprlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS, CharRNN
from charrnn_port.model.log_softmax import LOG_SOFTMAX
from charrnn_port.model.memory import parameter_count
from charrnn_port.util.errors import UserError
from charrnn_port.util.escapes import unescape
from charrnn_port.util.vocabulary import Vocabulary


@dataclass(repr=False)
class Checkpoint:
    """The values of a checkpoint, with the original's names (except `params`, there `protos`)."""

    opt: dict[str, str | int | float]  # the run's options; rnn_size, num_layers, model and dropout are the network's
    vocab: Vocabulary
    params: Tensor  # flat [n], float64 or float32, on the CPU; see CharRNN
    i: int  # number of iterations done
    epoch: float
    train_losses: list[float]  # nats per character, for each iteration
    val_losses: dict[int, float]  # nats per character, by iteration
    val_loss: float  # the latest of them, NaN before the first
    # Training state for -resume: the states of `optimizer` and `schedule`, the network's `state` (tensors
    # [batch_size, rnn_size]), the state of the `random` stream, the SHA-256 of the `text`, an `unfinished` iteration
    # whose evaluation was interrupted, and the `loss_scale` of float16. None in checkpoints of the original.
    progress: dict | None = None
    version: str = ""  # of charrnn_port; "" for the original and for versions before 0.2

    def __repr__(self) -> str:
        model, rnn_size, num_layers = (self.opt.get(name, "?") for name in ("model", "rnn_size", "num_layers"))
        return (
            f"Checkpoint({model} {rnn_size}x{num_layers}, {len(self.vocab)} characters, iteration {self.i}, "
            f"epoch {self.epoch:.2f}, val_loss {self.val_loss:.4f})"
        )

    def build(
        self, cell: str, dtype: torch.dtype, device: torch.device | str = "cpu", torch7: str | None = None
    ) -> CharRNN:
        """Return the network; `cell` is a key of BACKENDS, `torch7` one of LOG_SOFTMAX (default: the run's).

        Raises UserError if parameters are NaN or infinite.
        """
        self.require_finite()
        sizes = [self.opt[name] for name in ("rnn_size", "num_layers")]
        torch7 = torch7 or self.opt.get("torch7", "2017")  # files of the original do not record it
        network = BACKENDS[cell](self.opt["model"], len(self.vocab), *sizes, torch7=torch7, dtype=dtype, device=device)
        network.params.copy_(self.params)
        return network

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of the parameters, which is equal for equal networks."""
        return fingerprint(self.params)

    @property
    def separator(self) -> bytes:
        """Return what ends each of many short texts (-separator), or b"" for a network of one long text."""
        return unescape(str(self.opt.get("separator", "")), "-separator")

    @property
    def sampling_dtype(self) -> str:
        """Return the type that probabilities are rounded to before sampling: float64 in torch-rnn, else float32."""
        return self.opt.get("drawn_from", "float32")

    @property
    def not_finite(self) -> int:
        """Return the number of parameters that are NaN or infinite."""
        return self.params.numel() - int(self.params.isfinite().sum())

    def require_finite(self) -> None:
        """Raise UserError if parameters are NaN or infinite: all that the network computes would be NaN."""
        if count := self.not_finite:
            raise UserError(
                f"{count:,} of the network's {self.params.numel():,} parameters are NaN or infinite, as after a loss "
                "that diverged: use an earlier checkpoint"
            )

    def require_consistent(self) -> None:
        """Raise ValueError if values have wrong types or do not fit together."""
        kinds = (dict, Vocabulary, Tensor, int, float, list, dict, float, dict | None, str)
        for (name, value), kind in zip(vars(self).items(), kinds, strict=True):
            if not isinstance(value, kind):
                raise ValueError(f"{name} is a {type(value).__name__}")
        in_bytes = self.vocab.encoding in ("bytes", "bpe")
        if not in_bytes and not is_text("".join(self.vocab.symbols), "strict"):
            raise ValueError("vocab has unpaired surrogates")
        if not all(map(is_number, [*self.train_losses, *self.val_losses.values(), self.i])) or self.i < 0:
            raise ValueError("losses must be numbers, and iterations a count")
        if not all(isinstance(i, int) and is_number(i) for i in self.val_losses):
            raise ValueError("val_losses must have iterations as keys")
        if not all(is_text(name) and (is_text(value) or is_number(value)) for name, value in self.opt.items()):
            raise ValueError("opt must have names with strings or numbers")
        model, rnn_size, num_layers, dropout = (
            self.opt.get(name) for name in ("model", "rnn_size", "num_layers", "dropout")
        )
        if model not in CELLS or not all(isinstance(size, int) and size > 0 for size in (rnn_size, num_layers)):
            raise ValueError(f"opt has {shown(model=model, rnn_size=rnn_size, num_layers=num_layers)}")
        if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
            raise ValueError(f"opt has {shown(dropout=dropout)}")
        if (torch7 := self.opt.get("torch7", "2017")) not in LOG_SOFTMAX:
            raise ValueError(f"opt has {shown(torch7=torch7)}")
        if self.sampling_dtype not in ("float32", "float64"):
            raise ValueError(f"opt has {shown(drawn_from=self.sampling_dtype)}")
        count = parameter_count(model, len(self.vocab), rnn_size, num_layers)
        if self.params.shape != (count,) or self.params.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"params are {self.params.dtype} {list(self.params.shape)}, "
                f"not {count if count < 10**15 else 'more than 10^15'} numbers"
            )
        if self.progress is not None and not self._progress_fits():
            raise ValueError("progress does not fit the network")

    def _progress_fits(self) -> bool:
        """Return whether Training.restore can use `progress`."""
        try:
            shape = (self.opt["batch_size"], self.opt["rnn_size"])
            optimizer, schedule, state, random = (
                self.progress[name] for name in ("optimizer", "schedule", "state", "random")
            )
            if not all(isinstance(part, dict) for part in (optimizer, schedule, random)):
                return False
            key, pos = random["key"], random["pos"]
            pending_evaluation = self.progress.get("unfinished")
            loss_scale = self.progress.get("loss_scale", {})
            return (
                len(self.train_losses) == self.i
                and isinstance(optimizer["learning_rate"], float)
                and all(is_number(value) or self._fits(value, self.params.shape) for value in optimizer.values())
                and all(map(is_number, schedule.values()))
                and isinstance(loss_scale, dict)
                and all(map(is_number, loss_scale.values()))
                and isinstance(state, list)
                and isinstance(key, list)
                and len(state) == self.opt["num_layers"] * len(CELLS[self.opt["model"]].STATE)
                and all(self._fits(tensor, shape) for tensor in state)
                and len(key) == 624
                and all(isinstance(word, int) and 0 <= word < 2**32 for word in key)
                and isinstance(pos, int)
                and 0 <= pos <= 624
                and isinstance(self.progress.get("text", ""), str)
                and (
                    pending_evaluation is None
                    or (isinstance(pending_evaluation, dict) and all(map(is_number, pending_evaluation.values())))
                )
            )
        except KeyError:
            return False

    def _fits(self, value: object, shape: tuple) -> bool:
        """Return whether this is a tensor of this shape and of the parameters' type."""
        return isinstance(value, Tensor) and value.shape == shape and value.dtype == self.params.dtype


def fingerprint(params: Tensor) -> str:
    """Return the SHA-256, as 64 hex digits, of parameters `[n]` in little-endian float64 or float32."""
    numbers = params.detach().cpu().numpy()
    return hashlib.sha256(np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))).hexdigest()


def best_evaluation(val_losses: dict[int, float]) -> int | None:
    """Return the iteration with the lowest validation loss, or None if all are NaN or there are none."""
    numbers = {i: loss for i, loss in val_losses.items() if not math.isnan(loss)}
    return min(numbers, key=numbers.__getitem__) if numbers else None


def is_number(value: object) -> bool:
    """Return whether this is a number in the range of a double."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**1023)


def is_text(value: object, errors: str = "surrogateescape") -> bool:
    """Return whether this is a string that can be encoded as UTF-8; by default it may hold bytes of file names."""
    try:
        return isinstance(value, str) and value.encode(errors=errors) is not None
    except UnicodeEncodeError:
        return False


def shown(**values: object) -> str:
    """Return values for an error message, shortened: those of a hostile file may have any length."""
    return ", ".join(f"{name} {reprlib.repr(value)}" for name, value in values.items())

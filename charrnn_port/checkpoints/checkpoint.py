"""What a run knows when it saves."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model import NETWORKS
from model.char_rnn import CELLS, CharRNN
from model.memory import parameter_count
from util.vocabulary import Vocabulary


@dataclass
class Checkpoint:
    """The values; their names are the original's (there `params` is `protos`)."""

    opt: dict[str, str | int | float]  # the run's; rnn_size, num_layers, model and dropout describe the network
    vocab: Vocabulary
    params: Tensor  # flat [n], float64 or float32, on the CPU; see CharRNN
    i: int  # iterations done
    epoch: float
    train_losses: list[float]  # nats per character, one an iteration
    val_losses: dict[int, float]  # by iteration
    val_loss: float  # the last of them, NaN before the first
    # What the next iteration depends on beside the parameters, to go on from: the states of `optimizer` and
    # `schedule`, the network's `state` (tensors [batch_size, rnn_size]) and that of the `random` stream; the SHA-256 of
    # the `text`; and an `unfinished` iteration whose evaluation was cut short. The original's checkpoints have none.
    progress: dict | None = None
    version: str = ""  # of the charrnn_port that wrote it; "" for the original and before 0.2

    def build(self, cell: str, dtype: torch.dtype, device: torch.device | str = "cpu") -> CharRNN:
        """The network with these parameters; `cell` is a key of NETWORKS."""
        sizes = [self.opt[name] for name in ("rnn_size", "num_layers")]
        network = NETWORKS[cell](self.opt["model"], len(self.vocab), *sizes, dtype=dtype, device=device)
        network.params.copy_(self.params)
        return network

    def require_consistent(self) -> None:
        """Raises ValueError where the values are not what they should be, or do not fit together."""
        kinds = (dict, Vocabulary, Tensor, int, float, list, dict, float, dict | None, str)
        for (name, value), kind in zip(vars(self).items(), kinds, strict=True):
            if not isinstance(value, kind):
                raise ValueError(f"{name} is a {type(value).__name__}")
        numbers = [*self.train_losses, *self.val_losses.values(), *self.val_losses]
        if not all(isinstance(value, int | float) for value in numbers):
            raise ValueError("not all losses are numbers")
        if not all(isinstance(value, str | int | float) for value in [*self.opt, *self.opt.values()]):
            raise ValueError("opt holds more than strings and numbers")
        model, rnn_size, num_layers = (self.opt.get(name) for name in ("model", "rnn_size", "num_layers"))
        if model not in CELLS or not all(isinstance(size, int) and size > 0 for size in (rnn_size, num_layers)):
            raise ValueError(f"opt has model {model!r}, rnn_size {rnn_size!r}, num_layers {num_layers!r}")
        if not isinstance(self.opt.get("dropout"), int | float) or not 0 <= self.opt["dropout"] < 1:
            raise ValueError(f"opt has dropout {self.opt.get('dropout')!r}")
        count = parameter_count(model, len(self.vocab), rnn_size, num_layers)
        if self.params.shape != (count,) or self.params.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"params are {self.params.dtype} {list(self.params.shape)}, not {count} numbers")
        if self.progress is not None and not self._progress_fits():
            raise ValueError("progress does not fit the network")

    def _progress_fits(self) -> bool:
        """Whether Training.go_on can take up the progress."""
        try:
            shape = torch.Size((self.opt["batch_size"], self.opt["rnn_size"]))
            optimizer, schedule, state, random = (
                self.progress[name] for name in ("optimizer", "schedule", "state", "random")
            )
            key = random["key"]
            return (
                isinstance(optimizer["learning_rate"], float)
                and all(
                    value.shape == self.params.shape if isinstance(value, Tensor) else isinstance(value, int | float)
                    for value in optimizer.values()
                )
                and all(isinstance(value, int | float) for value in schedule.values())
                and len(state) == self.opt["num_layers"] * len(CELLS[self.opt["model"]].STATE)
                and all(tensor.shape == shape for tensor in state)
                and len(key) == 624
                and all(0 <= word < 2**32 for word in key)
                and 0 <= random["pos"] <= 624
                and isinstance(self.progress.get("text", ""), str)
                and all(isinstance(value, int | float) for value in (self.progress.get("unfinished") or {}).values())
            )
        except (KeyError, TypeError, AttributeError):
            return False

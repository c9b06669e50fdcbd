"""Export one time step as a PyTorch program that runs without this package.

`charrnn export CHECKPOINT model.pt2` writes a program for torch.export.load. `model.torchscript` is for torch.jit.load,
in old versions of PyTorch and in C++; TorchScript is deprecated.
"""

import io
import json
import warnings

import torch
from torch import Tensor
from torch.nn.functional import linear

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.options import ExportOptions
from charrnn_port.sharing.step import described, precision
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import write_atomically

EXTRA = "charrnn_port.json"  # the file with the metadata, inside the archive


def write_program(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write a torch.export program. Raises UserError where the file cannot be written."""
    step, out = Step(checkpoint.build("plain", precision(options))), io.BytesIO()
    batch = torch.export.Dim("batch")
    program = torch.export.export(step, step.example(), dynamic_shapes={"ids": {0: batch}, "state": {1: batch}})
    torch.export.save(program, out, extra_files=extra(checkpoint))
    write_atomically(out.getvalue(), options.target)


def write_script(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write a TorchScript program. Raises UserError where PyTorch lacks TorchScript or the file cannot be written."""
    step, out = Step(checkpoint.build("plain", precision(options))), io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the deprecation is reported in one line below
            torch.jit.save(torch.jit.trace(step, step.example()), out, _extra_files=extra(checkpoint))
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        raise UserError(
            f"PyTorch {torch.__version__} does not support TorchScript on this version of Python: use .pt2"
        ) from error
    log_line("TorchScript is deprecated: use .pt2 where torch.export.load is available")
    write_atomically(out.getvalue(), options.target)


def extra(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the extra file of the archive: the metadata as JSON, by file name."""
    return {EXTRA: json.dumps(described(checkpoint))}


class Step(torch.nn.Module):
    """A module that computes one time step with the plain cells and a network's parameters."""

    def __init__(self, network: CharRNN) -> None:
        super().__init__()
        self.cell = network.cell
        self.shape = network.num_layers * len(self.cell.STATE), 2, network.rnn_size
        self.layers = [self._keep(layer, f"layer_{index}") for index, layer in enumerate(network.layers)]
        self.decoder = self._keep(network.decoder, "decoder")
        self.register_buffer("characters", torch.arange(network.vocab_size, device="cpu"))
        self.dtype = network.params.dtype

    def _keep(self, parameters: dict[str, Tensor], prefix: str) -> dict[str, str]:
        """Register tensors as buffers, which move with the module. Return the buffer of each by its own name."""
        names = {name: f"{prefix}_{name}" for name in parameters}
        for name, parameter in parameters.items():
            self.register_buffer(names[name], parameter.detach().clone())
        return names

    def _tensors(self, names: dict[str, str]) -> list[Tensor]:
        return [getattr(self, name) for name in names.values()]

    def forward(self, ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one time step; see charrnn_port/sharing/step.py for the shapes."""
        before, width = state.unbind(0), len(self.cell.STATE)
        ids = self.characters.index_select(0, ids)  # the same ids; raises an error for those out of range
        output = (ids[:, None] == self.characters).to(self.dtype)
        after: list[Tensor] = []
        for index, names in enumerate(self.layers):
            after += self.cell.step(output, *before[index * width : (index + 1) * width], *self._tensors(names))
            output = after[-1]
        return torch.log_softmax(linear(output, *self._tensors(self.decoder)), 1), torch.stack(after)

    def example(self) -> tuple[Tensor, Tensor]:
        """Return example inputs for tracing: a batch of two."""
        return torch.zeros(2, dtype=torch.int64, device="cpu"), torch.zeros(self.shape, dtype=self.dtype, device="cpu")

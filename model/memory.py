"""Compute how much memory training needs, before it is allocated.

The buffers are created on PyTorch's meta device, where tensors have shapes but no memory, and counted. Besides them
there are vectors as long as the parameters. ON_DEVICE: the parameters, their gradients and RMSprop's mean square.
COPIES, in CPU memory: train.py's copies of the parameters and the mean square, for the case that the loss diverges;
twice that while new copies are made. Adam has one more mean, and so one more copy.
"""

import math

import torch

from charrnn_port.model.build import library
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.model.compiled_char_rnn import CompiledPass
from charrnn_port.model.fused import FusedCharRNN

ON_DEVICE, COPIES = 3, 2  # numbers of vectors as long as the parameters
MORE = {"rmsprop": 0, "adam": 1, "adamw": 1}  # additional ones for optimizers with two running means


def parameter_count(model: str, vocab_size: int, rnn_size: int, num_layers: int) -> int:
    """Return the number of parameters of a network, decoder included."""

    def layer(input_size: int) -> int:
        return sum(math.prod(shape) for shape in CELLS[model].parameter_shapes(input_size, rnn_size).values())

    return layer(vocab_size) + (num_layers - 1) * layer(rnn_size) + vocab_size * (rnn_size + 1)


def buffer_bytes(
    cell: str,
    model: str,
    vocab_size: int,
    rnn_size: int,
    num_layers: int,
    seq_length: int,
    batch_size: int,
    dropout: bool,
    dtype: torch.dtype,
) -> int:
    """Return the size in bytes of the buffers of a pass and of the weights in their second layout.

    `cell` is the backend. For `plain` and `script`, whose buffers autograd keeps, the size for `fused` is returned. All
    layers from the third on are equal, so at most three are counted.
    """

    def count(layers: int) -> int:
        try:
            network = FusedCharRNN(model, vocab_size, rnn_size, layers, dtype=dtype, device="meta")
            if cell == "compiled" and library(dtype):
                network.pass_class, network.sequence = CompiledPass, network.cell.CompiledSequence
            buffers = network.pass_class(network, seq_length, batch_size)
        except (OverflowError, RuntimeError, TypeError, ValueError):
            return 10**30  # the sizes are too large for PyTorch
        # The factor 2 is for the masks and the masked outputs.
        masks = 2 * layers * seq_length * batch_size * rnn_size * dtype.itemsize if dropout else 0
        return masks + bytes_in([vars(buffers), network.weights(), network.params]) - 2 * network.params.nbytes

    if not hasattr(CELLS[model], "EagerSequence"):  # a cell with its step alone: only autograd knows its buffers
        return 0
    if num_layers < 3:
        return count(num_layers)
    return count(2) + (num_layers - 2) * (count(3) - count(2))


def bytes_in(thing: object) -> int:
    """Return the bytes of all tensors in an object of this package and in its attributes. Shared memory counts once."""
    storages, seen, todo = {}, set(), [thing]
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            storages[thing.untyped_storage()._cdata] = thing.untyped_storage().nbytes()
        elif isinstance(thing, dict):
            todo += thing.values()
        elif isinstance(thing, list | tuple):
            todo += thing
        elif type(thing).__module__.startswith("charrnn_port.") and hasattr(thing, "__dict__"):
            todo += vars(thing).values()
    return sum(storages.values())

"""How much memory training takes, before any is taken.

The buffers are counted as they are, on PyTorch's meta device, where tensors have shapes and no numbers. As long as all
parameters are, beside them, ON_DEVICE vectors: they themselves, their gradients and RMSprop's mean square; and COPIES,
in the CPU's memory: train.py's copies of the first and the third, for when the loss explodes, twice while it makes new
ones. Adam has another mean, and so another copy.
"""

import math

import torch

from charrnn_port.model.build import library
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.model.compiled_char_rnn import CompiledPass
from charrnn_port.model.fused import FusedCharRNN

ON_DEVICE, COPIES = 3, 2  # of the vectors as long as the parameters
MORE = {"rmsprop": 0, "adam": 1, "adamw": 1}  # of them with an optimiser that keeps two running means


def parameter_count(model: str, vocab_size: int, rnn_size: int, num_layers: int) -> int:
    """How many parameters a network has, decoder included."""

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
    """Return how many bytes the buffers of a pass hold, and the weights in another layout beside them.

    `cell` is how the cell runs; those of `plain` and `script`, which autograd keeps, are taken to be those of `fused`.
    """
    sizes = model, vocab_size, rnn_size
    shape = seq_length, batch_size, dropout, dtype
    if num_layers < 3:
        return counted(cell, *sizes, num_layers, *shape)
    two, three = (counted(cell, *sizes, layers, *shape) for layers in (2, 3))
    return two + (num_layers - 2) * (three - two)


def counted(
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
    """Count the bytes of such a network's buffers. Of sizes beyond what PyTorch can count there are 10**30."""
    try:
        network = FusedCharRNN(model, vocab_size, rnn_size, num_layers, dtype=dtype, device="meta")
        if cell == "compiled" and library(dtype):
            network.pass_class, network.sequence = CompiledPass, network.cell.CompiledSequence
        buffers = network.pass_class(network, seq_length, batch_size)
    except (OverflowError, RuntimeError, TypeError, ValueError):
        return 10**30
    masks = 2 * num_layers * seq_length * batch_size * rnn_size * dtype.itemsize if dropout else 0  # and what they mask
    return masks + bytes_in([vars(buffers), network.weights(), network.params]) - 2 * network.params.nbytes


def bytes_in(thing: object) -> int:
    """Count the bytes of all tensors in an object of ours and in what it holds; memory that they share counts once."""
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
        elif type(thing).__module__.split(".")[0] in ("charrnn_port", "model") and hasattr(thing, "__dict__"):
            todo += vars(thing).values()
    return sum(storages.values())

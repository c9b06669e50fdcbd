"""`charrnn trace`: write the states, gates and predictions of a network at each character of a text to an HDF5 file.

    ids          [n] int32          the characters that were read, as indices into `vocab`
    positions    [n] int64          position of each in the text, from 0, with gaps where characters were skipped, and
                                    between the pieces of a -split; each piece starts from the zero state
    log_probs    [n, vocab_size]    log-probabilities of the next character, after this one was read
    layer1/NAME  [n, units]         a gate, or a part of the state after this character, of the first layer; further
                                    layers are layer2/NAME, ...
    connectivity [n, N]             with -connectivity N: column k is the gradient of the character's log-probability
                                    by the one-hot input of the character k + 1 before it, times that input
    vocab        uint8 [vocab_size], or one string for a vocabulary of Unicode characters

Attributes of the file: the options of this command and of the checkpoint, the network's model and sizes, and the
version. The attribute `units` of each layer lists the units that are stored.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

from charrnn_port.checkpoints import Checkpoint, load_checkpoint, require_new_file
from charrnn_port.command_line import log_line, log_written
from charrnn_port.device import DTYPES
from charrnn_port.model.char_rnn import CELLS, CharRNN
from charrnn_port.options import OptionError, TraceOptions
from charrnn_port.reports.splits import cut_of, text_to_read
from charrnn_port.reports.text_stream import Block, TextStream, characters_of
from charrnn_port.reports.trained_on import TrainedOn
from charrnn_port.sampling import Activations, connectivity
from charrnn_port.sampling import trace as trace_activations
from charrnn_port.util.errors import UserError
from charrnn_port.util.hdf5 import atomic_hdf5
from charrnn_port.util.vocabulary import Vocabulary
from charrnn_port.version import __version__

ROWS = 128  # characters per write


class Row(NamedTuple):
    """A character of the text."""

    step: Activations  # after the character
    position: int  # in the text
    begins: bool  # whether a piece of the text begins here, from the zero state


def trace(options: TraceOptions) -> None:
    """Print the size of the file, read the text, and write the file.

    Raises OptionError for layers, units or gates that the network does not have, and UserError if the text cannot be
    read or the file cannot be written.
    """
    if not options.o:
        raise OptionError("-o: missing output file; name one, such as -o trace.h5")
    checkpoint = load_checkpoint(options.checkpoint, log_line)
    columns = Columns(options, checkpoint)
    file = text_to_read(options.file, options.split, checkpoint, options.checkpoint)
    require_new_file("-o", options.o, file)
    print_size(options, columns, file)
    network = checkpoint.build("plain", DTYPES[options.dtype])
    skip, cut = options.unknown == "skip", cut_of({options.checkpoint: checkpoint}, options.split)
    text = TextStream(file, {options.checkpoint: checkpoint.vocab}, skip, cut, checkpoint.separator)
    overlap = TrainedOn(checkpoint, options.checkpoint)
    rows = activations(network, checkpoint.vocab, text, overlap)
    past = Past(network, options.connectivity)
    try:
        with atomic_hdf5(options.o) as (file, out):
            describe(file, options, checkpoint)
            columns.create(file, options.dtype)
            while some := list(islice(rows, ROWS)):
                columns.append(file, some)
                if options.connectivity:
                    add(file["connectivity"], past.read(some))
                out.check()
    except OSError as error:
        raise UserError(f"cannot write {options.o}: {error.strerror or error}") from error
    log_written(options.o)
    if text.skipped:
        log_line(f"{text.skipped} characters of {text.name} are left out")
    log_line(overlap.sentence())


def activations(
    network: CharRNN, vocab: Vocabulary, text: Iterable[Block], overlap: TrainedOn
) -> Iterator[Row]:
    """Yield a row for each character of a text; add the characters to `overlap`."""
    state = None
    for block in text:
        ids = block.ids(vocab)
        overlap.add(ids)
        if block.line:
            state = None  # the zero state
        begins = bool(block.line)
        for step, position in zip(trace_activations(network, ids, state), block.positions, strict=True):
            yield Row(step, position, begins)
            begins = False
        state = [torch.from_numpy(layer[name])[None] for layer in step.layers for name in network.cell.STATE]


class Past:
    """The last rows of a text, from which the connectivity of the next is computed."""

    def __init__(self, network: CharRNN, reach: int) -> None:
        self._network, self._reach = network, reach
        self._rows: list[Row] = []

    def read(self, rows: list[Row]) -> np.ndarray:
        """Return the connectivity of the next characters with the `reach` before each, `[len(rows), reach]`."""
        known, self._rows = len(self._rows), [*self._rows, *rows]
        ids = np.array([row.step.id for row in self._rows])
        begins = [place for place, row in enumerate(self._rows) if row.begins or not place]
        states = [
            np.stack([row.step.layers[layer][name] for row in self._rows])
            for layer in range(self._network.num_layers)
            for name in self._network.cell.STATE
        ]
        found = connectivity(self._network, ids, states, range(known, len(self._rows)), self._reach, begins)
        self._rows = self._rows[-self._reach - 1 :]
        return found


class Columns:
    """The datasets of the file that have a row for each character, as selected by the options."""

    def __init__(self, options: TraceOptions, checkpoint: Checkpoint) -> None:
        cell, opt = CELLS[checkpoint.opt["model"]], checkpoint.opt
        names = (*cell.GATE_NAMES, *cell.STATE)
        self.names = chosen(options.gates, names)
        self.layers = numbers("-layers", options.layers, 1, opt["num_layers"])
        self.units = numbers("-units", options.units, 0, opt["rnn_size"] - 1)
        self._vocab_size = len(checkpoint.vocab)
        self._reach = options.connectivity

    @property
    def width(self) -> int:
        """The number of values that are stored for each character."""
        return self._vocab_size + self._reach + len(self.layers) * len(self.names) * len(self.units)

    def create(self, file: h5py.File, dtype: str) -> None:
        """Create the datasets, without rows."""
        create(file, "ids", np.int32)
        create(file, "positions", np.int64)
        create(file, "log_probs", dtype, self._vocab_size)
        if self._reach:
            create(file, "connectivity", dtype, self._reach)
        for layer in self.layers:
            file.create_group(f"layer{layer}").attrs["units"] = self.units
            for name in self.names:
                create(file, f"layer{layer}/{name}", dtype, len(self.units))

    def append(self, file: h5py.File, rows: list[Row]) -> None:
        """Append rows."""
        steps = [row.step for row in rows]
        add(file["ids"], [step.id for step in steps])
        add(file["positions"], [row.position for row in rows])
        add(file["log_probs"], [step.log_probs for step in steps])
        for layer in self.layers:
            for name in self.names:
                add(file[f"layer{layer}/{name}"], [step.layers[layer - 1][name][self.units] for step in steps])


def create(file: h5py.File, name: str, dtype: str | type, *width: int) -> None:
    """Create a resizable dataset."""
    file.create_dataset(name, (0, *width), dtype, maxshape=(None, *width), chunks=(ROWS, *width))


def add(dataset: h5py.Dataset, rows: Sequence) -> None:
    """Append rows to a dataset."""
    dataset.resize(len(dataset) + len(rows), 0)
    dataset[-len(rows) :] = rows


def describe(file: h5py.File, options: TraceOptions, checkpoint: Checkpoint) -> None:
    """Write the vocabulary and the attributes of the file."""
    symbols = checkpoint.vocab.symbols
    if checkpoint.vocab.encoding == "bpe":
        symbols = characters_of(list(symbols))
    file["vocab"] = np.frombuffer(symbols, np.uint8) if isinstance(symbols, bytes) else symbols  # or a list of words
    file.attrs["version"] = f"charrnn_port {__version__}"
    file.attrs["options"] = json.dumps(options.values())
    file.attrs["opt"] = json.dumps(checkpoint.opt)
    for name in ("model", "rnn_size", "num_layers"):
        file.attrs[name] = checkpoint.opt[name]


def print_size(options: TraceOptions, columns: Columns, text: str) -> None:
    """Print to stderr the bytes per character and the size of the file; for UTF-8 the size is an upper bound."""
    each = columns.width * DTYPES[options.dtype].itemsize + 12
    count = os.path.getsize(text) if options.split == "all" and Path(text).is_file() else None
    total = f", at most {in_words(count * each)} in all" if count else ""
    log_line(f"{options.o}: {columns.width} numbers, {in_words(each)} a character{total}")


def in_words(count: float) -> str:
    """Return a number of bytes with a unit, such as 13 kB."""
    names = ["bytes", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(names) > 1:
        count, names = count / 1000, names[1:]
    return f"{count:.3g} {names[0]}"


def chosen(text: str, names: tuple[str, ...]) -> list[str]:
    """Return the names in -gates, by default all. Raises OptionError for a name that the cell does not have."""
    for name in filter(None, text.split(",")):
        if name not in names:
            raise OptionError(f"-gates: unknown gate or state {name!r}: this cell has {', '.join(names)}")
    return [name for name in names if name in text.split(",")] if text else list(names)


def numbers(option: str, text: str, first: int, last: int) -> list[int]:
    """Return the numbers in a list of ranges such as `0-9,131`, ascending; by default all.

    Raises OptionError for invalid syntax and for numbers out of range.
    """
    found: set[int] = set()
    for part in text.split(",") if text else [f"{first}-{last}"]:
        begin, dash, end = part.partition("-")
        try:
            low, high = int(begin), int(end if dash else begin)
        except ValueError:
            raise OptionError(f"{option}: {part!r} is invalid: expected a number or a range such as 0-9") from None
        if low > high:
            raise OptionError(f"{option}: {part} is invalid: write the smaller number first, {high}-{low}")
        if not first <= low <= high <= last:
            raise OptionError(f"{option}: {part} is out of range: expected numbers from {first} to {last}")
        found.update(range(low, high + 1))
    return sorted(found)

"""`charrnn trace`: write the states, gates and predictions of a network at each character of a text to an HDF5 file.

    ids          [n] int32          the characters that were read, as indices into `vocab`
    positions    [n] int64          position of each in the text, from 0, with gaps where characters were skipped
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
from collections.abc import Sequence
from io import FileIO
from itertools import islice, tee
from pathlib import Path

import h5py
import numpy as np

from charrnn_port.checkpoints import Checkpoint, is_checkpoint, load_checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.device import DTYPES
from charrnn_port.model.char_rnn import CELLS, CharRNN
from charrnn_port.options import OptionError, TraceOptions
from charrnn_port.reports.text_stream import TextStream
from charrnn_port.sampling import Activations, connectivity
from charrnn_port.sampling import trace as trace_activations
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import atomic_write
from charrnn_port.version import __version__

ROWS = 128  # characters per write


def trace(options: TraceOptions) -> None:
    """Print the size of the file, read the text, and write the file.

    Raises OptionError for layers, units or gates that the network does not have, and UserError if the text cannot be
    read or the file cannot be written.
    """
    if not options.o:
        raise OptionError("-o: missing output file; name one, such as -o trace.h5")
    if is_checkpoint(options.o):
        raise UserError(f"-o {options.o}: cannot overwrite a checkpoint or a folder; name another file")
    checkpoint = load_checkpoint(options.checkpoint)
    columns = Columns(options, checkpoint)
    print_size(options, columns)
    network = checkpoint.build("plain", DTYPES[options.dtype])
    text = TextStream(options.file, {options.checkpoint: checkpoint.vocab}, options.unknown == "skip")
    ids, positions = tee(
        each for block in text for each in zip(block.ids(checkpoint.vocab), block.positions, strict=True)
    )
    steps = trace_activations(network, (id_ for id_, _ in ids))
    rows = zip(steps, (position for _, position in positions), strict=True)
    past = Past(network, options.connectivity)
    try:
        with atomic_write(options.o) as temporary, temporary.open("w+b", buffering=0) as raw:
            out = Output(raw)
            with h5py.File(out, "w") as file:
                describe(file, options, checkpoint)
                columns.create(file, options.dtype)
                while not out.error and (some := list(islice(rows, ROWS))):
                    columns.append(file, *zip(*some, strict=True))
                    if options.connectivity:
                        add(file["connectivity"], past.read([step for step, _ in some]))
            if out.error:
                raise out.error
    except OSError as error:
        raise UserError(f"cannot write {options.o}: {error.strerror or error}") from error
    if text.skipped:
        log_line(f"{text.skipped} characters of {text.name} are left out")


class Output:
    """A file for HDF5, whose library crashes on a full disk. This class stores the first OSError as `error` instead of
    raising it, and then ignores all writes; the caller checks `error`.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all bytes."""
        rest = memoryview(data)
        while rest and not self.error:
            try:
                rest = rest[self._file.write(rest) :]
            except OSError as error:
                self.error = error
        return len(data)

    def truncate(self, size: int) -> int:
        """Set the file's length."""
        if not self.error:
            try:
                self._file.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def __getattr__(self, name: str) -> object:
        """Delegate reading and seeking to the file."""
        return getattr(self._file, name)


class Past:
    """The last characters of a text and the states after them, from which the connectivity of the next is computed."""

    def __init__(self, network: CharRNN, reach: int) -> None:
        self._network, self._reach = network, reach
        self._steps: list[Activations] = []

    def read(self, steps: Sequence[Activations]) -> np.ndarray:
        """Return the connectivity of the next characters with the `reach` before each, `[len(steps), reach]`."""
        known, self._steps = len(self._steps), [*self._steps, *steps]
        ids = np.array([step.id for step in self._steps])
        states = [
            np.stack([step.layers[layer][name] for step in self._steps])
            for layer in range(self._network.num_layers)
            for name in self._network.cell.STATE
        ]
        found = connectivity(self._network, ids, states, range(known, len(self._steps)), self._reach)
        self._steps = self._steps[-self._reach - 1 :]
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

    def append(self, file: h5py.File, steps: tuple[Activations, ...], positions: tuple[int, ...]) -> None:
        """Append one row for each step."""
        add(file["ids"], [step.id for step in steps])
        add(file["positions"], positions)
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
    file["vocab"] = np.frombuffer(symbols, np.uint8) if isinstance(symbols, bytes) else symbols
    file.attrs["version"] = f"charrnn_port {__version__}"
    file.attrs["options"] = json.dumps(options.values())
    file.attrs["opt"] = json.dumps(checkpoint.opt)
    for name in ("model", "rnn_size", "num_layers"):
        file.attrs[name] = checkpoint.opt[name]


def print_size(options: TraceOptions, columns: Columns) -> None:
    """Print to stderr the bytes per character and the size of the file; for UTF-8 the size is an upper bound."""
    each = columns.width * DTYPES[options.dtype].itemsize + 12
    count = os.path.getsize(options.file) if Path(options.file).is_file() else None
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
        if not first <= low <= high <= last:
            raise OptionError(f"{option}: {part} is out of range: expected numbers from {first} to {last}")
        found.update(range(low, high + 1))
    return sorted(found)

"""Logs a run to a CSV file, a row for each iteration. A resumed run appends to the file of its run."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import BinaryIO

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.training.events import Evaluated, Event, Iteration, Started
from charrnn_port.util.errors import UserError

HEADER = "iteration,epoch,train_loss,val_loss,learning_rate,grad_param_norm,seconds"


def write_table(
    events: Iterable[Event], saved: Checkpoint | None, failed: Callable[[str, OSError], None]
) -> Iterator[Event]:
    """Write {checkpoint_dir}/{savefile}.csv. A row is written before the checkpoint of its iteration.

    `saved` is the checkpoint from which the run is resumed. Rows after its iteration are removed; missing rows up to it
    are added with the losses that the checkpoint has. If the file is the log of another run, the file name of this run
    gets a number.

    Raises UserError if the file cannot be opened. If writing fails later, `failed` is called once.
    """
    with ExitStack() as stack:
        file, written = None, 0
        for event in events:
            try:
                match event:
                    case Started():
                        path, file = open_table(event, saved)
                        stack.enter_context(file)
                    case Evaluated() if file:
                        write(file, row(event.iteration, repr(event.val_loss)))
                        written = event.i
                    case Iteration() if file and event.i != written:
                        write(file, row(event))
            except OSError as error:
                failed(path, error)
                file = None
            yield event


def row(done: Iteration, val_loss: str = "") -> str:
    """Return a line of the table. Numbers have all their digits."""
    rest = (done.learning_rate, done.grad_param_norm, done.seconds)
    return ",".join([str(done.i), repr(done.epoch), repr(done.train_loss), val_loss, *map(repr, rest)])


def open_table(started: Started, saved: Checkpoint | None) -> tuple[str, BinaryIO]:
    """Open the run's table with the rows of the iterations done before; return its path and the file.

    Raises UserError if that fails.
    """
    losses = saved.train_losses[: started.i] if saved else []
    path = f"{started.options.checkpoint_dir}/{started.options.savefile}.csv"
    try:
        path, lines = choose(path, losses)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab", buffering=0)  # noqa: SIM115  the caller closes it
        file.truncate(sum(len(line) + 1 for line in lines))
        missing = [] if lines else [HEADER]
        for i in range(max(1, len(lines)), len(losses) + 1):
            val_loss = repr(saved.val_losses[i]) if i in saved.val_losses else ""
            missing.append(f"{i},{i / started.ntrain!r},{losses[i - 1]!r},{val_loss},,,")
        if missing:
            write(file, "\n".join(missing))
    except OSError as error:
        raise UserError(f"-log 1: cannot write {path}: {error.strerror}") from error
    return path, file


def choose(path: str, losses: Sequence[float]) -> tuple[str, list[bytes]]:
    """Return the path of the table of the run with these losses, existing or new, and its lines up to there.

    If several tables match, as those of two runs with the same seed, the last one written is chosen.
    """
    base, found = path.removesuffix(".csv"), []
    for number in count(2):
        if not os.path.lexists(path):
            break
        lines = own_lines(path, losses)
        if lines is not None:
            found.append((len(lines) > 1, os.stat(path).st_mtime_ns, path, lines))
        path = f"{base}.{number}.csv"
    if not found:
        return path, []
    *_, path, lines = max(found)
    return path, lines


def own_lines(path: str, losses: Sequence[float]) -> list[bytes] | None:
    """Return the header and the rows of a table for these losses; None if it is not the table of this run."""
    if not os.path.isfile(path):
        return None
    *lines, _ = Path(path).read_bytes().split(b"\n")  # an incomplete last row is dropped
    if not lines:
        return []
    if lines[0] != HEADER.encode() or (len(lines) > 1 and not losses):
        return None
    lines = lines[: len(losses) + 1]
    for i, (line, loss) in enumerate(zip(lines[1:], losses, strict=False), 1):
        number, _, train_loss, *_ = [*line.split(b","), b"", b""]
        if (number, train_loss) != (str(i).encode(), repr(loss).encode()):
            return None
    return lines


def write(file: BinaryIO, lines: str) -> None:
    """Write lines without buffering, so that a killed process leaves whole lines."""
    data = f"{lines}\n".encode()
    while data:
        data = data[file.write(data) :]

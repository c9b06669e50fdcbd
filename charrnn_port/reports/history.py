"""Read a run's history from a log of this program or of the original, from a CSV file, or from a checkpoint."""

import codecs
import csv
import glob
import math
import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np

from charrnn_port import hub
from charrnn_port.options import TrainOptions
from charrnn_port.util.errors import UserError
from charrnn_port.util.file_types import FileTypeError, file_type_of, first_bytes

COLUMNS = ("epoch", "train_loss", "grad_param_norm", "learning_rate", "seconds")
LARGEST = 1 << 30  # bytes of a text file; a line of a log has about a hundred
LONGEST = 1 << 16  # characters of a line; longer lines are read in pieces
WANTED = "a log, a CSV file or a checkpoint"
DOCUMENTS = (".md", ".rst", ".py", ".ipynb")  # they may quote lines of logs

LINE = re.compile(
    r"(\d{1,15})/(\d{1,15}) \(epoch (\d+\.?\d*)\), train_loss = *([-+.\w]+)"
    r"(?:, grad/param norm = *([-+.\w]+))?(?:, time/batch = *([\d.]+))?"
)
SAVING = re.compile(r"saving checkpoint to .*_epoch(?P<epoch>[\d.]+)_(?P<loss>nan|inf|\d+\.\d+)\.t7")
VALIDATION = re.compile(
    r"validation loss (?P<loss>nan|inf|\d+\.\d+) after iteration (?P<i>\d{1,15}) \(epoch (?P<epoch>[\d.]+)\)"
)
DECAYED = re.compile(r"decayed learning rate by a factor (?P<factor>\d+\.?\d*) to (?P<rate>\d[\d.e-]*)")
BATCHES = re.compile(r"Number of data batches in train: (\d{1,15}),")
NETWORK = re.compile(r"creating an? (?P<model>\w+) with (?P<num_layers>\d{1,4}) layers")
PRECISION = re.compile(r"cell: .* (float\d\d)\b|using CUDA on GPU|using OpenCL on GPU")


@dataclass
class History:
    """The history of a run. Losses are in nats per character; unknown values are NaN."""

    name: str  # the file
    iterations: np.ndarray  # int64 [n], ascending: the iterations that have a line
    columns: dict[str, np.ndarray]  # by the names in COLUMNS: float64 [n]
    val_losses: dict[int, float]  # by iteration
    options: dict[str, str | int | float] = field(default_factory=dict)  # those that are known
    # How numbers are rounded in the file, by column, as a format such as .8f or .4e. Other columns have all digits.
    formats: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[int, str] = field(default_factory=dict)  # of the parameters, by iteration


def read_history(path: str | os.PathLike, log: Callable[[str], None] = lambda line: None) -> History:
    """Return the history in a file, or in the newest file of a folder that has one, and log that file's name.

    Raises UserError if the file is not found, corrupt, or has no history.
    """
    if os.path.isdir(path):
        found = newest(Path(path))
        log(f"reading {found.name}, the newest in {path}")
        return found
    if hub.is_name(path):
        return of_checkpoint(path)
    try:
        if Path(path).suffix.lower() in DOCUMENTS:
            raise FileTypeError(f"a document, not {WANTED}: save the output of a run to a file")
        begin = first_bytes(path, WANTED)
        if b"\0" in begin or Path(path).suffix in (".t7", ".pt"):
            history = of_checkpoint(path)
        elif kind := file_type_of(begin):
            raise FileTypeError(f"{kind.what}, not {WANTED}: {kind.to_do}")
        elif os.path.getsize(path) > LARGEST:
            raise UserError(f"{path} is too large for a log: it has more than {LARGEST >> 30} GB; expected {WANTED}")
        else:
            with open(path, encoding="utf-8-sig", errors="replace") as file:  # text mode also ends lines at \r
                read = of_csv if begin.removeprefix(codecs.BOM_UTF8).startswith(b"iteration,") else of_log
                history = read(os.fspath(path), lines_of(file))
    except FileTypeError as error:
        raise UserError(f"{path} is {error}") from error
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected {WANTED}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not len(history.iterations):
        raise UserError(f"{path} has no iteration of a run; expected {WANTED} with at least one")
    return history


def newest(folder: Path) -> History:
    """Return the history in the newest file of a folder that has one."""
    paths = [path for path in folder.iterdir() if path.suffix in (".csv", ".log", ".txt", ".t7", ".pt")]
    for path in sorted(paths, key=lambda path: path.lstat().st_mtime_ns, reverse=True):
        with suppress(UserError):
            return read_history(path)
    raise UserError(f"no history of a run found in the folder {folder}; expected {WANTED}")


def lines_of(file: TextIO) -> Iterator[str]:
    """Yield lines; those longer than LONGEST are split."""
    while line := file.readline(LONGEST):
        yield line


class Lines:
    """Collects the lines of a run in order. A run resumed from an earlier iteration replaces the lines after it."""

    def __init__(self) -> None:
        self.iterations: list[int] = []
        self.rows: list[tuple[float, ...]] = []  # of COLUMNS
        self.val_losses: dict[int, float] = {}

    def add(self, i: int, *row: float) -> None:
        """Add the line of iteration `i`; `row` are the values of COLUMNS."""
        if self.iterations and i <= self.iterations[-1]:
            place = bisect_left(self.iterations, i)
            del self.iterations[place:], self.rows[place:]
            self.val_losses = {at: loss for at, loss in self.val_losses.items() if at < i}
        self.iterations.append(i)
        self.rows.append(row)

    def history(self, name: str, options: dict, formats: dict) -> History:
        """Return the history of all lines so far."""
        columns = np.array(self.rows, dtype=np.float64).reshape(-1, len(COLUMNS)).T
        iterations = np.array(self.iterations, dtype=np.int64)
        return History(name, iterations, dict(zip(COLUMNS, columns, strict=True)), self.val_losses, options, formats)


def of_log(name: str, lines: Iterable[str]) -> History:
    """Read what a run prints; other lines, such as progress bars and warnings, are ignored."""
    found, options, formats = Lines(), {}, {}
    ntrain, total, shape = 0, 0, None
    marks: list[tuple[int, re.Match]] = []  # each with the last iteration before it; it belongs to the next one
    for line in lines:
        for match in LINE.finditer(line):
            numbers = match.groups("nan")
            i, epoch, its_shape = int(numbers[0]), float(numbers[2]), [decimals(number) for number in numbers[2:5]]
            torn = shape and its_shape != shape and not line.endswith("\n")
            if torn or (ntrain and abs(epoch - i / ntrain) > 10.0 ** -its_shape[0]):
                continue  # a line that other output was written into
            with suppress(ValueError):
                found.add(i, epoch, float(numbers[3]), float(numbers[4]), math.nan, float(numbers[5]))
                total, shape = int(numbers[1]), its_shape
                marks = [mark for mark in marks if mark[0] < i]
                widen(formats, "train_loss", numbers[3])
                widen(formats, "grad_param_norm", numbers[4])
        if match := SAVING.search(line) or VALIDATION.search(line) or DECAYED.search(line):
            marks.append((found.iterations[-1] if found.iterations else 0, match))
        if match := BATCHES.search(line):
            ntrain = int(match[1])
        if match := NETWORK.search(line):
            options |= {"model": match["model"], "num_layers": int(match["num_layers"])}
        if match := PRECISION.search(line):
            options["dtype"] = match[1] or "float32"  # the original uses float32 on a GPU
    history = found.history(name, options, formats)
    add_rates(history, [mark for mark in marks if mark[1].re is DECAYED])
    add_val_losses(history, [mark for mark in marks if mark[1].re is not DECAYED], total)
    return history


def add_rates(history: History, decays: list[tuple[int, re.Match]]) -> None:
    """Fill in the learning rates from the lines that report a decay, which applies from the next iteration on."""
    rates = history.columns["learning_rate"]
    for number, (after, match) in enumerate(decays):
        place, rate = bisect_right(history.iterations, after), float(match["rate"])
        if number == 0:
            rates[:place] = rate / float(match["factor"]) if float(match["factor"]) else math.nan
        alone = history.iterations[place : place + 1] == after + 1  # false if iterations without lines are between
        rates[place : place + 1] = np.where(alone, rates[place - 1] if place else math.nan, math.nan)
        rates[place + 1 :] = rate


def add_val_losses(history: History, marks: list[tuple[int, re.Match]], total: int) -> None:
    """Fill in the validation losses.

    This program prints the iteration of each to stderr. If that line is missing, the iteration is that of the next
    line, or the last iteration of the run where no line follows.
    """
    noted = {(match["epoch"], match["loss"]): int(match["i"]) for _, match in marks if match.re is VALIDATION}
    for after, match in marks:
        following = history.iterations[bisect_right(history.iterations, after) :]
        i = int(following[0]) if len(following) else total
        history.val_losses[noted.get((match["epoch"], match["loss"]), i)] = float(match["loss"])
        widen(history.formats, "val_loss", match["loss"])


def decimals(number: str) -> int:
    """Return the number of decimals: 4 for 1.2345e-01."""
    return len(re.match(r"[^.e]*\.?(\d*)", number)[1])


def widen(formats: dict[str, str], name: str, number: str) -> None:
    """Widen the format of a column to the decimals of this number."""
    kind = "e" if "e" in number else "f"
    wider = max(decimals(number), int(formats.get(name, ".0f")[1:-1]))
    if "n" not in number:  # nan, inf
        formats[name] = f".{wider}{kind}"


def of_csv(name: str, lines: Iterable[str]) -> History:
    """Read a CSV file with a header, whose numbers have all digits.

    The last line may be incomplete, since a run may be writing it. Raises UserError for any other invalid line.
    """
    found, damaged = Lines(), 0
    rows = csv.DictReader(lines, restval="missing")
    try:
        for row in rows:
            if damaged:
                break
            try:
                i, values = int(row["iteration"]), [float(row.get(column) or "nan") for column in COLUMNS]
                val_loss = float(row.get("val_loss") or "nan")
                if not 0 < i < 10**15:
                    raise ValueError
            except (ValueError, TypeError, KeyError):
                damaged = rows.line_num
                continue
            found.add(i, *values)
            if row.get("val_loss"):
                found.val_losses[i] = val_loss
        else:
            damaged = 0
    except csv.Error:
        damaged = rows.line_num
    if damaged:
        raise UserError(f"{name} is corrupt: expected in line {damaged} {', '.join(rows.fieldnames)[:200]}")
    return found.history(name, options_beside(Path(name), found), {})


def options_beside(path: Path, found: Lines) -> dict[str, str | int | float]:
    """Return the options of the newest checkpoint beside a CSV file, if its losses show that it is of the same run."""
    checkpoints = path.parent.glob(f"lm_{glob.escape(path.stem)}_*.t7.pt")
    for checkpoint in sorted(checkpoints, key=lambda each: each.lstat().st_mtime_ns)[-1:]:
        with suppress(UserError):
            saved = of_checkpoint(checkpoint)
            losses = dict(zip(found.iterations, (row[COLUMNS.index("train_loss")] for row in found.rows), strict=True))
            if all(losses.get(i, loss) == loss for i, loss in enumerate(saved.columns["train_loss"].tolist(), 1)):
                return saved.options
    return {}


def of_checkpoint(path: str | os.PathLike) -> History:
    """Read a checkpoint of this program or of the original; losses have all digits, and there are no norms."""
    from charrnn_port.checkpoints import load_checkpoint  # imports torch, which takes seconds and logs do not need

    saved = load_checkpoint(path)
    iterations = np.arange(1, len(saved.train_losses) + 1)
    columns = {column: np.full(len(iterations), np.nan) for column in COLUMNS}
    columns["train_loss"] = np.array(saved.train_losses, dtype=np.float64)
    if saved.i:
        columns["epoch"] = iterations * (saved.epoch / saved.i)
    # Checkpoints of the original lack some options; the original behaves like the defaults of these.
    options = TrainOptions().values() | saved.opt | {"dtype": str(saved.params.dtype).removeprefix("torch.")}
    if "torch7" not in saved.opt:  # checkpoints of the original do not record it
        del options["torch7"]
    fingerprints = {saved.i: saved.fingerprint}
    return History(os.fspath(path), iterations, columns, saved.val_losses, options, fingerprints=fingerprints)

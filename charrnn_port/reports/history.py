"""A run's history, from any file that holds one: a log of this program or of the original, a CSV file, a checkpoint."""

import codecs
import csv
import glob
import math
import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np

from charrnn_port.options import TrainOptions
from charrnn_port.util.errors import UserError
from charrnn_port.util.file_types import FileTypeError, file_type_of, first_bytes

COLUMNS = ("epoch", "train_loss", "grad_param_norm", "learning_rate", "seconds")
LARGEST = 1 << 30  # bytes of a file of text; a line of a log has about a hundred
LONGEST = 1 << 16  # characters of a line; what is longer is read in pieces
WANTED = "a log, a CSV file or a checkpoint"

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
    """What is known of a run. Losses are in nats per character; NaN stands for what is unknown."""

    name: str  # the file
    iterations: np.ndarray  # int64 [n], ascending; those that have a line
    columns: dict[str, np.ndarray]  # by the names in COLUMNS: float64 [n]
    val_losses: dict[int, float]  # by iteration
    options: dict[str, str | int | float] = field(default_factory=dict)  # as far as they are known
    # How numbers are rounded in the file, as a format such as .8f or .4e; what is not in it has all digits.
    formats: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[int, str] = field(default_factory=dict)  # of the parameters, by iteration


def read_history(path: str | os.PathLike) -> History:
    """The history in a file; a folder stands for the newest file in it that has one.

    Raises UserError for a file that is missing or damaged, or has none in it.
    """
    if os.path.isdir(path):
        return newest(Path(path))
    try:
        begin = first_bytes(path, WANTED)
        if b"\0" in begin or Path(path).suffix in (".t7", ".pt"):
            return of_checkpoint(path)
        if kind := file_type_of(begin):
            raise FileTypeError(f"{kind.what}, not {WANTED}: {kind.to_do}")
        if os.path.getsize(path) > LARGEST:
            raise UserError(f"{path} has more than {LARGEST >> 30} GB, which no log has: name {WANTED}")
        with open(path, encoding="utf-8-sig", errors="replace") as file:  # which takes \r for the end of a line too
            read = of_csv if begin.removeprefix(codecs.BOM_UTF8).startswith(b"iteration,") else of_log
            history = read(os.fspath(path), lines_of(file))
    except FileTypeError as error:
        raise UserError(f"{path} is {error}") from error
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: name {WANTED}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not len(history.iterations):
        raise UserError(f"{path} has no line of an iteration in it: name {WANTED}")
    return history


def newest(folder: Path) -> History:
    """The history in a folder's newest file that has one."""
    paths = [path for path in folder.iterdir() if path.suffix in (".csv", ".log", ".txt", ".t7", ".pt")]
    for path in sorted(paths, key=lambda path: path.lstat().st_mtime_ns, reverse=True):
        with suppress(UserError):
            return read_history(path)
    raise UserError(f"in the folder {folder} is no history of a run: name {WANTED}")


def lines_of(file: TextIO) -> Iterator[str]:
    """Lines, those that are too long in pieces."""
    while line := file.readline(LONGEST):
        yield line


class Lines:
    """Lines of a run as they come. One that goes on from an earlier iteration replaces what came after that."""

    def __init__(self) -> None:
        self.iterations: list[int] = []
        self.rows: list[tuple[float, ...]] = []  # of COLUMNS
        self.val_losses: dict[int, float] = {}

    def add(self, i: int, *row: float) -> None:
        """The line of an iteration."""
        if self.iterations and i <= self.iterations[-1]:
            place = bisect_left(self.iterations, i)
            del self.iterations[place:], self.rows[place:]
            self.val_losses = {at: loss for at, loss in self.val_losses.items() if at < i}
        self.iterations.append(i)
        self.rows.append(row)

    def history(self, name: str, options: dict, formats: dict) -> History:
        """All of them."""
        columns = np.array(self.rows, dtype=np.float64).reshape(-1, len(COLUMNS)).T
        iterations = np.array(self.iterations, dtype=np.int64)
        return History(name, iterations, dict(zip(COLUMNS, columns, strict=True)), self.val_losses, options, formats)


def of_log(name: str, lines: Iterable[str]) -> History:
    """From what a run prints, with whatever else is among it."""
    found, options, formats = Lines(), {}, {}
    ntrain, total, shape = 0, 0, None
    marks: list[tuple[int, re.Match]] = []  # each with the last iteration before: it is about the next one
    for line in lines:
        for match in LINE.finditer(line):
            numbers = match.groups("nan")
            i, epoch, its_shape = int(numbers[0]), float(numbers[2]), [decimals(number) for number in numbers[2:5]]
            torn = shape and its_shape != shape and not line.endswith("\n")
            if torn or (ntrain and abs(epoch - i / ntrain) > 10.0 ** -its_shape[0]):
                continue  # a part of a line that something else was written into
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
            options["dtype"] = match[1] or "float32"  # that of the original on a GPU
    history = found.history(name, options, formats)
    add_rates(history, [mark for mark in marks if mark[1].re is DECAYED])
    add_val_losses(history, [mark for mark in marks if mark[1].re is not DECAYED], total)
    return history


def add_rates(history: History, decays: list[tuple[int, re.Match]]) -> None:
    """The learning rates around the lines that tell of another one, which holds from the next iteration on."""
    rates = history.columns["learning_rate"]
    for number, (after, match) in enumerate(decays):
        place, rate = bisect_right(history.iterations, after), float(match["rate"])
        if number == 0:
            rates[:place] = rate / float(match["factor"]) if float(match["factor"]) else math.nan
        alone = history.iterations[place : place + 1] == after + 1  # not one of several without lines
        rates[place : place + 1] = np.where(alone, rates[place - 1] if place else math.nan, math.nan)
        rates[place + 1 :] = rate


def add_val_losses(history: History, marks: list[tuple[int, re.Match]], total: int) -> None:
    """The validation losses.

    Notes of this program tell their iteration. Without one it is that of the next line, or the last where none follows.
    """
    noted = {(match["epoch"], match["loss"]): int(match["i"]) for _, match in marks if match.re is VALIDATION}
    for after, match in marks:
        following = history.iterations[bisect_right(history.iterations, after) :]
        i = int(following[0]) if len(following) else total
        history.val_losses[noted.get((match["epoch"], match["loss"]), i)] = float(match["loss"])
        widen(history.formats, "val_loss", match["loss"])


def decimals(number: str) -> int:
    """How many there are: 4 in 1.2345e-01."""
    return len(re.match(r"[^.e]*\.?(\d*)", number)[1])


def widen(formats: dict[str, str], name: str, number: str) -> None:
    """Let the format of a column have as many decimals as this number of it."""
    kind = "e" if "e" in number else "f"
    wider = max(decimals(number), int(formats.get(name, ".0f")[1:-1]))
    if "n" not in number:  # nan, inf
        formats[name] = f".{wider}{kind}"


def of_csv(name: str, lines: Iterable[str]) -> History:
    """From a CSV file with a header, in full digits; its last line may be cut short, for a run may be writing it."""
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
        raise UserError(f"{name} is damaged: its line {damaged} is not one of {', '.join(rows.fieldnames)[:200]}")
    return found.history(name, options_beside(Path(name), found), {})


def options_beside(path: Path, found: Lines) -> dict[str, str | int | float]:
    """A CSV file has none; but the newest checkpoint beside it has, if its losses show that it is of the same run."""
    checkpoints = path.parent.glob(f"lm_{glob.escape(path.stem)}_*.t7.pt")
    for checkpoint in sorted(checkpoints, key=lambda each: each.lstat().st_mtime_ns)[-1:]:
        with suppress(UserError):
            saved = of_checkpoint(checkpoint)
            losses = dict(zip(found.iterations, (row[COLUMNS.index("train_loss")] for row in found.rows), strict=True))
            if all(losses.get(i, loss) == loss for i, loss in enumerate(saved.columns["train_loss"].tolist(), 1)):
                return saved.options
    return {}


def of_checkpoint(path: str | os.PathLike) -> History:
    """From a checkpoint of ours or of the original: in full digits, without the norms."""
    from charrnn_port.checkpoints import load_checkpoint  # it brings torch, which takes seconds: not for logs

    saved = load_checkpoint(path)
    iterations = np.arange(1, len(saved.train_losses) + 1)
    columns = {column: np.full(len(iterations), np.nan) for column in COLUMNS}
    columns["train_loss"] = np.array(saved.train_losses, dtype=np.float64)
    if saved.i:
        columns["epoch"] = iterations * (saved.epoch / saved.i)
    # The original's lack some options, and behave as by our defaults.
    options = TrainOptions().values() | saved.opt | {"dtype": str(saved.params.dtype).removeprefix("torch.")}
    if "torch7" not in saved.opt:  # these do not tell
        del options["torch7"]
    fingerprints = {saved.i: saved.fingerprint}
    return History(os.fspath(path), iterations, columns, saved.val_losses, options, fingerprints=fingerprints)

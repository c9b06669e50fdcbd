"""Repeat recorded runs of the original, and compare their printed lines and the names of their checkpoints."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from charrnn_port.model import fastest_backend, reason_not_fastest
from charrnn_port.options import TrainOptions
from charrnn_port.reports.verify import bits
from charrnn_port.reports.verify.recordings import Numbers, Run
from charrnn_port.reports.verify.results import Lines
from charrnn_port.training import Training, prepare, recorders, run

Echo = Callable[[str], None]
EARLY = 50  # lines
# Largest differences of losses, in nats per character, in the first EARLY lines and after them. They allow for another
# order of summation than Torch7's, and are 0 where Torch7's bits are promised. In double precision they apply only to
# lines that depend on rounding; Torch7 itself, started one unit in the last place away, differs by 2e-5 there.
# Single precision rounds a billion times as coarsely. Where all lines are certain, processors differed from the
# recordings by up to 1.3e-5 (at a loss of 79) and later 2e-3. Where not all are, the end of a run is unpredictable.
BITS = (0.0, 0.0)
DOUBLE = (1e-4, 1e-4)
SINGLE = (5e-5, 2e-2)
SINGLE_OPEN = (5e-5, np.inf)

# The original prints that it clones the network, which this port does not do.
NOT_PRINTED = re.compile(r"cloning .*\n")
TIME = re.compile(r", time/batch = .*")
REAL = re.compile(r"\d+\.\d+(e[-+]\d+)?")


@dataclass(frozen=True)
class Backend:
    """The options -cell, -dtype and -gpuid of train.py."""

    cell: str = "auto"
    dtype: str = "float64"
    gpuid: int = -1

    @property
    def exact(self) -> bool:
        """Whether the recorded digits are promised in all lines that do not depend on rounding."""
        return self.dtype == "float64"

    @property
    def bits(self) -> bool:
        """Whether Torch7's bits are promised: only for compiled cells in double precision on a CPU."""
        return not self.without_bits

    @property
    def without_bits(self) -> str:
        """The reason why Torch7's bits are not promised, as the end of a sentence, or "" if they are."""
        if self.gpuid >= 0:
            return "a GPU adds in another order"
        if self.dtype != "float64":
            return f"this is {self.dtype}, of which nothing was recorded"
        cpu = torch.device("cpu")
        cell = fastest_backend("lstm", torch.float64, cpu) if self.cell == "auto" else self.cell
        if cell == "compiled":
            return ""
        why = reason_not_fastest(cell, torch.float64, cpu) if self.cell == "auto" else ""
        return f"{cell} cells add in another order" + (f"; {why}" if why else "")


class Repeated(NamedTuple):
    """The result of repeating a recorded run."""

    output: str  # its stdout
    checkpoint_dir: Path
    numbers: Numbers  # its values of the recorded numbers


def prepared(recorded: Run, backend: Backend, folder: Path, echo: Echo = lambda line: None) -> Training:
    """Return a recorded run before its first iteration; the text is in `folder`/play, checkpoints go to `folder`/cv."""
    values = recorded.arguments | vars(backend) | {"torch7": recorded.torch7}
    values |= {"data_dir": folder / "play", "checkpoint_dir": folder / "cv" / recorded.torch7 / recorded.name}
    return prepare(TrainOptions(**values), frozenset(values), echo=echo)


def repeat(recorded: Run, backend: Backend, folder: Path) -> Repeated:
    """Repeat a recorded run, with its checkpoints in `folder`."""
    lines: list[str] = []
    numbers: Numbers = {}
    training = prepared(recorded, backend, folder, lines.append)
    events = bits.watch(run(training), training.network, recorded.bits if backend.bits else {}, numbers)
    for _ in recorders.print_lines(recorders.save_checkpoints(events), lines.append):
        pass
    return Repeated("\n".join([*lines, ""]), Path(training.options.checkpoint_dir), numbers)


def part(recorded: Run) -> str:
    """Return the section of the table for a run."""
    return f"Torch7 of {recorded.torch7}"


def compare(recorded: Run, output: str, written: set[str], backend: Backend) -> Lines:
    """Compare the lines that a run printed and the checkpoints that it wrote with the recording."""
    ours = [*comparable(output), *sorted(written)]
    theirs = [*comparable(recorded.stdout), *sorted(files_of(recorded))]
    alike = first_other(ours, theirs)
    other = ""
    if alike < max(len(ours), len(theirs)):
        line, its_line = (lines[alike] if alike < len(lines) else "(nothing more)" for lines in (theirs, ours))
        other = f"recorded: {line}\n    here: {its_line}"
    early, late = differences(ours, theirs)
    total = len(log_lines(theirs))
    certain = total if backend.bits else recorded.certain
    limits = BITS if backend.bits else DOUBLE if backend.exact else SINGLE if certain == total else SINGLE_OPEN
    return Lines(
        part(recorded),
        recorded.name,
        "printed lines",
        equal=len(log_lines(theirs[:alike])),
        certain=certain,
        total=total,
        other=other,
        same_shape=shape(ours) == shape(theirs),
        exact=backend.exact,
        early=early,
        late=late,
        early_limit=limits[0],
        late_limit=limits[1],
    )


def files_of(recorded: Run) -> set[str]:
    """Return the names of this port's checkpoints that correspond to the recorded ones."""
    names = {f"{name}.pt" for name in recorded.checkpoints}
    if "loss is exploding" in recorded.stdout:  # the original saves nothing then
        names.add("lm_lstm_interrupted.t7.pt")
    return names


def differences(ours: list[str], theirs: list[str]) -> tuple[float, float]:
    """Return the largest differences of losses in the first EARLY lines and later; infinity if lines are missing."""
    ours, theirs = log_lines(ours), log_lines(theirs)
    if len(ours) != len(theirs):
        return np.inf, np.inf
    off = np.abs(losses(ours) - losses(theirs))
    return float(off[:EARLY].max(initial=0)), float(off[EARLY:].max(initial=0))


def first_other(ours: list[str], theirs: list[str]) -> int:
    """Return the number of equal lines at the beginning."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(ours), len(theirs)))


def shape(lines: list[str]) -> list[str]:
    """Return lines with # in place of each decimal fraction."""
    return [REAL.sub("#", line) for line in lines]


def comparable(output: str) -> list[str]:
    """Return the printed lines from "loading data files" on, without times and without the folders of files."""
    lines = NOT_PRINTED.sub("", output).split("\n")
    lines = lines[lines.index("loading data files...") :]
    lines = [TIME.sub("", line).replace(".t7.pt", ".t7") for line in lines]
    lines = [re.sub(r"(checkpoint to )\S*/", r"\1", line) for line in lines]
    return [re.sub(r"(from checkpoint )\S*", r"\1", line) for line in lines]


def log_lines(output: str | list[str]) -> list[str]:
    """Return the iteration lines, without times."""
    lines = output.split("\n") if isinstance(output, str) else output
    return [TIME.sub("", line) for line in lines if "train_loss" in line]


def losses(lines: list[str]) -> np.ndarray:
    """Return the training losses in iteration lines."""
    return np.array([float(re.search(r"train_loss = ([^,]+)", line)[1]) for line in lines])

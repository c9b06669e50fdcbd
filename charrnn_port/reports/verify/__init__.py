"""`charrnn verify`: check this port against recordings of the original on this machine.

    verify           runs all checks and prints the table
    recordings       recorded runs, files and numbers of the original, which are part of the package
    results          dataclasses for the results of checks
    runs, bits, vectors, streams, samples, files, cells      one module for each kind of check
    table            formats results as lines

The tests use the same recordings.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from charrnn_port.checkpoints import require_new_file
from charrnn_port.command_line import log_written
from charrnn_port.device import DTYPES, choose_device, choose_dtype
from charrnn_port.model import BACKENDS, fastest_backend
from charrnn_port.options import VerifyOptions
from charrnn_port.reports.inspect import jsonable
from charrnn_port.reports.machine import describe
from charrnn_port.reports.verify import bits, cells, files, recordings, results, runs, samples, streams, table, vectors
from charrnn_port.reports.verify.recordings import Run
from charrnn_port.reports.verify.results import Check, Failed
from charrnn_port.reports.verify.runs import Backend
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import require_writable, write_atomically

__all__ = [
    "bits",
    "cells",
    "files",
    "recordings",
    "results",
    "runs",
    "samples",
    "streams",
    "table",
    "vectors",
    "verify",
]


class Step(NamedTuple):
    """A few checks that run together; `part` and `name` identify them if they fail with an error."""

    part: str
    name: str
    checks: Callable[[], Iterable[Check]]


def verify(options: VerifyOptions) -> None:
    """Print the table, and write the results to the file in -json. Raises UserError if a promise does not hold."""
    if options.json:
        require_new_file("-json", options.json)
        require_writable(options.json)
    device = choose_device(options.gpuid, False, print)
    dtype = choose_dtype(options.dtype, device)
    cell = fastest_backend("lstm", dtype, device) if options.cell == "auto" else options.cell
    BACKENDS[cell]("lstm", 1, 1, 1, dtype=dtype, device=device)  # raises UserError if it is unavailable
    backend = Backend(options.cell, str(dtype).removeprefix("torch."), -1 if device.type == "cpu" else options.gpuid)
    machine = describe(cell, dtype, device) | {"promised": promised(backend)}
    for name, value in machine.items():
        print(f"{name:12}{value}", flush=True)
    start = time.perf_counter()
    checks = list(made(backend, device))
    seconds = round(time.perf_counter() - start, 1)
    wrong = [check for check in checks if not check.holds]
    for line in table.table(checks):
        print(line)
    print(f"\n{len(checks) - len(wrong)} of {len(checks)} promises hold; it took {seconds} s")
    if options.json:
        found = {"machine": machine, "seconds": seconds, "holds": not wrong}
        found["checks"] = [check.values() for check in checks]
        write_atomically(json.dumps(jsonable(found), indent=1, allow_nan=False).encode(), options.json)
        log_written(options.json)
    if wrong:
        names = dict.fromkeys(f"{check.part}, {check.name}" for check in wrong)
        raise UserError(f"{len(wrong)} of {len(checks)} promises do not hold here: {'; '.join(names)}")


def promised(backend: Backend) -> str:
    """Return whether Torch7's bits are promised, and if not, why, as text."""
    if backend.bits:
        return "all bits of Torch7: these are compiled cells in float64 on a CPU"
    return f"to rounding: only compiled cells in float64 on a CPU have all bits of Torch7, and {backend.without_bits}"


def made(backend: Backend, device: torch.device) -> Iterator[Check]:
    """Yield all results. Any exception in a check becomes a result, since a new machine may fail in any way."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(recordings.FOLDER / "play", folder / "play")
        for step in shown(steps(backend, device, folder)):
            try:
                yield from step.checks()
            except Exception as error:
                yield Failed(step.part, step.name, "all", f"{type(error).__name__}: {error}")


def shown(steps: list[Step]) -> Iterable[Step]:
    """Return the steps, with a progress bar on stderr if it is a terminal and tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return steps
    return tqdm(steps, disable=None, leave=False, file=sys.stderr)


def steps(backend: Backend, device: torch.device, folder: Path) -> list[Step]:
    """Return all steps in the order of the table."""
    found = []
    for torch7 in recordings.FILES:
        if torch7 == "2017" or device.type == "cpu":  # on a GPU nothing changed in 2016
            for recorded in recordings.runs(torch7).values():
                found.append(Step(runs.part(recorded), recorded.name, partial(repeated, recorded, backend, folder)))
    for recorded in recordings.runs("2017").values():
        if recorded.vectors:
            found.append(Step(vectors.PART, recorded.name, partial(vectors.vectors, recorded, backend, folder)))
    for path in files.LUA_CHECKPOINTS:
        recorded = recordings.runs("2017")[path.stem]
        found.append(Step(vectors.PART, recorded.name, lambda run=recorded: [vectors.val_loss(run, backend, folder)]))
        found.append(Step(samples.PART, path.name, partial(samples.of_lua_checkpoint, recorded, path, device)))
    found += [Step(streams.PART, check.func.__name__, lambda check=check: [check()]) for check in streams.checks()]
    found += [Step(files.PART, path.name, lambda path=path: [files.written_back(path)]) for path in files.ALL]
    dtype = DTYPES[backend.dtype]
    for model, cell in cells.backends(dtype, device):
        found.append(Step(cells.PART, f"{model} {cell}", partial(cells.checks, model, cell, dtype, device)))
    return found


def repeated(recorded: Run, backend: Backend, folder: Path) -> Iterator[Check]:
    """Repeat a recorded run, and yield the checks of its lines and, where promised, of its bits and samples."""
    output, checkpoint_dir, numbers = runs.repeat(recorded, backend, folder)
    lines = runs.compare(recorded, output, {file.name for file in checkpoint_dir.glob("*")}, backend)
    yield lines
    if backend.bits and recorded.bits:
        yield bits.compare(recorded, numbers)
    if backend.bits:
        yield from vectors.last_checkpoint(recorded, checkpoint_dir)
    if recorded.samples and not lines.other and lines.certain == lines.total:
        yield from samples.of_run(recorded, checkpoint_dir)

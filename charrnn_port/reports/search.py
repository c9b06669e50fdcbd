"""`charrnn search`: search over training options by successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943).

Rung 0 trains each of some random configurations for -epochs. Each further rung resumes the best third of the rung
before, up to three times as many epochs, until less than three runs are left. Nothing is trained twice. Each run is a
process of train.py with one thread and a folder of its own. Results of finished rungs are kept in search.json, from
which, and from the runs' checkpoints, the same command continues after it was stopped or killed.
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import charrnn_port
from charrnn_port.command_line import fail, log_line, log_written, print_line
from charrnn_port.config import import_yaml
from charrnn_port.datasets import provide
from charrnn_port.options import OptionError, PlotOptions, SearchOptions, TrainOptions
from charrnn_port.reports.history import read_history
from charrnn_port.reports.plot import COLORS, plot, shown
from charrnn_port.reports.printing import jsonable
from charrnn_port.reports.search_space import Value, draw, read_space, varies
from charrnn_port.training import Interrupts
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import has_ended, lock, open_lock, write_atomically
from charrnn_port.util.short_texts import texts_in_folder
from charrnn_port.util.text_cache import require_text

FACTOR = 3  # of the epochs from rung to rung, and of the number of runs in the other direction
DIVERGED = 3  # the exit status of train.py for a loss that diverged
STATE = "search.json"
TABLE = "lstm.csv"  # in the folder of each run
POLL = 0.1  # seconds


@dataclass
class Run:
    """A configuration with its results: for each rung that it has finished, the best validation loss until then."""

    folder: Path
    options: dict[str, Value]
    losses: list[float] = field(default_factory=list)  # nats per character; infinite if the run diverged
    epochs: list[float] = field(default_factory=list)  # trained at the end of each rung

    def values(self) -> dict[str, object]:
        """Return what is saved of it."""
        return {"options": self.options, "losses": self.losses, "epochs": self.epochs}


def search(options: SearchOptions) -> None:
    """Run the search until it is finished, stopped or out of time, then print its table and write its files.

    Raises OptionError or UserError for an invalid space, a missing text, or a folder of another search. Exits with
    status 1 if runs failed, and with 128 + the number of the signal that stopped the search.
    """
    if not options.config:
        raise OptionError("-config is missing: name a YAML file with the options to try; see docs/training.md")
    space = read_space(options.config)
    folder = Path(options.o)
    data_dir = str(space["data_dir"].at(0)) if "data_dir" in space else TrainOptions().data_dir
    data_dir = provide(data_dir, True, log_line)
    if not texts_in_folder(data_dir):
        require_text(Path(data_dir, "input.txt"))
    with claim(folder) as lock_file:
        runs = saved(folder, options.epochs)
        drawn = draw(space, max(options.configurations, len(runs)), options.seed)
        if any(run.options != values for run, values in zip(runs, drawn, strict=False)):
            raise UserError(f"{folder} has another search, with other options or another seed: use another -o")
        runs += [Run(folder_of(folder, place), drawn[place]) for place in range(len(runs), len(drawn))]
        with Interrupts(quiet=True) as interrupts:
            running = Search(options, folder, runs, lock_file, interrupts)
            running.halve()
        report(options, folder, runs, [name for name, each in space.items() if varies(each)])
    if interrupts.received:
        sys.exit(128 + interrupts.received)
    if running.failed:
        fail(f"{len(running.failed)} of {len(runs)} runs failed; the first: {running.failed[0]}", 1)
    if not any(run.losses for run in runs):
        fail(f"no run finished its first rung in {options.minutes:g} minutes: repeat the command, which continues", 1)


@contextmanager
def claim(folder: Path) -> Iterator[TextIO]:
    """Create the folder and lock it. The runs inherit the lock, so that those of a killed search still hold it.

    Raises UserError if another search is running there, or if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open_lock(folder / ".lock")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; use another -o") from error
    with file:
        if not locked(file, folder):
            log_line("waiting for the runs of a search that was killed, which save their state")
            while not locked(file, folder):
                time.sleep(POLL)
        file.truncate(0)
        print(os.getpid(), file=file, flush=True)
        yield file


def locked(file: TextIO, folder: Path) -> bool:
    """Lock the file. Returns False if runs of a search that was killed hold the lock: they end by themselves soon."""
    try:
        lock(file)
    except BlockingIOError:
        file.seek(0)
        pid = file.read(20).strip()
        if has_ended(pid):
            return False
        raise UserError(f"another search, process {pid}, writes to {folder}: wait, or use another -o") from None
    return True


def folder_of(folder: Path, place: int) -> Path:
    """Return the folder of a run; `place` is its index in the list of all."""
    return folder / f"runs/{place + 1}"


def saved(folder: Path, epochs: int) -> list[Run]:
    """Return the runs with their results, if saved. Raises UserError if they are corrupt or of other epochs."""
    path = folder / STATE
    if not path.exists():
        return []
    try:
        state = json.loads(path.read_text())
        runs = [Run(folder_of(folder, place), **values) for place, values in enumerate(state["runs"])]
        its_epochs = state["epochs"]
        for run in runs:
            run.losses = [math.inf if loss is None else float(loss) for loss in run.losses]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is corrupt: delete the folder, or use another -o") from error
    if its_epochs != epochs:
        raise UserError(f"{path} is of a search with -epochs {its_epochs}: use that, or another -o")
    return runs


class Search:
    """The runs in progress. `failed` has an error for each run that ended with one."""

    def __init__(
        self, options: SearchOptions, folder: Path, runs: list[Run], lock_file: TextIO, interrupts: Interrupts
    ) -> None:
        self.options = options
        self.folder = folder
        self.runs = runs
        self.lock_file = lock_file
        self.interrupts = interrupts
        self.deadline = time.monotonic() + 60 * options.minutes
        self.failed: list[str] = []
        self._stopping = False
        self._processes: list[subprocess.Popen] = []
        self._guard = threading.Lock()  # of the two above: no process may start after all have been stopped

    def halve(self) -> None:
        """Run all rungs, or as many as there is time for."""
        chosen, rung = self.runs, 0
        while chosen:
            self.train_all([run for run in chosen if len(run.losses) <= rung], rung)
            if self._stopping:
                return
            finished = [run for run in chosen if len(run.losses) > rung and math.isfinite(run.losses[rung])]
            chosen = sorted(finished, key=lambda run: run.losses[rung])[: len(chosen) // FACTOR]
            rung += 1

    def train_all(self, runs: list[Run], rung: int) -> None:
        """Train runs to the end of a rung, several at once, and save each result as it comes."""
        jobs = self.options.jobs or cores()
        done = 0
        with ThreadPoolExecutor(jobs) as pool:
            pending = {pool.submit(self.train, run, rung): run for run in runs}
            try:
                while pending:
                    for future in wait(pending, POLL, FIRST_COMPLETED).done:
                        run, status = pending.pop(future), future.result()
                        done += 1
                        if self.take(run, rung, status):
                            self.save()
                            log_line(f"rung {rung + 1}, {done} of {len(runs)}: {run.folder}, {result_of(run)}")
                    if self.interrupts.stopping():
                        self.stop(signal.Signals(self.interrupts.received).name)
                    elif time.monotonic() > self.deadline:
                        self.stop(f"-minutes {self.options.minutes:g} are over")
            finally:
                if pending:
                    self.stop("error")

    def train(self, run: Run, rung: int) -> int | None:
        """Train a run to the end of a rung. Returns its exit status; None if the search stopped before it began.

        The output of train.py goes through a pipe. If this process is killed, the run gets SIGPIPE and saves its state.
        """
        words = ["-max_epochs", self.options.epochs * FACTOR**rung, "-checkpoint_dir", run.folder, "-progress", 0]
        if any(run.folder.glob("*.t7.pt")):
            words += ["-resume", "latest"]
        else:
            shutil.rmtree(run.folder, ignore_errors=True)  # of a run that was killed before its first checkpoint
            words += ["-log", 1, "-keep_last", 1]
            words += [word for name, value in run.options.items() for word in (f"-{name}", value)]
        run.folder.mkdir(parents=True, exist_ok=True)
        package = str(Path(charrnn_port.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        with open(run.folder / "train.log", "ab") as log, self._guard:
            if self._stopping:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "charrnn_port", "train", *map(str, words)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
                start_new_session=True,  # a terminal's Ctrl-C reaches this process only, which stops its runs
                pass_fds=[self.lock_file.fileno()] if os.name == "posix" else [],
            )  # fmt: skip
            self._processes.append(process)
        with process:
            for _ in process.stdout:
                pass
        return process.returncode

    def stop(self, why: str) -> None:
        """Let no run begin, and end those in progress; train.py saves their state."""
        with self._guard:
            if self._stopping:
                return
            self._stopping = True
            for process in self._processes:
                process.terminate()
        log_line(f"{why}: saving the runs in progress; the same command continues")

    def take(self, run: Run, rung: int, status: int | None) -> bool:
        """Add the result of a run that ended. Returns whether it finished the rung."""
        what = f"exit status {status}"
        if status in (0, DIVERGED):
            history = read_history(run.folder / TABLE)
            losses = [loss for loss in history.val_losses.values() if math.isfinite(loss)]
            if losses or status == DIVERGED:
                run.losses.append(math.inf if status == DIVERGED else min(losses))
                run.epochs.append(float(history.columns["epoch"][-1]))
                return True
            what = "no validation loss: use a larger val_frac, or a smaller batch_size or seq_length"
        elif log := (run.folder / "train.log").read_text(errors="replace").splitlines():
            what = log[-1].removeprefix("Error: ")
        if not self._stopping:
            self.failed.append(f"{run.folder}: {what}")
            log_line(self.failed[-1])
        return False

    def save(self) -> None:
        """Write all results."""
        state = {"epochs": self.options.epochs, "runs": [run.values() for run in self.runs]}
        write_atomically(json.dumps(jsonable(state), indent=1).encode(), self.folder / STATE)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def result_of(run: Run) -> str:
    """Return the last result of a run in words."""
    loss = run.losses[-1]
    return f"{f'validation loss {loss:.4f}' if math.isfinite(loss) else 'diverged'} after {run.epochs[-1]:.4g} epochs"


def report(options: SearchOptions, folder: Path, runs: list[Run], varying: list[str]) -> None:
    """Print the table of all runs that finished a rung, the best first, and write best.yaml and curves.png."""
    ranked = sorted((run for run in runs if run.losses), key=lambda run: run.losses[-1])
    good = [run for run in ranked if math.isfinite(run.losses[-1])]
    if options.json:
        rows = [
            {"rank": rank, "val_loss": run.losses[-1], "epochs": run.epochs[-1], "options": run.options,
             "folder": str(run.folder)}
            for rank, run in enumerate(ranked, 1)
        ]  # fmt: skip
        print_line(json.dumps(jsonable({"runs": rows}), indent=2, allow_nan=False))
    elif ranked:
        table = [["rank", "validation loss", "epochs", *varying, "folder"]]
        for rank, run in enumerate(ranked, 1):
            loss = f"{run.losses[-1]:.4f}" if math.isfinite(run.losses[-1]) else "diverged"
            values = [shown(run.options[name]) for name in varying]
            table.append([str(rank), loss, f"{run.epochs[-1]:.4g}", *values, str(run.folder)])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for *cells, last in table:
            print_line("  ".join([*(cell.rjust(width) for cell, width in zip(cells, widths, strict=False)), last]))
    if not good:
        return
    best = good[0]
    values = best.options | {"max_epochs": options.epochs * FACTOR ** (len(best.losses) - 1)}
    text = import_yaml().safe_dump(values, sort_keys=False, allow_unicode=True)
    write_atomically(text.encode(), folder / "best.yaml")
    log_written(folder / "best.yaml")
    try:
        plot(PlotOptions(tuple(str(run.folder / TABLE) for run in good[: len(COLORS)]), o=str(folder / "curves.png")))
    except UserError as error:
        log_line(f"no curves.png: {error}")

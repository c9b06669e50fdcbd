"""Shared by all tests: recordings of the original program, and train.py and sample.py run in this process."""

import gc
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest
import torch
from click.testing import CliRunner, Result

ROOT = Path(__file__).parent.parent
REFERENCE = Path(__file__).parent / "reference"
sys.path.insert(0, str(ROOT))  # tests import the package of this folder, even if another one is installed

from charrnn_port.model import BACKENDS, library  # noqa: E402
from charrnn_port.options import TrainOptions  # noqa: E402
from charrnn_port.programs import sample, train  # noqa: E402
from charrnn_port.reports.verify.recordings import FILES  # noqa: E402
from charrnn_port.reports.verify.recordings import FOLDER as RECORDINGS  # noqa: E402
from charrnn_port.reports.verify.vectors import loss_of as loss_of  # noqa: E402

# One thread here and in programs that tests start, unless a test sets more: threads of several programs that share a
# core waste their time waiting for each other.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

NEEDS_COMPILER = pytest.mark.skipif(library(torch.float64) is None, reason="no C compiler")
# The backends that run on a CPU; tests/model/test_cuda_lstm.py tests the other one.
CPU_BACKENDS = [
    pytest.param(backend, marks=NEEDS_COMPILER if backend == "compiled" else [])
    for backend in BACKENDS
    if backend != "persistent"
]


@pytest.fixture(scope="session")
def recordings() -> h5py.File:
    """Open the recordings of the unmodified char-rnn on Torch7: `runs/NAME` and `random/KIND_SEED`."""
    with h5py.File(FILES["2017"]) as file:
        yield file


@pytest.fixture(scope="session")
def play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the text that all recorded runs were trained on."""
    folder = tmp_path_factory.mktemp("data") / "play"
    shutil.copytree(RECORDINGS / "play", folder)
    return folder


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Simulate a disk that becomes full: let no file of this process, and of those that it starts, become longer.

    Windows has no such limit; there the test is skipped.
    """
    resource = pytest.importorskip("resource")
    before, bytecode = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    with pytest.MonkeyPatch.context() as patch:
        # Python would leave truncated .pyc files of the modules that are imported meanwhile, and fail to load them.
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        sys.dont_write_bytecode = True
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            sys.dont_write_bytecode = bytecode


@pytest.fixture(scope="module", autouse=True)
def older_objects_are_frozen() -> Iterator[None]:
    """Hide the objects of other modules and their tests from the garbage collector.

    A collection would look at millions of them: for a second, in the middle of what a test measures.
    """
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def signals_are_not_ignored() -> None:
    """Let programs that tests start receive SIGHUP and SIGINT, which nohup and a shell's & make them ignore.

    A handler, unlike SIG_IGN, is not inherited by another program. It does nothing, so that the tests go on.
    """
    for name in ("SIGHUP", "SIGINT"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)


@pytest.fixture
def ended_pid():
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return str(process.pid)


def traps(folder: Path) -> Path:
    """Fill a folder with modules named like those of this repository. Importing one ends the program."""
    for name in ("train.py", "sample.py", "options.py", "model/__init__.py", "util/__init__.py", "tests/__init__.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("raise SystemExit('the wrong module')")
    return folder


def run_train(*arguments: object) -> Result:
    """Run `python train.py ARGUMENTS` in this process."""
    return CliRunner().invoke(train.main, [str(word) for word in arguments])


def run_sample(*arguments: object, stdin: bytes = b"") -> Result:
    """Run `python sample.py ARGUMENTS` in this process."""
    return CliRunner().invoke(sample.main, [str(word) for word in arguments], input=stdin)


def train_options(*arguments: object) -> TrainOptions:
    """Return the options that train.py would run with."""
    return TrainOptions(**train.main.make_context("train.py", [str(word) for word in arguments]).params)


def arguments_of(run: h5py.Group) -> list[str]:
    """Return the command line of a recorded run."""
    return shlex.split(run.attrs["arguments"])


# The beginnings of notes on stderr, which are not errors.
NOTES = (
    "-max_epochs ",
    "cell: ",
    "loading ",
    "wrote ",
    "validation loss ",
    "no batches in the validation split: ",
    "finished after iteration ",
)


def without_notes(stderr: str) -> str:
    """Return stderr without notes: empty if nothing went wrong."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not line.startswith(NOTES))


def assert_one_line_error(result: Result, status: int, *words: str) -> None:
    """Assert that the program ended with this status, and with one line on stderr, besides notes, with these words."""
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    error = without_notes(result.stderr)
    assert error.count("\n") == 1, result.stderr
    assert error.startswith("Error: ")
    assert result.stderr.endswith(error)
    for word in words:
        assert word in error

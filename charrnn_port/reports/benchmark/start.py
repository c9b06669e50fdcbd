"""Measure the startup time of sample.py and train.py against importing PyTorch alone."""

import os
import statistics
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from charrnn_port.checkpoints import save_checkpoint
from charrnn_port.reports.benchmark.subjects import our_training
from charrnn_port.reports.benchmark.timing import in_turn, ratio
from charrnn_port.util.errors import UserError

IMPORT, IMPORTED = "import torch", "import torch, up to a line"
SAMPLE, TRAIN = "sample.py -length 1", "train.py, 1 iteration"
AGAINST = {SAMPLE: IMPORT, TRAIN: IMPORTED}
FIRST_LOSS = "1/"  # the beginning of train.py's line of the first iteration


def time_start(folder: str, size: tuple[int, int], device: torch.device, repeats: int) -> list[dict]:
    """Print the seconds of each process, and return the row.

    train.py is killed after its first iteration, and is compared with an import that is killed after it has printed.
    """
    print("\nstart, s (median); ratio: median (quartiles)")
    checkpoint = str(Path(folder, "start.t7.pt"))
    training = our_training(folder, "fused", "lstm", *size, 50, torch.float64, torch.device("cpu"))
    save_checkpoint(training.checkpoint(), checkpoint)
    where = ["-gpuid", "-1" if device.type == "cpu" else "0"]
    sample = [file_of("sample"), checkpoint, "-length", "1", *where]
    network = ["-rnn_size", str(size[0]), "-num_layers", str(size[1])]
    folders = ["-data_dir", folder, "-checkpoint_dir", folder]
    train = [file_of("train"), *folders, *network, "-print_every", "1", *where]
    kinds = {
        IMPORT: partial(run, ["-c", IMPORT]),
        SAMPLE: partial(run, sample),
        IMPORTED: partial(run, ["-c", f"{IMPORT}; print('{FIRST_LOSS}', flush=True)"], FIRST_LOSS),
        TRAIN: partial(run, train, FIRST_LOSS),
    }
    seconds = in_turn(kinds, repeats, torch.device("cpu"), warm_up=1)
    for name, values in seconds.items():
        other = AGAINST.get(name)
        against = f"  / {other} {ratio(values, seconds[other])}" if other else ""
        print(f"{name:28}{statistics.median(values):8.2f}{against}", flush=True)
    return [{"what": "start", "seconds": seconds}]


def file_of(program: str) -> str:
    """Return the path of train.py or sample.py."""
    return find_spec(f"charrnn_port.programs.{program}").origin


def run(arguments: list[str], until: str | None = None) -> None:
    """Run Python with these arguments to its end, or until a line of its stdout begins with `until`.

    Raises UserError if it fails, or ends without that line.
    """
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Bytecode is cached, as PyTorch's is, even if the environment disables it.
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONDONTWRITEBYTECODE": ""},
        text=True,
        errors="replace",
    ) as process:
        if until and any(line.startswith(until) for line in process.stdout):
            process.kill()
            return
        errors = process.communicate()[1]
    if process.returncode or until:
        raise UserError(f"cannot start {arguments[0]}: {errors.strip()}")

"""`charrnn benchmark -load N`: measure training beside other processes.

A network is trained alone, beside N busy processes, and beside a second training, in turn, so that a machine that slows
down affects all of them alike. The result is the median of the ratios.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from charrnn_port.device import DTYPES
from charrnn_port.model import fastest_backend
from charrnn_port.options import BenchmarkOptions
from charrnn_port.reports.benchmark import our_training, parse_size, random_text, write_json
from charrnn_port.reports.machine import describe_machine
from charrnn_port.training import Training
from charrnn_port.util.errors import UserError

ROUNDS = 7
CPU = torch.device("cpu")
BATCH_SIZE = 50


def time_contention(options: BenchmarkOptions) -> None:
    """Print the table. Raises UserError for a device other than the CPU, and for invalid -sizes."""
    if options.device != "cpu":
        raise UserError(f"-load measures contention for the CPU; it does not support -device {options.device}")
    if options.threads:
        torch.set_num_threads(options.threads)
    size = parse_size(options.sizes.split(",")[0])
    print(describe_machine(CPU))
    print(f"\none training iteration, ms (median of {ROUNDS} rounds); ratio: to alone, median (lowest-highest)")
    print(f"{'':30}{'alone':>8}{f'beside {options.load} busy':>16}  {'ratio':17}{'two at once':>13}  ratio")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "input.txt").write_bytes(random_text(1_000_000))
        for name, dtype in DTYPES.items():
            seconds = time_each(folder, size, dtype, options)
            medians = {kind: statistics.median(values) * 1e3 for kind, values in seconds.items()}
            beside, two = (ratio(seconds[kind], seconds["alone"]) for kind in ("beside", "two at once"))
            label = f"lstm {size[0]}x{size[1]} batch {BATCH_SIZE} {name}"
            print(
                f"{label:30}{medians['alone']:8.1f}{medians['beside']:16.1f}  {beside:17}{medians['two at once']:13.1f}"
                f"  {two}",
                flush=True,
            )
            rows.append({"what": label, "busy": options.load, "seconds": seconds})
    write_json(options, CPU, rows)


def time_each(
    folder: str, size: tuple[int, int], dtype: torch.dtype, options: BenchmarkOptions
) -> dict[str, list[float]]:
    """Return the mean seconds per iteration of each round, by condition; of two trainings, that of the slower one."""
    training = make(folder, size, dtype)
    span = max(0.3, options.repeats * mean_time(training, 0.1))
    seconds: dict[str, list[float]] = {"alone": [], "beside": [], "two at once": []}
    with another_training(folder, size, dtype) as other:
        for _ in range(ROUNDS):
            seconds["alone"].append(mean_time(training, span))
            with busy(options.load):
                seconds["beside"].append(mean_time(training, span))
            other.send(span)
            seconds["two at once"].append(max(mean_time(training, span), other.recv()))
    return seconds


def make(folder: str, size: tuple[int, int], dtype: torch.dtype) -> Training:
    """Return a training as train.py builds it, after two iterations of warm-up."""
    training = our_training(folder, fastest_backend("lstm", dtype, CPU), "lstm", *size, BATCH_SIZE, dtype, CPU)
    for _ in range(2):
        training.iteration()
    return training


def mean_time(training: Training, span: float) -> float:
    """Return the mean seconds per iteration, over the iterations that begin within `span` seconds."""
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + span:
        training.iteration()
        count += 1
    return (time.perf_counter() - start) / count


def ratio(a: list[float], b: list[float]) -> str:
    """Return the median, the lowest and the highest of the ratios of each round, as text."""
    ratios = [x / y for x, y in zip(a, b, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run `count` busy processes."""
    processes = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.1)  # until they have started
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def another_training(folder: str, size: tuple[int, int], dtype: torch.dtype) -> Iterator[Connection]:
    """Run a second training in another process. Send it a number of seconds to train; it answers with its mean_time."""
    context = get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=train_on_request, args=(its, folder, size, dtype, torch.get_num_threads()))
    process.start()
    try:
        its.close()
        ours.recv()
        yield ours
    finally:
        ours.close()
        process.join()


def train_on_request(
    connection: Connection, folder: str, size: tuple[int, int], dtype: torch.dtype, threads: int
) -> None:
    """Run in the second process: answer requests until the connection is closed."""
    torch.set_num_threads(threads)
    training = make(folder, size, dtype)
    try:
        connection.send("ready")
        while True:
            connection.send(mean_time(training, connection.recv()))
    except (EOFError, BrokenPipeError):
        pass

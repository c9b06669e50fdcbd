"""`charrnn benchmark`: measure speed against nn.LSTM, the matrix products alone, and the processor's limits.

    training, parts, evaluation, sampling, start, preprocessing      one module for each table
    limits                          peak arithmetic and memory bandwidth of the processor
    work                            counts of weights and floating-point operations
    subjects, baselines, timing     what is timed, what it is compared with, and how
    contention, serving             the benchmarks of -load and -serve

All candidates are timed in one process, in turn (ours, PyTorch, floor, ours, ...), so that a machine that slows down
affects all of them alike. The result is the median of the ratios. A training iteration includes all its steps: fetching
the batch, forward, backward, clipping, RMSprop, reading the loss.
"""

import json
import tempfile
from pathlib import Path

import torch

from charrnn_port.checkpoints import require_new_file
from charrnn_port.command_line import log_written
from charrnn_port.options import BENCHMARKS, BenchmarkOptions
from charrnn_port.reports.benchmark.evaluation import time_evaluation
from charrnn_port.reports.benchmark.limits import print_limits
from charrnn_port.reports.benchmark.parts import time_parts
from charrnn_port.reports.benchmark.preprocessing import time_preprocessing
from charrnn_port.reports.benchmark.sampling import time_sampling
from charrnn_port.reports.benchmark.start import time_start
from charrnn_port.reports.benchmark.subjects import our_training, parse_size, random_text
from charrnn_port.reports.benchmark.training import time_training
from charrnn_port.reports.machine import describe_machine
from charrnn_port.util.files import require_writable, write_atomically

__all__ = ["benchmark", "our_training", "parse_size", "random_text", "write_json"]


def benchmark(options: BenchmarkOptions) -> None:
    """Print the selected tables, and write all times to the file in -json. Raises UserError for invalid -sizes."""
    if options.json:
        require_new_file("-json", options.json)
        require_writable(options.json)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    torch.backends.cudnn.allow_tf32 = False  # by default nn.LSTM uses TF32, which rounds to 3 digits
    sizes = [parse_size(size) for size in options.sizes.split(",")]
    print(describe_machine(device))
    rows = print_limits(device, options.repeats)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "input.txt").write_bytes(random_text(1_000_000))
        tables = {
            "training": lambda: time_training(folder, sizes, device, options.repeats),
            "parts": lambda: time_parts(folder, sizes, device, options.repeats),
            "evaluation": lambda: time_evaluation(folder, sizes, device, options.repeats),
            "sampling": lambda: time_sampling(sizes, device, options.repeats),
            "start": lambda: time_start(folder, sizes[0], device, options.repeats),
            "preprocessing": lambda: time_preprocessing(folder, options.repeats),
        }
        for name in BENCHMARKS:
            if name in options.tables.split(","):
                rows += tables[name]()
    write_json(options, device, rows)


def write_json(options: BenchmarkOptions, device: torch.device, rows: list[dict]) -> None:
    """Write all times to the file in -json, if set."""
    if options.json:
        found = {"machine": describe_machine(device), "rows": rows}
        write_atomically(json.dumps(found, indent=1).encode(), options.json)
        log_written(options.json)

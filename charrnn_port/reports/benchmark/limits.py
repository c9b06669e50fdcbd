"""Measure the processor's limits, peak arithmetic and memory bandwidth, in the same run and with all threads."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from charrnn_port.model import library
from charrnn_port.model.peak import multiply_adds, read_all
from charrnn_port.reports.benchmark.timing import types

ROUNDS = 3_000_000  # about 20 ms of arithmetic
MEGABYTES = 256  # to read; more if the caches are large


class Limit(NamedTuple):
    """A workload that is bound by one resource of the processor."""

    amount: float  # operations or bytes per call
    call: Callable[[], object]

    def best(self, repeats: int) -> float:
        """Return the highest rate of several calls, per second."""
        fastest = min(timed(self.call) for _ in range(repeats + 1))  # one more, since the first maps memory
        return self.amount / fastest


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def arithmetic(dtype: torch.dtype, device: torch.device) -> Limit | None:
    """Return multiply-adds of this data type, or None on a GPU or without a C compiler."""
    if device.type != "cpu" or not library(dtype):
        return None
    return Limit(multiply_adds(dtype, ROUNDS), lambda: multiply_adds(dtype, ROUNDS))


def memory(device: torch.device) -> Limit | None:
    """Return reads of memory beyond the caches, or None on a GPU or without a C compiler."""
    if device.type != "cpu" or not library(torch.float32):
        return None
    numbers = torch.ones(max(MEGABYTES << 20, 8 * cache_size()) // 4)
    return Limit(numbers.nbytes, lambda: read_all(numbers))


def cache_size() -> int:
    """Return the bytes of the largest cache of a core, or 0 if they are unknown; they are known on Linux."""
    files = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max((int(file.read_text().strip().removesuffix("K")) << 10 for file in files), default=0)


def print_limits(device: torch.device, repeats: int) -> list[dict]:
    """Print the limits in a line, and return them; prints nothing where they cannot be measured."""
    flops = {name: arithmetic(dtype, device) for name, dtype in types(device).items()}
    rates = {name: limit.best(repeats) for name, limit in flops.items() if limit}
    reading = memory(device)
    if not rates or not reading:
        return []
    bandwidth = reading.best(repeats)
    words = [f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.items()]
    print(f"at most: {', '.join(words)}, memory read at {bandwidth / 1e9:.1f} GB/s", flush=True)
    return [{"what": "at most", "flops_per_second": rates, "bytes_per_second": bandwidth}]

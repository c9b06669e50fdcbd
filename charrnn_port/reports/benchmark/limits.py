"""What the processor can do at most, measured as everything else is: in the same run, by all threads."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from charrnn_port.model import library
from charrnn_port.model.peak import multiply_adds, read_all
from charrnn_port.reports.benchmark.timing import types

ROUNDS = 3_000_000  # some 20 ms of arithmetic
MEGABYTES = 256  # to read, unless the caches are large


class Limit(NamedTuple):
    """Work that one part of the processor does, and nothing else holds up."""

    amount: float  # how much of it a call does
    call: Callable[[], object]

    def best(self, repeats: int) -> float:
        """The most a second, of some calls."""
        fastest = min(timed(self.call) for _ in range(repeats + 1))  # the first touches the memory, wakes the threads
        return self.amount / fastest


def timed(call: Callable[[], object]) -> float:
    """Seconds of one."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def arithmetic(dtype: torch.dtype, device: torch.device) -> Limit | None:
    """Multiplications and additions of this type. None where they cannot be had: on a GPU, without a C compiler."""
    if device.type != "cpu" or not library(dtype):
        return None
    return Limit(multiply_adds(dtype, ROUNDS), lambda: multiply_adds(dtype, ROUNDS))


def memory(device: torch.device) -> Limit | None:
    """Bytes read that are in no cache. None as above."""
    if device.type != "cpu" or not library(torch.float32):
        return None
    numbers = torch.ones(max(MEGABYTES << 20, 8 * cache_size()) // 4)
    return Limit(numbers.nbytes, lambda: read_all(numbers))


def cache_size() -> int:
    """Bytes of the largest cache of a core; 0 where the system does not tell (it does on Linux)."""
    files = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max((int(file.read_text().strip().removesuffix("K")) << 10 for file in files), default=0)


def print_limits(device: torch.device, repeats: int) -> list[dict]:
    """A line of them, where they can be had."""
    flops = {name: arithmetic(dtype, device) for name, dtype in types(device).items()}
    rates = {name: limit.best(repeats) for name, limit in flops.items() if limit}
    reading = memory(device)
    if not rates or not reading:
        return []
    bandwidth = reading.best(repeats)
    words = [f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.items()]
    print(f"at most: {', '.join(words)}, memory read at {bandwidth / 1e9:.1f} GB/s", flush=True)
    return [{"what": "at most", "flops_per_second": rates, "bytes_per_second": bandwidth}]

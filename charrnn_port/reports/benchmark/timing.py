"""Time calls in turn, and compare them turn by turn."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from charrnn_port.device import DTYPES, synchronize

Seconds = dict[str, list[float]]  # by kind of call, one number for each turn


def in_turn(kinds: dict[str, Callable[[], Any]], repeats: int, device: torch.device, warm_up: int = 2) -> Seconds:
    """Return the seconds of each call, with the kinds taking turns; the first `warm_up` turns are not counted."""
    seconds: Seconds = {name: [] for name in kinds}
    for turn in range(repeats + warm_up):
        for name, call in kinds.items():
            synchronize(device)
            start = time.perf_counter()
            call()
            synchronize(device)
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def quotients(a: list[float], b: list[float]) -> list[float]:
    """Return a / b for each turn."""
    return [x / y for x, y in zip(a, b, strict=True)]


def ratio(a: list[float], b: list[float]) -> str:
    """Return the median and the quartiles of the ratios of each turn, as text."""
    low, median, high = statistics.quantiles(quotients(a, b), n=4)
    return f"{median:.2f} ({low:.2f}-{high:.2f})"


def share(amount: float, seconds: list[float], limit: float, limit_seconds: list[float]) -> str:
    """Return the rate `amount` / `seconds` as a share of `limit` / `limit_seconds`: the median over turns, as text."""
    return f"{statistics.median(quotients(limit_seconds, seconds)) * amount / limit:.0%}"


def types(device: torch.device) -> dict[str, torch.dtype]:
    """Return the data types that a device supports, by name."""
    return {name: dtype for name, dtype in DTYPES.items() if (device.type, name) != ("mps", "float64")}

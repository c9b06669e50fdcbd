"""Chooses the device and the floating-point types from the options -gpuid, -opencl and -dtype."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

from charrnn_port.util import cgroup
from charrnn_port.util.errors import UserError

DTYPES = {"float64": torch.float64, "float32": torch.float32}
MIXED = {"bfloat16": torch.bfloat16, "float16": torch.float16}

# OpenMP's threads do not exist in a forked process, which would deadlock waiting for them. So it uses one thread.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def choose_device(gpuid: int, opencl: bool, echo: Callable[[str], None]) -> torch.device:
    """Return CUDA if available, else MPS, else the CPU; always the CPU for a negative `gpuid`, as in the original.

    Raises UserError for a GPU number that this machine does not have.
    """
    if gpuid < 0:
        return torch.device("cpu")
    if opencl:
        echo("PyTorch has no OpenCL!")
    elif torch.cuda.is_available():
        count = torch.cuda.device_count()
        if gpuid >= count:
            raise UserError(f"-gpuid {gpuid}: this machine has {count} GPU(s), numbered from 0")
        echo(f"using CUDA on GPU {gpuid}...")
        return torch.device("cuda", gpuid)
    elif torch.backends.mps.is_available():
        echo("using MPS (Apple GPU)...")
        return torch.device("mps")
    else:
        echo("no GPU found: PyTorch sees neither CUDA nor MPS!")
    echo("Falling back on CPU mode")
    return torch.device("cpu")


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the type of the parameters. `auto` is float64 on the CPU and float32 on a GPU, as in the original.

    Raises UserError for float64 on MPS, which does not support it.
    """
    if name == "auto":
        name = "float64" if device.type == "cpu" else "float32"
    if name == "float64" and device.type == "mps":
        raise UserError("-dtype float64: MPS does not support float64; use float32, or the CPU with -gpuid -1")
    return torch.float32 if name in MIXED else DTYPES[name]


def choose_products(name: str, device: torch.device) -> torch.dtype | None:
    """Return the type of matrix products in mixed precision, or None without mixed precision.

    Raises UserError if the device does not support it.
    """
    if name not in MIXED:
        return None
    if device.type == "cuda":
        if name == "bfloat16" and torch.cuda.get_device_capability(device) < (8, 0):
            raise UserError("-dtype bfloat16: this GPU does not support it; use float16 or float32")
    elif name == "float16" or device.type != "cpu":
        raise UserError(f"-dtype {name}: supported on NVIDIA GPUs only; use float32")
    return MIXED[name]


def require_torch7(year: str, device: torch.device) -> None:
    """Raise UserError for the log-softmax of 2015 on a GPU: only the CPU's changed after 2015."""
    if year == "2015" and device.type != "cpu":
        raise UserError("-torch7 2015: supported on a CPU only, where it differs from 2017; add -gpuid -1")


def free_memory(device: torch.device) -> int | None:
    """Return the free memory of a device in bytes, including swap, or None if the system does not report it.

    In a container with a limit, it is at most what the limit leaves, without swap.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # reserved by PyTorch, unused
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return None
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = sum(1024 * int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
        allowed = cgroup.free_memory()
        return free if allowed is None else min(free, allowed)
    except (OSError, ValueError, KeyError):
        return None


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def record(function: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Record a function's operations on a CUDA device as one CUDA graph, and return a function that replays it.

    The replay uses the same tensors. Launching hundreds of short operations one by one takes longer than their work.
    """
    graph = torch.cuda.CUDAGraph()
    # Both name the device, because PyTorch records the current device by default, which is the first.
    with torch.cuda.device(device), torch.cuda.graph(graph, stream=recording_stream(device)):
        function()

    def replay() -> None:
        graph.replay()

    replay.recorded = function  # keeps its tensors alive, because the graph has their addresses
    return replay


@lru_cache
def recording_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of all recordings. One is enough: cuBLAS keeps up to 32 MB of workspace for each stream."""
    return torch.cuda.Stream(device)

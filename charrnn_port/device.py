"""Where to compute and in which precision, from the options -gpuid, -opencl and -dtype."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

from charrnn_port.util.errors import UserError

DTYPES = {"float64": torch.float64, "float32": torch.float32}
MIXED = {"bfloat16": torch.bfloat16, "float16": torch.float16}

# OpenMP's threads do not live on in a forked process, which would wait for them for ever: it computes with one.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def choose_device(gpuid: int, opencl: bool, echo: Callable[[str], None]) -> torch.device:
    """CUDA, else MPS, else the CPU; the CPU at once for a negative gpuid, as in the original.

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
    """That of the parameters. `auto` is double on the CPU and single on a GPU, as the original computes.

    Raises UserError for double on MPS, which has none.
    """
    if name == "auto":
        name = "float64" if device.type == "cpu" else "float32"
    if name == "float64" and device.type == "mps":
        raise UserError("-dtype float64: MPS has no double precision; take float32, or the CPU with -gpuid -1")
    return torch.float32 if name in MIXED else DTYPES[name]


def choose_products(name: str, device: torch.device) -> torch.dtype | None:
    """The type to round the factors of products to in mixed precision; None where there is but one precision.

    Raises UserError where the device has no such products.
    """
    if name not in MIXED:
        return None
    if device.type == "cuda":
        if name == "bfloat16" and torch.cuda.get_device_capability(device) < (8, 0):
            raise UserError("-dtype bfloat16: this GPU has no products in it; take float16 or float32")
    elif name == "float16" or device.type != "cpu":
        raise UserError(f"-dtype {name}: this is for NVIDIA GPUs; take float32")
    return MIXED[name]


def require_torch7(year: str, device: torch.device) -> None:
    """Raises UserError for the log-softmax of 2015 on a GPU, which never had another than that of 2017."""
    if year == "2015" and device.type != "cpu":
        raise UserError("-torch7 2015: only on a CPU was it another one than in 2017; add -gpuid -1")


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had there, swap included; None where the system does not tell."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # PyTorch's own, unused
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return None
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return sum(1024 * int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, ValueError, KeyError):
        return None


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def record(function: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """A function that does on a CUDA device what this one would, with the same tensors, as one CUDA graph.

    Launching hundreds of short operations one by one takes longer than doing them.
    """
    graph = torch.cuda.CUDAGraph()
    # Both name the device: unless told, PyTorch records what the current one does, the first, whatever -gpuid says.
    with torch.cuda.device(device), torch.cuda.graph(graph, stream=recording_stream(device)):
        function()

    def replay() -> None:
        graph.replay()

    replay.recorded = function  # its tensors must live as long as the graph, which has their addresses
    return replay


@lru_cache
def recording_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all recordings, since cuBLAS keeps up to 32 MB of working memory for each stream it has seen."""
    return torch.cuda.Stream(device)

"""Describe the machine that a report was made on."""

import platform
import subprocess
from pathlib import Path

import numpy
import torch

from charrnn_port.model import built, describe_backend
from charrnn_port.version import __version__

ROOT = Path(__file__).parents[2]


def describe_machine(device: torch.device) -> str:
    """Return one line: processor or GPU, number of threads, versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return f"{name}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}, Python {platform.python_version()}"


def describe(cell: str, dtype: torch.dtype, device: torch.device) -> dict[str, str]:
    """Return lines by name: the machine, PyTorch, the C compiler, the backend, and the version of this program."""
    version = f"charrnn_port {__version__}"
    return {
        "machine": platform.platform(),
        "processor": processor(),
        "PyTorch": f"{torch.__version__}, Python {platform.python_version()}, NumPy {numpy.__version__}",
        "compiler": built(dtype).how,
        "cell": describe_backend(cell, dtype, device),
        "program": f"{version}, commit {commit()}" if commit() else version,
    }


def processor() -> str:
    """Return the processor's model name, or its architecture where the name is unavailable."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit() -> str:
    """Return the git commit of this program, with -dirty if files are modified, or "" outside a git checkout."""
    if not (ROOT / ".git").exists():
        return ""
    try:
        command = ["git", "-C", ROOT, "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""

"""The machine that a report is about, in words."""

import platform
import subprocess
from pathlib import Path

import numpy
import torch

from charrnn_port.model import built, describe_backend
from charrnn_port.version import __version__

ROOT = Path(__file__).parents[2]


def describe_machine(device: torch.device) -> str:
    """One line: processor or GPU, threads, versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return f"{name}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}, Python {platform.python_version()}"


def describe(cell: str, dtype: torch.dtype, device: torch.device) -> dict[str, str]:
    """Line by line: the machine, PyTorch, how networks are computed, and which program this is."""
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
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit() -> str:
    """The commit of this program, with -dirty where files are changed; "" where there is no git checkout of it."""
    if not (ROOT / ".git").exists():
        return ""
    try:
        command = ["git", "-C", ROOT, "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""

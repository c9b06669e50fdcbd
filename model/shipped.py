"""Load the libraries that a wheel contains, so that no compiler is needed. tools/wheels.py makes them.

Their files are libraries/cells-DTYPE-DIGEST-VARIANT.so on every system. The digest is that of the C files, so that a
library is not used for changed ones. A library says itself whether the processor has the instructions that it needs.
"""

import ctypes
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "libraries"


def file_name(dtype: torch.dtype, digest: str, variant: str) -> str:
    """Return the file name of a library. variant: the processors that it is for, such as x86_64_v3."""
    return f"cells-{str(dtype).removeprefix('torch.')}-{digest}-{variant}.so"


def load_shipped(dtype: torch.dtype, digest: str) -> tuple[ctypes.CDLL, str] | None:
    """Return the fastest library for this processor and its variant, or None if there is none."""
    for path in sorted(FOLDER.glob(file_name(dtype, digest, "*")), reverse=True):  # x86_64_v4 before v3
        try:
            functions = ctypes.CDLL(str(path))
        except OSError:  # for another system
            continue
        if functions.runs_here():
            return functions, path.stem.rpartition("-")[2]
    return None

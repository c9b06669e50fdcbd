"""Load the library of this folder's C files: that of the wheel, or else compile them and cache the result.

Compiling takes a second, or several on a slow machine. So the library is stored in the user's cache folder, under a
name that depends on the sources, the compiler and its version, the flags and the processor. If that folder is read-only
or other users can write to it, the library is compiled into a temporary folder at each start. If it cannot be compiled,
the passes use PyTorch's operations. `CC` names the compiler, by default `cc`, or without one that of the package
ziglang; `CC=false` turns compiling off.
"""

import ctypes
import hashlib
import os
import platform
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch

from charrnn_port.model.prototypes import declare
from charrnn_port.model.shipped import load_shipped
from charrnn_port.util.files import atomic_write, user_cache

FOLDER = Path(__file__).parent
# Products and sums are rounded separately. Loops are vectorized only without errno and floating-point traps.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
# Tried in this order, since not every compiler knows every flag.
FOR_THIS_MACHINE = [["-march=native", "-mprefer-vector-width=512"], ["-march=native"], []]
DEFINES = {torch.float64: ["-DDOUBLE"], torch.float32: []}
PATIENCE = 120  # seconds after which the compiler is taken to hang


class Build(NamedTuple):
    """The result of compiling for one dtype."""

    functions: ctypes.CDLL | None  # the library; None if it is unavailable
    how: str  # the compiler and its version, as in "cc 12.2", or the wheel's library; without a library, the reason


def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """Return the library for CPU tensors of this dtype, or None if it is unavailable."""
    return built(dtype).functions


@lru_cache
def built(dtype: torch.dtype) -> Build:
    """Load the library from the wheel or the cache, or compile it. Return it with its origin, or None with a reason."""
    shipped = load_shipped(dtype, digest_of(*sources())[:16])
    if shipped:
        functions, variant = shipped
        return Build(typed(functions, dtype), f"included library for {variant}")
    named, compiler = chosen_compiler()
    if not compiler:
        return Build(None, f"no C compiler was found: CC is {named!r}")
    reason = ""
    try:
        version = output_of([*compiler, "--version"])
        for machine in FOR_THIS_MACHINE:
            command = [*compiler, *FLAGS, *threads_flags(version), *machine, *DEFINES[dtype]]
            name = f"cells-{digest_of(version, *command, processor(), *sources())[:16]}"
            try:
                functions = load_cached(name) or compile_library(name, command)
                return Build(typed(functions, dtype), f"{named} {version_number(version)}".strip())
            except subprocess.CalledProcessError as error:
                reason = reason or f"the C compiler ({named}) fails: {error_line(error)}"
            except OSError as error:
                reason = reason or f"the library of the C compiler ({named}) cannot be loaded: {error}"
    except subprocess.TimeoutExpired:
        reason = f"the C compiler ({named}) timed out"
    except OSError as error:
        reason = f"no C compiler was found ({named}); `pip install ziglang` installs one"
        if not isinstance(error, FileNotFoundError):
            reason = f"the C compiler ({named}) cannot be run: {error.strerror}"
    return Build(None, " ".join(reason.split()))


def typed(functions: ctypes.CDLL, dtype: torch.dtype) -> ctypes.CDLL:
    """Return a library whose functions have types."""
    return declare(functions, dtype, [path.read_text("utf-8") for path in sorted(FOLDER.glob("*.c"))])


def chosen_compiler() -> tuple[str, list[str]]:
    """Return the compiler's name and its command, which is empty if `CC` is invalid."""
    if "CC" not in os.environ and not shutil.which("cc") and find_spec("ziglang"):
        return "ziglang", [sys.executable, "-m", "ziglang", "cc"]
    named = os.environ.get("CC", "cc")
    try:
        if os.name == "nt":  # a backslash separates folders
            return named, [word.strip('"') for word in shlex.split(named, posix=False)]
        return named, shlex.split(named)
    except ValueError:  # a quotation mark is missing
        return named, []


def threads_flags(version: str) -> list[str]:
    """Return the flags for OpenMP's pragmas. Those of clang link no library: model/threads.c has what is needed."""
    return ["-Xclang", "-fopenmp"] if "clang" in version else ["-fopenmp"]


# ---- The library's name, which depends on all that determines its content. ----


def sources() -> list[bytes]:
    """Return the contents of the library's source files."""
    return [path.read_bytes() for path in sorted(FOLDER.glob("*.[ch]"))]


@lru_cache
def processor() -> str:
    """Return what -march=native depends on."""
    keys = "vendor_id|cpu family|model|model name|stepping|flags|Features|CPU .*"
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        kinds = sorted({line for line in lines if re.fullmatch(rf"({keys})\s*:.*", line)})
    except OSError:
        kinds = []
    # If the system does not describe its processor, a library is for the machine that compiled it.
    return "\n".join([platform.machine(), *(kinds or [platform.processor(), platform.node()])])


def digest_of(*parts: str | bytes) -> str:
    """Return a hexadecimal digest of the parts. It changes if a character moves from one part to the next."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def version_number(version: str) -> str:
    """Return the number in a compiler's version, or "": `cc (Debian 12.2.0-14) 12.2.0` → 12.2."""
    first_line = re.sub(r"\(.*?\)", "", version.partition("\n")[0])
    found = re.search(r"\d+\.\d+", first_line)
    return found[0] if found else ""


# ---- Cached libraries. Each has the digest of its bytes in its name, so that a corrupt one is recognized. ----


def load_cached(name: str) -> ctypes.CDLL | None:
    """Load the library of this name from the cache folder, if it is there and not corrupt."""
    with suppress(OSError, RuntimeError):
        for path in sorted(private_cache(name).parent.glob(f"{name}-*.so")):
            if path.name == file_name(name, path.read_bytes()):
                return ctypes.CDLL(str(path))
            path.unlink()
    return None


def store_in_cache(name: str, library: Path) -> None:
    """Copy a library to the cache folder, if possible."""
    with suppress(OSError, RuntimeError):  # read-only, full or writable by others; RuntimeError: no home folder
        content = library.read_bytes()
        with atomic_write(private_cache(file_name(name, content))) as temporary:
            temporary.write_bytes(content)


def file_name(name: str, content: bytes) -> str:
    """Return the file name of a cached library."""
    return f"{name}-{hashlib.sha256(content).hexdigest()}.so"


def private_cache(name: str) -> Path:
    """Return a path in the user's cache folder. Raises PermissionError if others can write there: its files are run."""
    path = user_cache(name)
    if not hasattr(os, "getuid"):  # Windows: the mode says nothing about other users, and a profile is private
        return path
    folder = path.parent.stat()
    if folder.st_uid != os.getuid() or folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"other users can write to {path.parent}")
    return path


# ---- Compiling. ----


def compile_library(name: str, command: list[str]) -> ctypes.CDLL:
    """Compile the library with this command, to which sources and output are added, cache it and load it.

    Raises OSError if it cannot be loaded, CalledProcessError or TimeoutExpired if the compiler fails.
    """
    # The compiler's temporary files go there too, so that they are removed even if it is killed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        result = Path(folder, "cells.so")
        files = map(str, sorted(FOLDER.glob("*.c")))
        output_of([*command, *files, "-lm", "-o", str(result)], {"TMPDIR": folder}, check=True)
        functions = ctypes.CDLL(str(result))
        store_in_cache(name, result)
    return functions


def output_of(command: list[str], environment: dict[str, str] | None = None, check: bool = False) -> str:
    """Run a program and return its stdout.

    Raises CalledProcessError if it fails and `check` is set, TimeoutExpired after PATIENCE seconds.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | (environment or {}),
        text=True,
        errors="replace",
        start_new_session=True,  # the compiler's child processes must end with it
    ) as process:
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        except BaseException:
            kill(process)
            raise
    if check and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output, errors)
    return output


def kill(process: subprocess.Popen) -> None:
    """Kill a program and its children."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def error_line(error: subprocess.CalledProcessError) -> str:
    """Return the line of a compiler's messages that names the error."""
    lines = [line for line in error.stderr.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else f"status {error.returncode}")

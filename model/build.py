"""The C of this folder as a library that can be called: compiled once for this processor, then kept.

Compiling takes a second, on a slow machine several. So the library goes to the user's cache folder, under a name made
of all that decides it: sources, compiler and its version, flags, processor. Where nothing can be kept there, or others
could write there, it is compiled anew in a folder that is gone a moment later; where it cannot be compiled at all, the
passes use PyTorch's operations. `CC` names the compiler, `cc` if unset; `CC=false` does without.
"""

import ctypes
import hashlib
import os
import platform
import re
import shlex
import signal
import stat
import subprocess
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from charrnn_port.util.files import atomic_write, user_cache

FOLDER = Path(__file__).parent
# Products and sums are rounded one by one. Loops are vectorised only where nobody reads errno or the traps of numbers.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC"]
# Tried in this order: not every compiler knows them all.
FOR_THIS_MACHINE = [["-march=native", "-mprefer-vector-width=512"], ["-march=native"], []]
DEFINES = {torch.float64: ["-DDOUBLE"], torch.float32: []}
PATIENCE = 120  # seconds for the compiler: one that takes longer hangs


class Build(NamedTuple):
    """What came of it for one type of numbers."""

    functions: ctypes.CDLL | None  # those of the .c files; None where they cannot be had
    how: str  # the compiler and its version, as in "cc 12.2"; without functions, why there are none


def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The functions of this folder's C for tensors of this type on a CPU; None where they cannot be had."""
    return built(dtype).functions


@lru_cache
def built(dtype: torch.dtype) -> Build:
    """Those functions, kept from an earlier start or else compiled now, and by what; or why there are none."""
    named = os.environ.get("CC", "cc")
    try:
        compiler = shlex.split(named)
    except ValueError:  # a quotation without an end
        compiler = []
    if not compiler:
        return Build(None, f"there is no C compiler: CC is {named!r}")
    reason = ""
    try:
        version = output_of([*compiler, "--version"])
        for machine in FOR_THIS_MACHINE:
            command = [*compiler, *FLAGS, *machine, *DEFINES[dtype]]
            name = f"cells-{digest_of(version, *command, processor(), *sources())[:16]}"
            try:
                return Build(kept(name) or made(name, command), f"{named} {number_in(version)}".strip())
            except subprocess.CalledProcessError as error:
                reason = reason or f"the C compiler ({named}) fails: {complaint(error)}"
            except OSError as error:
                reason = reason or f"what the C compiler ({named}) makes cannot be used: {error}"
    except subprocess.TimeoutExpired:
        reason = f"the C compiler ({named}) does not end"
    except OSError as error:
        reason = f"there is no C compiler ({named})"
        if not isinstance(error, FileNotFoundError):
            reason = f"the C compiler ({named}) cannot be run: {error.strerror}"
    return Build(None, " ".join(reason.split()))


# ---- The name: all that decides what is in the library. ----


def sources() -> list[bytes]:
    """The files that the library is made of."""
    return [path.read_bytes() for path in sorted(FOLDER.glob("*.[ch]"))]


@lru_cache
def processor() -> str:
    """What -march=native depends on."""
    keys = "vendor_id|cpu family|model|model name|stepping|flags|Features|CPU .*"
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        kinds = sorted({line for line in lines if re.fullmatch(rf"({keys})\s*:.*", line)})
    except OSError:
        kinds = []
    # Where the system does not tell, what was compiled on one machine is for that one.
    return "\n".join([platform.machine(), *(kinds or [platform.processor(), platform.node()])])


def digest_of(*parts: str | bytes) -> str:
    """A number for them all, in hexadecimal; another one if a character moves from one part to the next."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def number_in(version: str) -> str:
    """`cc (Debian 12.2.0-14) 12.2.0` → 12.2; "" where there is none."""
    first_line = re.sub(r"\(.*?\)", "", version.partition("\n")[0])
    found = re.search(r"\d+\.\d+", first_line)
    return found[0] if found else ""


# ---- Kept libraries: each has the digest of its bytes in its name, so that a damaged one is known. ----


def kept(name: str) -> ctypes.CDLL | None:
    """The library of this name from the cache folder, if it is there and whole."""
    with suppress(OSError, RuntimeError):
        for path in sorted(private_cache(name).parent.glob(f"{name}-*.so")):
            if path.name == file_name(name, path.read_bytes()):
                return ctypes.CDLL(str(path))
            path.unlink()
    return None


def keep(name: str, library: Path) -> None:
    """Put a library into the cache folder, where it can be."""
    with suppress(OSError, RuntimeError):  # read-only, full, others may write there; RuntimeError: a user without home
        content = library.read_bytes()
        with atomic_write(private_cache(file_name(name, content))) as temporary:
            temporary.write_bytes(content)


def file_name(name: str, content: bytes) -> str:
    """What a kept library is called."""
    return f"{name}-{hashlib.sha256(content).hexdigest()}.so"


def private_cache(name: str) -> Path:
    """A place in the user's cache folder. Raises PermissionError where others can write: what lies there is run."""
    path = user_cache(name)
    folder = path.parent.stat()
    ours = not hasattr(os, "getuid") or folder.st_uid == os.getuid()
    if not ours or folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"others can write to {path.parent}")
    return path


# ---- Compiling. ----


def made(name: str, command: list[str]) -> ctypes.CDLL:
    """The library, compiled by this command, to which sources and result are added; kept for the next start.

    Raises OSError where it cannot be loaded, CalledProcessError or TimeoutExpired for a compiler that makes none.
    """
    # The compiler's own temporary files go there too, and so are gone even if it is killed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        result = Path(folder, "cells.so")
        files = map(str, sorted(FOLDER.glob("*.c")))
        output_of([*command, *files, "-lm", "-o", str(result)], {"TMPDIR": folder}, check=True)
        functions = ctypes.CDLL(str(result))
        keep(name, result)
    return functions


def output_of(command: list[str], environment: dict[str, str] | None = None, check: bool = False) -> str:
    """What a program prints; with `check` it must succeed, else CalledProcessError. TimeoutExpired after PATIENCE."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | (environment or {}),
        text=True,
        errors="replace",
        start_new_session=True,  # a compiler has children, which are to end with it
    ) as process:
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        except BaseException:
            end(process)
            raise
    if check and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output, errors)
    return output


def end(process: subprocess.Popen) -> None:
    """Kill a program and its children."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def complaint(error: subprocess.CalledProcessError) -> str:
    """The line that says what is wrong, of all that a compiler says."""
    lines = [line for line in error.stderr.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else f"status {error.returncode}")

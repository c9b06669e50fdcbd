"""Files that are whole or absent, and locks that die with their process."""

import glob
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Give a path to write to, aside; afterwards flush it to disk and rename it to `path`.

    Whatever goes wrong before leaves `path` as it was, and nothing aside. What a killed process of this machine
    left aside is removed by the next one that writes.
    """
    path = Path(path)
    mine = f"{path.name}.part.{platform.node()}"
    for left in path.parent.glob(f"{glob.escape(mine)}.*"):
        if has_ended(left.suffix[1:]):
            left.unlink(missing_ok=True)
    aside = path.with_name(f"{mine}.{os.getpid()}")
    try:
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
        flush_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def has_ended(pid: str) -> bool:
    """Whether this is the number of a process that is surely gone."""
    with suppress(ValueError, OverflowError, OSError):
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
    return False


def flush_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system lets a folder be flushed."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def lock(file: IO) -> bool:
    """Lock an open file until it is closed or the process ends, however; False where the system has no such locks.

    Raises BlockingIOError where another process has locked it.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return False
    return True


def user_cache(name: str) -> Path:
    """Where a file that can be made again goes when it has no better place: in the user's cache folder, made here.

    Raises OSError where that cannot be written either.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(named) if os.path.isabs(named) else Path.home() / ".cache"  # so says the XDG Base Directory standard
    path = home / "charrnn_port" / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path

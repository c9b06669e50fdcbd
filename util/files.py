"""Files that are whole or absent, and locks that die with their process."""

import errno
import glob
import os
import platform
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TextIO

from charrnn_port.util.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:  # all others
    msvcrt = None

LOCKED_BYTE = 1 << 30  # on Windows nobody else can read a byte that is locked: one where nothing is written


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Give a path to write to, aside; afterwards flush it to disk and rename it to `path`.

    Whatever goes wrong before leaves `path` as it was, and nothing aside. What a killed process of this machine
    left aside is removed by the next one that writes.
    """
    path = Path(path)
    remove_leftovers(path.parent, glob.escape(path.name))
    temporary = temporary_path(path)
    temporary.unlink(missing_ok=True)  # were it a link, writing would go to what it points to
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(content: bytes, path: str | os.PathLike) -> None:
    """Write a file whole or not at all. Raises UserError where it cannot be written."""
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def temporary_path(path: Path) -> Path:
    """Where this process writes a file until it is whole."""
    return path.with_name(f"{path.name}.part.{platform.node()}.{os.getpid()}")


def remove_leftovers(folder: Path, pattern: str = "*") -> None:
    """Remove what ended processes of this machine left aside of files whose names match; of others nobody can tell."""
    for left in folder.glob(f"{pattern}.part.{glob.escape(platform.node())}.*"):
        if has_ended(left.suffix[1:]):
            left.unlink(missing_ok=True)


def has_ended(pid: str) -> bool:
    """Whether this is the number of a process that is surely gone."""
    if os.name != "posix":  # on Windows os.kill would end it
        return False
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


def open_lock(path: Path) -> TextIO:
    """Open a file to lock, to read and to write; make it where there is none.

    Raises OSError for a link, which would have this write to a file that is none of ours, and for what is no file.
    """
    not_ours = OSError(errno.EEXIST, f"{path.name} in it is a link or no plain file: delete it")
    with suppress(FileNotFoundError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise not_ours
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # should it become a link just now
    return os.fdopen(os.open(path, flags, 0o666), "r+")


def lock(file: IO) -> bool:
    """Lock an open file until it is closed or the process ends, however; False where the system has no such locks.

    Raises BlockingIOError where another process has locked it.
    """
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt:
            lock_on_windows(file)
        else:
            return False
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return False
    return True


def lock_on_windows(file: IO) -> None:
    """What flock does elsewhere; Windows locks parts of files, and says PermissionError where they are locked."""
    place = file.tell()
    file.seek(LOCKED_BYTE)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError(error.errno, error.strerror) from None
    finally:
        file.seek(place)


def user_cache(name: str) -> Path:
    """Where a file that can be made again goes when it has no better place: in the user's cache folder, made here.

    Raises OSError where that cannot be written either.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(named) if os.path.isabs(named) else Path.home() / ".cache"  # so says the XDG Base Directory standard
    path = home / "charrnn_port" / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path

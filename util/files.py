"""Atomic writes, and file locks that end with their process."""

import errno
import glob
import os
import platform
import stat
import time
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

LOCKED_BYTE = 1 << 30  # on Windows other processes cannot read a locked byte, so it is one beyond the content
PAUSES = [0.01, 0.1, 0.5, 1]  # seconds between attempts to replace a file that is open on Windows
LONGEST_ON_WINDOWS = 259  # characters of a path, without its setting for long paths


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path to write to; afterwards flush it to disk and rename it to `path`.

    After an error `path` is unchanged, and the temporary file is removed. Temporary files of killed processes of this
    machine are removed by the next write.

    Raises OSError for a device such as /dev/null, which the file would replace.
    """
    path = Path(path)
    if is_device(path):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", str(path))
    remove_leftovers(path.parent, glob.escape(path.name))
    temporary = temporary_path(path)
    temporary.unlink(missing_ok=True)  # if it were a link, the write would go to its target
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        replace(temporary, path)
        flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def replace(temporary: Path, path: Path) -> None:
    """Rename a file to `path`, which may exist.

    Windows does not replace a file that a program has open. Most have it open briefly: another run that reads it, a
    virus scanner, a backup. So there are several attempts there. The error of the last one says what to do.
    """
    for pause in PAUSES if msvcrt else ():
        with suppress(PermissionError):
            temporary.replace(path)
            return
        time.sleep(pause)
    try:
        temporary.replace(path)
    except PermissionError as error:
        if msvcrt:
            error.strerror = "it is read-only or open in another program: close that"
        raise


def write_atomically(content: bytes, path: str | os.PathLike) -> None:
    """Write a file atomically, or to a device such as /dev/stdout. Raises UserError if it cannot be written."""
    try:
        if is_device(path):
            Path(path).write_bytes(content)
            return
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def require_writable(path: str | os.PathLike) -> None:
    """Raise UserError if a file cannot be written: before minutes of work, rather than after them. Leaves no file."""
    folder = Path(path).parent
    problem = errno.ENOENT if not folder.is_dir() else errno.EISDIR if Path(path).is_dir() else 0
    if not problem and not os.access(path if os.path.exists(path) else folder, os.W_OK):
        problem = errno.EACCES
    if problem:
        raise UserError(f"cannot write {path}: {os.strerror(problem)}")


def is_device(path: str | os.PathLike) -> bool:
    """Return whether a path is a device or a pipe, or a link to one. Renaming a file to it would remove it."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def temporary_path(path: Path) -> Path:
    """Return the path where this process writes a file before it is renamed to `path`."""
    return path.with_name(f"{path.name}.part.{platform.node()}.{os.getpid()}")


def remove_leftovers(folder: Path, pattern: str = "*") -> None:
    """Remove temporary files of ended processes for names that match. Those of other machines may still be in use."""
    for left in folder.glob(f"{pattern}.part.{glob.escape(platform.node())}.*"):
        if has_ended(left.suffix[1:]):
            left.unlink(missing_ok=True)


def has_ended(pid: str) -> bool:
    """Return whether the process with this number is known to have ended."""
    if os.name != "posix":  # on Windows os.kill would end the process
        return False
    with suppress(ValueError, OverflowError, OSError):
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
    return False


def is_too_long(error: OSError, path: Path) -> bool:
    """Return whether an error in creating `path` means that it is too long. Windows says that there is no such file."""
    long_on_windows = bool(msvcrt) and len(os.path.abspath(path)) > LONGEST_ON_WINDOWS
    return error.errno == errno.ENAMETOOLONG or (error.errno == errno.ENOENT and long_on_windows)


def flush_folder(folder: Path) -> None:
    """Flush a rename to disk, so that it survives a power failure, where the system can flush folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def open_lock(path: Path) -> TextIO:
    """Open a lock file for reading and writing; create it if it does not exist.

    Raises OSError for anything but a regular file, and for a link, since a write would go to its target.
    """
    not_ours = OSError(errno.EEXIST, f"{path.name} in it is a link or not a regular file: delete it")
    with suppress(FileNotFoundError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise not_ours
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # in case it has become a link since
    return os.fdopen(os.open(path, flags, 0o666), "r+")


def lock(file: IO) -> bool:
    """Lock an open file until it is closed or the process ends. Return False if the system has no file locks.

    Raises BlockingIOError if another process holds the lock.
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
    except OSError:  # the file system has no locks
        return False
    return True


def lock_on_windows(file: IO) -> None:
    """Do what flock does elsewhere. Windows locks ranges of bytes, and raises PermissionError for a held lock."""
    place = file.tell()
    file.seek(LOCKED_BYTE)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError(error.errno, error.strerror) from None
    finally:
        file.seek(place)


def user_cache(name: str) -> Path:
    """Return a path in the user's cache folder, for a file that can be created again. The folder is created.

    Raises OSError if it cannot be.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG Base Directory standard says that a relative path is ignored.
    home = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    path = home / "charrnn_port" / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path

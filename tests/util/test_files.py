"""Writes are atomic, also after a power failure; locks exclude other processes; the user's cache follows XDG."""

import errno
import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from charrnn_port.util import files
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import (
    atomic_write,
    has_ended,
    lock,
    open_lock,
    remove_leftovers,
    temporary_path,
    user_cache,
    write_atomically,
)


@pytest.fixture
def path(tmp_path):
    """Create a file with old content, alone in its folder."""
    path = tmp_path / "file"
    path.write_text("old")
    return path


def write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text)


# Atomic writes


def test_what_cannot_be_written_is_known_before(tmp_path):
    """The error is that of writing, and no file is left."""
    files.require_writable(tmp_path / "new")
    files.require_writable("/dev/null")
    for wrong, words in ((tmp_path / "none/new", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError, match=words) as before:
            files.require_writable(wrong)
        with pytest.raises(UserError) as after:
            files.write_atomically(b"", wrong)
        assert str(before.value) == str(after.value)
    assert list(tmp_path.iterdir()) == []


def test_the_new_content_is_there_at_the_end(path):
    with atomic_write(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["file"]


def test_an_error_leaves_the_old_content_and_nothing_aside(path):
    def write_and_fail() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("new")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_and_fail()
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """As a device is: an atomic write to /dev/null as root would remove it for the whole machine."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a device or a pipe"):
        write(tmp_path / "pipe", "new")
    with open(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        write_atomically(b"new", tmp_path / "pipe")
        assert reader.read() == b"new"
    assert os.listdir(tmp_path) == ["pipe"]


def test_an_error_before_anything_is_written_is_the_one_raised(path):
    with pytest.raises(InterruptedError), atomic_write(path):
        raise InterruptedError


def test_the_content_is_flushed_before_the_file_has_its_name_and_the_name_after(path, monkeypatch):
    path.unlink()
    flushed = []

    def fsync(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        flushed.append((kind, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write(path, "new")
    assert flushed == [("file", False), ("folder", True)]


def test_a_folder_that_cannot_be_flushed_does_not_matter(path, monkeypatch):
    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "no fsync of folders")

    monkeypatch.setattr(os, "fsync", fsync)
    write(path, "new")
    assert path.read_text() == "new"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux what is open")
def test_nothing_stays_open(path):
    before = os.listdir("/proc/self/fd")
    write(path, "new")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_leftover_is_removed_by_the_next_that_writes(path, ended_pid):
    leftover = path.with_name(f"file.part.{platform.node()}.{ended_pid}")
    leftover.touch()
    write(path, "new")
    assert os.listdir(path.parent) == ["file"]


def test_a_leftover_of_a_process_that_may_live_stays(path, monkeypatch):
    """The number at the end of the name is that of the process."""
    asked = []
    monkeypatch.setattr(files, "has_ended", asked.append)
    leftover = path.with_name(f"file.part.{platform.node()}.1234")
    leftover.touch()
    write(path, "new")
    assert asked == ["1234"]
    assert sorted(os.listdir(path.parent)) == ["file", leftover.name]


def test_a_leftover_that_another_process_removes_first(path, monkeypatch):
    leftover = path.with_name(f"file.part.{platform.node()}.1")
    leftover.touch()
    monkeypatch.setattr(files, "has_ended", lambda pid: leftover.unlink() is None)
    write(path, "new")
    assert path.read_text() == "new"


def test_names_with_signs_of_patterns(tmp_path, ended_pid):
    """As a pattern, `[a]` would match a, not itself."""
    leftover, other = (tmp_path / f"{name}.part.{platform.node()}.{ended_pid}" for name in ("[a]", "a"))
    leftover.touch()
    other.touch()
    write(tmp_path / "[a]", "new")
    assert sorted(os.listdir(tmp_path)) == ["[a]", other.name]


def test_only_a_process_that_is_surely_gone_has_ended(ended_pid):
    assert has_ended(ended_pid) is True
    for pid in (str(os.getpid()), str(os.getppid()), "1", "", "no number", "9" * 30):
        assert has_ended(pid) is False


def test_a_link_aside_is_not_followed(path):
    """The same holds for the temporary file of an ended process with this process's number."""
    temporary_path(path).symlink_to(path)
    write(path, "new")
    assert path.read_text() == "new"
    assert not path.is_symlink()
    other = path.with_name("other")
    other.write_text("other")
    temporary_path(path).symlink_to(other)
    write(path, "newer")
    assert (path.read_text(), other.read_text()) == ("newer", "other")


def test_leftovers_of_some_names(tmp_path, ended_pid):
    ours, theirs = platform.node(), f"not-{platform.node()}"
    for name in (f"a.t7.part.{ours}", f"a.txt.part.{ours}", f"a.t7.part.{theirs}", "a.t7"):
        (tmp_path / f"{name}.{ended_pid}").touch()
    (tmp_path / f"a.t7.part.{ours}.{os.getpid()}").touch()
    remove_leftovers(tmp_path, "*.t7")
    left = {f"a.txt.part.{ours}.{ended_pid}", f"a.t7.part.{theirs}.{ended_pid}", f"a.t7.{ended_pid}"}
    assert set(os.listdir(tmp_path)) == {*left, f"a.t7.part.{ours}.{os.getpid()}"}
    remove_leftovers(tmp_path)
    assert f"a.txt.part.{ours}.{ended_pid}" not in os.listdir(tmp_path)


def test_on_windows_no_process_is_asked(ended_pid, monkeypatch):
    """os.kill would end the process on Windows, or all processes of its console."""
    monkeypatch.setattr(os, "name", "nt")
    monkeypatch.setattr(os, "kill", None)
    assert has_ended(ended_pid) is False


# Locks


def test_a_lock_file_is_made_and_keeps_what_is_in_it(path):
    with open_lock(path) as file:
        assert file.read() == "old"
        file.seek(0)
        file.write("new")
    assert path.read_text() == "new"
    path.unlink()
    open_lock(path).close()
    assert path.read_text() == ""


@pytest.mark.parametrize("kind", ["link", "link to nothing", "hard link", "folder", "pipe"])
def test_a_lock_file_that_is_a_link_or_no_file(kind, path):
    before = path.read_text()
    made = path.with_name(".lock")
    {
        "link": lambda: made.symlink_to(path),
        "link to nothing": lambda: made.symlink_to("nothing"),
        "hard link": lambda: made.hardlink_to(path),
        "folder": made.mkdir,
        "pipe": lambda: os.mkfifo(made),
    }[kind]()
    with pytest.raises(OSError, match=r"\.lock in it is a link or not a regular file: delete it"):
        open_lock(made)
    assert path.read_text() == before
    assert set(os.listdir(path.parent)) == {"file", ".lock"}


def test_a_lock_file_that_becomes_a_link_just_now(path, monkeypatch):
    made = path.with_name(".lock")
    made.symlink_to(path)
    monkeypatch.setattr(Path, "lstat", lambda self: path.stat())
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        open_lock(made)


class Msvcrt:
    """An emulation of Windows' file locks, which lock bytes from the file's position on."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.locked = []

    def locking(self, handle: int, mode: int, size: int) -> None:
        """Lock `size` bytes."""
        assert mode == self.LK_NBLCK
        place = os.lseek(handle, 0, os.SEEK_CUR), size
        if place in self.locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        self.locked.append(place)


def test_on_windows(path, monkeypatch):
    """The locked byte is not one of the content, which says who holds the lock. Not tested on Windows itself."""
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files, "msvcrt", Msvcrt())
    with path.open("r+") as mine, path.open("r+") as other:
        assert lock(mine) is True
        assert mine.tell() == 0
        with pytest.raises(BlockingIOError):
            lock(other)
        assert other.read() == "old"
        ((place, size),) = files.msvcrt.locked
        assert (place > 1000, size) == (True, 1)


def test_a_lock_excludes_others_until_its_file_is_closed(path):
    with path.open() as mine, path.open() as other:
        assert lock(mine) is True
        with pytest.raises(BlockingIOError):
            lock(other)
    with path.open() as other:
        assert lock(other) is True


LOCK = """
import sys
from charrnn_port.util.files import lock
file = open(sys.argv[1])
print(lock(file), flush=True)
input()
"""


def test_a_lock_ends_with_its_process(path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", LOCK, path], cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == "True\n"
        with path.open() as mine:
            with pytest.raises(BlockingIOError):
                lock(mine)
            process.kill()
            process.wait()
            assert lock(mine) is True


def test_where_there_are_no_locks(path, monkeypatch):
    """A file system or an operating system without locks."""

    def no_locks(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    with path.open() as file:
        monkeypatch.setattr(files.fcntl, "flock", no_locks)
        assert lock(file) is False
        monkeypatch.setattr(files, "fcntl", None)
        assert lock(file) is False


# The user's cache folder


def test_the_users_cache_folder_is_made_for_the_user_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "some" / "cache"))
    path = user_cache("name.h5")
    assert path == tmp_path / "some" / "cache" / "charrnn_port" / "name.h5"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert user_cache("name.h5") == path
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("setting", [None, "", "relative", "./cache"])
def test_without_a_setting_it_is_in_the_home_folder(setting, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    if setting is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", setting)
    assert user_cache("name.h5") == tmp_path / ".cache" / "charrnn_port" / "name.h5"

"""Files are whole or absent, after a power cut too; locks exclude others; the user's cache is where XDG says."""

import errno
import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from util import files
from util.files import has_ended, lock, user_cache, written_whole


@pytest.fixture
def path(tmp_path):
    """A file with an old content, alone in its folder."""
    path = tmp_path / "file"
    path.write_text("old")
    return path


@pytest.fixture
def ended_pid():
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return str(process.pid)


def write(path: Path, text: str) -> None:
    with written_whole(path) as aside:
        aside.write_text(text)


# Files that are whole or absent


def test_the_new_content_is_there_at_the_end(path):
    with written_whole(str(path)) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["file"]


def test_an_error_leaves_the_old_content_and_nothing_aside(path):
    def write_and_fail() -> None:
        with written_whole(path) as aside:
            aside.write_text("new")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_and_fail()
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file"]


def test_an_error_before_anything_is_written_is_the_one_raised(path):
    with pytest.raises(InterruptedError), written_whole(path):
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
    """Its process is the number at the end of its name."""
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
    """`[a]` would match a, not itself."""
    leftover, other = (tmp_path / f"{name}.part.{platform.node()}.{ended_pid}" for name in ("[a]", "a"))
    leftover.touch()
    other.touch()
    write(tmp_path / "[a]", "new")
    assert sorted(os.listdir(tmp_path)) == ["[a]", other.name]


def test_only_a_process_that_is_surely_gone_has_ended(ended_pid):
    assert has_ended(ended_pid) is True
    for pid in (str(os.getpid()), str(os.getppid()), "1", "", "no number", "9" * 30):
        assert has_ended(pid) is False


# Locks


def test_a_lock_excludes_others_until_its_file_is_closed(path):
    with path.open() as mine, path.open() as other:
        assert lock(mine) is True
        with pytest.raises(BlockingIOError):
            lock(other)
    with path.open() as other:
        assert lock(other) is True


LOCK = """
import sys
from util.files import lock
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
    """A file system without them, or a whole system (Windows)."""

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

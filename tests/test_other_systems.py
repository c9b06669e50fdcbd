"""What differs on Windows and macOS, as far as Linux can emulate it: missing modules and signals, open files.

These tests cannot replace a run on the systems themselves; .github/workflows/ci.yml describes one.
"""

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RECORDINGS, ROOT, assert_one_line_error, run_train
from runs import SMALL, TEXT

from charrnn_port.model import build
from charrnn_port.util import files
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import atomic_write, is_too_long, write_atomically

WITHOUT = """
import importlib, os, signal, sys
from pathlib import Path

def import_all():
    for path in [each for folder in ("charrnn_port", "model", "util") for each in Path(folder).rglob("*.py")]:
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        importlib.import_module(name if name.startswith("charrnn_port") else f"charrnn_port.{name}")

import_all()  # with all that other packages need of this system
for name in [name for name in sys.modules if name.partition(".")[0] == "charrnn_port"]:
    del sys.modules[name]
for name in "fcntl termios resource pwd grp pty tty curses readline syslog".split():
    sys.modules[name] = None
for name in "fork getuid killpg register_at_fork sched_getaffinity statvfs sysconf mkfifo O_NOFOLLOW".split():
    delattr(os, name)
for name in "SIGHUP SIGXCPU SIGUSR1 SIGUSR2 SIGPIPE SIGKILL".split():
    delattr(signal, name)
import mmap
del mmap.MADV_DONTNEED
import_all()
from charrnn_port.programs.train import main
main(sys.argv[1:])
"""


@pytest.fixture
def data(tmp_path):
    """Create a data folder, and return its path."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return tmp_path / "data"


def test_all_modules_and_a_run_without_what_only_unix_has(data, tmp_path):
    """Windows has none of these modules, functions and signals; macOS lacks some."""
    words = [*SMALL, "-data_dir", data, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 1, "-gpuid", -1]
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert any((tmp_path / "cv").glob("*.t7.pt"))


@pytest.fixture
def windows(monkeypatch):
    """Let files be replaced as on Windows; return a list: the seconds that were waited."""
    waited = []
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files, "msvcrt", type("Msvcrt", (), {"LK_NBLCK": 2, "locking": lambda *_: None}))
    monkeypatch.setattr(files.time, "sleep", waited.append)
    return waited


def refuse(monkeypatch, times: float, name: str = "") -> None:
    """Let the next attempts to replace a file, or one with this end of its name, fail as on Windows."""
    replace, attempts = Path.replace, []

    def refused(self: Path, target: Path) -> Path:
        if str(target).endswith(name) and len(attempts) < times:
            attempts.append(target)
            raise PermissionError(errno.EACCES, "Access is denied", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refused)


def test_a_file_that_is_open_for_a_moment_is_replaced(tmp_path, monkeypatch, windows):
    (tmp_path / "file").write_text("old")
    refuse(monkeypatch, 2)
    with atomic_write(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "file").read_text() == "new"
    assert windows == files.PAUSES[:2]


def test_a_file_that_stays_open_is_an_error_and_stays(tmp_path, monkeypatch, windows):
    (tmp_path / "file").write_text("old")
    refuse(monkeypatch, float("inf"))
    with pytest.raises(UserError, match="it is read-only or open in another program: close that"):
        write_atomically(b"new", tmp_path / "file")
    assert windows == files.PAUSES
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_elsewhere_nothing_is_tried_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(files.time, "sleep", lambda seconds: pytest.fail("waited"))
    refuse(monkeypatch, 1)
    with pytest.raises(UserError, match="Access is denied"):
        write_atomically(b"new", tmp_path / "file")


def test_a_run_whose_checkpoint_stays_open(data, tmp_path, monkeypatch, windows):
    refuse(monkeypatch, float("inf"), ".t7.pt")
    result = run_train(*SMALL, "-data_dir", data, "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 1)
    assert_one_line_error(result, 1, "cannot save", "open in another program", "earlier checkpoints are untouched")


def test_a_path_that_is_too_long_on_windows(monkeypatch, windows):
    """Windows says only that there is no such file."""
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory")
    assert is_too_long(missing, Path("/", *["folder"] * 50)) is True
    assert is_too_long(missing, Path("/folder")) is False
    monkeypatch.setattr(files, "msvcrt", None)
    assert is_too_long(missing, Path("/", *["folder"] * 50)) is False
    assert is_too_long(OSError(errno.ENAMETOOLONG, "File name too long"), Path("/folder")) is True


def test_compiled_cells_are_cached_on_windows(tmp_path, monkeypatch):
    """There every folder has the mode of one to which all may write, and no user owns it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "charrnn_port"
    folder.mkdir()
    folder.chmod(0o777)
    assert folder.stat().st_mode & stat.S_IWOTH
    monkeypatch.delattr(os, "getuid")
    assert build.private_cache("cells.so") == folder / "cells.so"


@pytest.mark.parametrize("named", [r"C:\tools\gcc.exe -m64", r'"C:\tools\gcc.exe" -m64'])
def test_a_compiler_with_backslashes(named, monkeypatch):
    monkeypatch.setenv("CC", named)
    monkeypatch.setattr(os, "name", "nt")
    assert build.chosen_compiler() == (named, [r"C:\tools\gcc.exe", "-m64"])


@pytest.mark.skipif(not (shutil.which("git") and (ROOT / ".git").exists()), reason="needs a clone of the repository")
def test_git_changes_no_bytes_on_windows(tmp_path):
    """With core.autocrlf, which Git for Windows sets, git would write carriage returns."""
    names = ["model/sequence.c", ".ci/run", "tests/reference/lstm_defaults_tinyshakespeare.txt"]
    names.append((RECORDINGS / "play/input.txt").relative_to(ROOT).as_posix())
    git = ["git", "-c", "core.autocrlf=true", "checkout-index", f"--prefix={tmp_path}/", "--", *names]
    subprocess.run(git, cwd=ROOT, check=True)
    for name in names:
        assert b"\r\n" not in (tmp_path / name).read_bytes()

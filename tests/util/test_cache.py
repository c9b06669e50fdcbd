"""The cache is complete and up to date: in read-only folders, with several writers, and after they are killed."""

import ctypes
import itertools
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, assert_one_line_error, run_train

from charrnn_port.util import hdf5, text_cache
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import MinibatchLoader

SMALL = "-gpuid -1 -rnn_size 4 -num_layers 1 -batch_size 2 -seq_length 5 -max_epochs 0.05 -train_frac 0.9".split()
TEXT = np.random.RandomState(1).randint(32, 127, 300_000, np.uint8).tobytes()
MADE_AGAIN = "preprocessing input text file"


@pytest.fixture
def data(tmp_path):
    """Create a data folder with a text."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "input.txt").write_bytes(TEXT)
    return folder


def loaded(data_dir: str | os.PathLike) -> tuple[bytes, str]:
    """Load the whole text; return it and the printed lines."""
    lines = []
    loader = MinibatchLoader(data_dir, 1, 1, 1, 0, lines.append)
    assert loader.nbatches == len(loader.ids)
    return np.frombuffer(loader.vocab.symbols, np.uint8)[loader.ids].tobytes(), "\n".join(lines)


def start(function, *arguments) -> multiprocessing.Process:
    """Start a process without waiting for it."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


def test_several_at_once(data, monkeypatch):
    monkeypatch.setattr(text_cache, "CHUNK", 1000)
    together = multiprocessing.get_context("fork").Barrier(4)

    def preprocess_and_read() -> None:
        together.wait()
        text, lines = loaded(data)
        assert text == TEXT
        assert MADE_AGAIN in lines

    processes = [start(preprocess_and_read) for _ in range(4)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    text, lines = loaded(data)
    assert text == TEXT
    assert MADE_AGAIN not in lines
    assert sorted(os.listdir(data)) == ["data.h5", "input.txt"]


def killed_at(moment: int, data_dir: str | os.PathLike) -> None:
    """Load a text, but end like a killed process at the write or rename with this number, counted from 0."""
    moments = itertools.count()

    def kill_before(function: Callable) -> Callable:
        def wrapped(*arguments, **more):
            if next(moments) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **more)

        return wrapped

    hdf5.Output.write = kill_before(hdf5.Output.write)
    os.replace = kill_before(os.replace)
    loaded(data_dir)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_killed_at_any_moment(data, monkeypatch):
    """A file with the cache's name is complete; temporary files are removed by the next writer."""
    monkeypatch.setattr(text_cache, "CHUNK", 60_000)
    for moment in itertools.count():
        process = start(killed_at, moment, data)
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        assert [name.startswith("data.h5.") for name in sorted(os.listdir(data))].count(True) == 1
        assert not (data / "data.h5").exists()
    assert moment > 5
    assert sorted(os.listdir(data)) == ["data.h5", "input.txt"]
    text, lines = loaded(data)
    assert text == TEXT
    assert MADE_AGAIN not in lines


def test_what_others_have_aside_stays(data):
    """Files of running processes remain, and those of other machines, whose processes may be running."""
    others = {f"data.h5.part.{platform.node()}.{os.getppid()}", f"data.h5.part.not-{platform.node()}.999999999"}
    for name in others:
        (data / name).touch()
    (data / f"data.h5.part.{platform.node()}.999999999").touch()
    loaded(data)
    assert set(os.listdir(data)) == {"data.h5", "input.txt", *others}


LOAD = """
import os, sys
assert not os.access(sys.argv[1], os.W_OK)
from charrnn_port.util.minibatch_loader import MinibatchLoader
MinibatchLoader(sys.argv[1], 1, 1, 1, 0)
"""


def bind_root() -> None:
    """Make file permissions apply to root too: drop CAP_DAC_OVERRIDE permanently (PR_CAPBSET_DROP)."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def load_elsewhere(data_dir: Path, cache_home: Path) -> subprocess.CompletedProcess:
    """Run the loader in a process to which file permissions apply."""
    return subprocess.run(
        [sys.executable, "-c", LOAD, data_dir],
        cwd=ROOT, env={**os.environ, "XDG_CACHE_HOME": str(cache_home)}, preexec_fn=bind_root,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def read_only(data):
    """Make the data folder read-only."""
    data.chmod(0o555)
    command = [sys.executable, "-c", "import os, sys; sys.exit(os.access(sys.argv[1], os.W_OK))", data]
    if subprocess.run(command, preexec_fn=bind_root, check=False).returncode:
        pytest.skip("nothing binds this user")
    yield data
    data.chmod(0o755)


def test_a_read_only_folder_has_its_cache_in_the_users(read_only, tmp_path):
    first = load_elsewhere(read_only, tmp_path / "home")
    (cache,) = (tmp_path / "home" / "charrnn_port").iterdir()
    assert first.stdout.split("\n")[0] == f"{read_only} cannot be written: the cache is {cache}"
    assert MADE_AGAIN in first.stdout
    (tmp_path / "link").symlink_to(read_only)  # the same text under another path
    second = load_elsewhere(tmp_path / "link", tmp_path / "home")
    assert f"the cache is {cache}\nloading data files..." in second.stdout
    assert os.listdir(read_only) == ["input.txt"]


def test_a_cache_beside_the_text_is_preferred(read_only, tmp_path):
    read_only.chmod(0o755)
    loaded(read_only)
    read_only.chmod(0o555)
    result = load_elsewhere(read_only, tmp_path / "home")
    assert result.stdout.startswith("loading data files...")
    assert not (tmp_path / "home").exists()


def test_nowhere_to_write(data, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    result = run_train("-data_dir", data, "-checkpoint_dir", tmp_path / "cv", *SMALL)
    assert_one_line_error(result, 1, str(data), str(tmp_path / "file"), "XDG_CACHE_HOME")


def test_a_cache_without_its_text_is_not_used(data):
    loaded(data)
    (data / "input.txt").unlink()
    with pytest.raises(UserError, match="no text at"):
        loaded(data)


@pytest.mark.parametrize("name", ["input.txt", "data.h5"])
@pytest.mark.parametrize("when", [1, 4_000_000_000], ids=["past", "future"])
def test_clocks_do_not_matter(data, name, when):
    """The cache stays valid for any date of the text, however far away, until the date changes."""
    os.utime(data / "input.txt", (when, when))
    loaded(data)
    os.utime(data / "data.h5", (when, when))
    assert MADE_AGAIN not in loaded(data)[1]


def test_links(data, tmp_path):
    (tmp_path / "folder").symlink_to(data)
    assert MADE_AGAIN in loaded(tmp_path / "folder")[1]
    assert MADE_AGAIN not in loaded(data)[1]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/input.txt").symlink_to(data / "input.txt")
    assert loaded(tmp_path / "other")[0] == TEXT
    (data / "input.txt").write_bytes(TEXT[::-1])
    assert loaded(tmp_path / "other")[0] == TEXT[::-1]


@pytest.mark.parametrize("name", [b"with a space", "Füße 文".encode(), b"not \xff\xe9 decodable", b"-dash"])
def test_names_of_folders(data, tmp_path, name):
    folder = tmp_path / os.fsdecode(name)
    data.rename(folder)
    result = run_train("-data_dir", folder, "-checkpoint_dir", folder / "cv", *SMALL, "-max_epochs", 1e-4)
    assert result.exit_code == 0, result.output
    assert os.fsdecode(name).encode(errors="backslashreplace") in result.stdout_bytes
    assert (folder / "data.h5").exists()


LARGE = 192 << 20  # bytes of text
TRAIN_IN_LITTLE_MEMORY = """
import re, resource, sys
from pathlib import Path
sys.path.insert(0, "tests")
from charrnn_port.training import prepare
from conftest import train_options
kilobytes = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_DATA, [(kilobytes << 10) + int(sys.argv[1])] * 2)
training = prepare(train_options(*sys.argv[2:]))
assert training.loader.nbatches * 50 * 50 > 190 << 20
for iteration in range(5):
    training.iteration()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux how much memory is in use")
@pytest.mark.parametrize("options", [[], pytest.param(["-encoding", "utf-8", "-min_count", 2], marks=pytest.mark.long)])
def test_a_text_larger_than_memory(tmp_path, options):
    """Preprocessing and training need less memory than a third of the text's size."""
    with (tmp_path / "input.txt").open("wb") as file:
        for _ in range(LARGE >> 20):
            file.write((b"the quick brown fox jumps over the lazy dog, " * 23302)[: 1 << 20])
    arguments = ["-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv", "-gpuid", "-1", "-rnn_size", "8"]
    arguments += options
    command = [sys.executable, "-c", TRAIN_IN_LITTLE_MEMORY, LARGE // 3, *arguments]
    result = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False)
    for name in ("input.txt", "data.h5"):
        (tmp_path / name).unlink(missing_ok=True)
    assert result.returncode == 0, result.stderr

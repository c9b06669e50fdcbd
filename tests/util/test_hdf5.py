"""Tests of HDF5 files: on a full disk, on a drive without locks, and for older libraries."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT, full_disk

from charrnn_port.util.errors import UserError
from charrnn_port.util.hdf5 import atomic_hdf5
from charrnn_port.util.minibatch_loader import MinibatchLoader

TEXT = b"hello world. " * 3000
NO_LOCKS = "#include <errno.h>\nint flock(int file, int operation) { errno = ENOLCK; return -1; }"


def load(folder: Path, text: bytes = TEXT) -> MinibatchLoader:
    (folder / "input.txt").write_bytes(text)
    return MinibatchLoader(folder, 2, 3, 0.5, 0.25, lambda line: None)


@pytest.mark.parametrize("limit", [0, 1000, 20_000, 40_000])
def test_a_disk_that_is_full_while_preprocessing(limit, tmp_path):
    """It is one error, wherever the disk becomes full, and leaves no file."""
    (tmp_path / "input.txt").write_bytes(TEXT)
    message = rf"^cannot make .*data\.h5 from .*: {os.strerror(errno.EFBIG)}$"
    with full_disk(limit), pytest.raises(UserError, match=message):
        MinibatchLoader(tmp_path, 2, 3, 0.5, 0.25, lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["input.txt"]


@pytest.mark.long
def test_the_process_survives_a_full_disk(tmp_path):
    """HDF5 crashes when a process ends after a write to a file of its own has failed."""
    (tmp_path / "input.txt").write_bytes(TEXT)
    command = [sys.executable, ROOT / "train.py", "-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv"]
    with full_disk(20_000):
        ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith("Error: cannot make ")


def test_an_error_of_the_caller_leaves_the_older_file(tmp_path):
    load(tmp_path)
    before = (tmp_path / "data.h5").read_bytes()

    def write_and_fail() -> None:
        with atomic_hdf5(tmp_path / "data.h5") as (file, _):
            file["numbers"] = np.arange(10)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_and_fail()
    assert (tmp_path / "data.h5").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.h5", "input.txt"]


@pytest.mark.long
@pytest.mark.skipif(not (sys.platform == "linux" and shutil.which("cc")), reason="replaces a function of the C library")
def test_a_network_drive_without_locks(tmp_path):
    """Flock fails there, in Python and in HDF5. A run trains, and the next one uses its cache."""
    (tmp_path / "input.txt").write_bytes(TEXT)
    (tmp_path / "no_locks.c").write_text(NO_LOCKS)
    library = str(tmp_path / "no_locks.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "no_locks.c"], check=True)
    sizes = "-rnn_size 4 -num_layers 1 -batch_size 10 -seq_length 20 -max_epochs 0.02 -gpuid -1".split()
    command = [sys.executable, ROOT / "train.py", *sizes, "-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv"]
    ended = [
        subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LD_PRELOAD": library})
        for _ in range(2)
    ]
    assert [each.returncode for each in ended] == [0, 0], ended[0].stderr
    assert ["Running preprocessing" in each.stdout for each in ended] == [True, False]


def recordings() -> list[Path]:
    """Return all HDF5 files of the repository."""
    folders = ROOT / "charrnn_port/reports/verify/recordings", ROOT / "tests/reference"
    return sorted(path for folder in folders for path in folder.rglob("*.h5"))


def layouts(path: Path) -> set[int]:
    """Return the versions of the layouts of a file's datasets, read from the bytes of their object headers.

    Libraries of HDF5 differ in the versions that they read: layouts are up to 3 in all of them, up to 4 from 1.10 on
    and 5 from 2.0 on. A layout is the message of type 8. Raises AssertionError for headers of a version after 1.
    """
    content = path.read_bytes()
    with h5py.File(path) as file:
        found: list[h5py.Dataset] = []
        file.visititems(lambda _, each: found.append(each) if isinstance(each, h5py.Dataset) else None)
        places = [h5py.h5o.get_info(each.id).addr for each in found]
    return {layout_version(content, place) for place in places}


def layout_version(content: bytes, header: int) -> int:
    """Return the version of the layout message in the object header that begins at position `header`."""
    assert content[header] == 1, "the version of the header"

    def number(place: int, size: int) -> int:
        return int.from_bytes(content[place : place + size], "little")

    blocks = [(header + 16, number(header + 8, 4))]  # each message: its type, its size, flags and its content
    for place, size in blocks:
        end = place + size
        while place < end:
            kind, begin = number(place, 2), place + 8
            if kind == 8:
                return content[begin]
            if kind == 16:  # the header continues elsewhere
                blocks.append((number(begin, 8), number(begin + 8, 8)))
            place = begin + number(place + 2, 2)
    raise AssertionError("no layout")


@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.name)
def test_recordings_are_for_older_libraries_too(path):
    """The byte after the signature is the superblock's version: 0 is for all libraries."""
    assert path.read_bytes()[8] == 0
    assert layouts(path) == {3}


def test_caches_are_for_older_libraries_too(tmp_path):
    load(tmp_path)
    assert (tmp_path / "data.h5").read_bytes()[8] == 0
    assert layouts(tmp_path / "data.h5") == {3}

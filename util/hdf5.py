"""Writes HDF5 files atomically, so that a full disk is an ordinary error and any HDF5 library since 1.10 reads them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

import h5py

from charrnn_port.util.files import atomic_write

LAYOUT = ("earliest", "v110")  # object versions that h5py 3.10 and HDF5 1.10 can read


class Output:
    """An open file for HDF5, whose library crashes at exit if a write fails.

    Stores the first OSError as `error` instead of raising it, and then ignores all writes; the caller calls `check`.
    HDF5 does not lock such a file, so that it can be on a network drive without locks.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the OSError of the first write that failed, if there is one."""
        if self.error:
            raise self.error

    def write(self, data: bytes) -> int:
        """Write all bytes."""
        rest = memoryview(data)
        while rest and not self.error:
            try:
                rest = rest[self._file.write(rest) :]
            except OSError as error:
                self.error = error
        return len(data)

    def truncate(self, size: int) -> int:
        """Set the file's length."""
        if not self.error:
            try:
                self._file.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def __getattr__(self, name: str) -> object:
        """Delegate reading and seeking to the file."""
        return getattr(self._file, name)


@contextmanager
def atomic_hdf5(path: str | os.PathLike) -> Iterator[tuple[h5py.File, Output]]:
    """Yield a new HDF5 file, which is renamed to `path` at the end, and its output, whose `check` reports a full disk.

    Raises OSError if the file cannot be written, at the end at the latest; then `path` is unchanged.
    """
    with atomic_write(path) as temporary, temporary.open("w+b", buffering=0) as raw:
        out = Output(raw)
        with h5py.File(out, "w", libver=LAYOUT) as file:
            yield file, out
        out.check()

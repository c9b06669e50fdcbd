"""Reads and writes the values in a binary file: ints, doubles and arrays, little-endian and without padding."""

import mmap
import struct

import numpy as np

from charrnn_port.torch7.t7 import layout
from charrnn_port.torch7.t7.layout import T7Error

INT, DOUBLE = struct.Struct("<i"), struct.Struct("<d")


def encode_binary(values: np.ndarray) -> memoryview:
    """Return the bytes of these values; long is int64."""
    return values.data


class BinarySource:
    """Reads values in order; `offset` is the position of the next one. Raises T7Error at the end of the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.offset = 0
        self.long = None  # int64 or int32, after the first long

    def integer(self) -> int:
        """Return the next int."""
        return INT.unpack_from(self.data, self._advance(INT.size))[0]

    def number(self) -> float:
        """Return the next double."""
        return DOUBLE.unpack_from(self.data, self._advance(DOUBLE.size))[0]

    def values(self, dtype: type, size: int, then_object: bool = False) -> np.ndarray:
        """Return a copy of the next `size` values, which are unaligned in the file; int64 stands for long.

        `then_object` says that an object follows these values.
        """
        if dtype is np.int64 and size and not self.long:
            self.long = self._long_type(then_object)
        stored = np.dtype(self.long if dtype is np.int64 and size else dtype)
        start = self._advance(size * stored.itemsize)
        values = np.frombuffer(self.data, stored, size, start).astype(dtype)
        if values.nbytes >= 2**20 and hasattr(mmap, "MADV_DONTNEED"):
            # Release the file's pages; otherwise they count as memory in addition to the copy.
            page = start - start % mmap.PAGESIZE
            self.data.madvise(mmap.MADV_DONTNEED, page, self.offset - page)
        return values

    def _advance(self, size: int) -> int:
        """Skip `size` bytes and return the offset where they begin."""
        start = self.offset
        if start + size > len(self.data):
            raise T7Error(f"unexpected end of file: expected {size} more bytes", start)
        self.offset += size
        return start

    def _long_type(self, then_object: bool) -> type:
        """Return the type of longs, detected at the first one, which is the next value.

        The bytes after a 4-byte long are another size, the tag of a storage, or an element. They are zero only after
        the offset of a tensor without storage, where the tag of nil follows and then no storage.
        """
        _, high, after = np.frombuffer(self.data[self.offset : self.offset + 12].ljust(12, b"\0"), np.int32)
        return np.int32 if high or (then_object and after not in (layout.NIL, layout.TORCH)) else np.int64

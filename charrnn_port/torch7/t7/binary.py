"""The values in a binary file: ints, doubles and arrays, little-endian and without gaps."""

import mmap
import struct

import numpy as np

from charrnn_port.torch7.t7 import tags
from charrnn_port.torch7.t7.errors import T7Error

INT, DOUBLE = struct.Struct("<i"), struct.Struct("<d")


def encode_binary(values: np.ndarray) -> memoryview:
    """The bytes of these values; long is int64."""
    return values.data


class BinarySource:
    """Reads values one after the other; `offset` is where the next begins. Raises T7Error where the file ends."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.offset = 0
        self.long = None  # int64 or int32, once a long has been read

    def integer(self) -> int:
        """The next int."""
        return INT.unpack_from(self.data, self._advance(INT.size))[0]

    def number(self) -> float:
        """The next double."""
        return DOUBLE.unpack_from(self.data, self._advance(DOUBLE.size))[0]

    def values(self, dtype: type, size: int, then_object: bool = False) -> np.ndarray:
        """The next `size` values, int64 standing for long. A copy: in the file they are not aligned."""
        if dtype is np.int64 and size and not self.long:
            self.long = self._long_type(then_object)
        stored = np.dtype(self.long if dtype is np.int64 and size else dtype)
        start = self._advance(size * stored.itemsize)
        values = np.frombuffer(self.data, stored, size, start).astype(dtype)
        if values.nbytes >= 2**20 and hasattr(mmap, "MADV_DONTNEED"):
            # Let go of the file's pages, or they would count as memory beside the copy.
            page = start - start % mmap.PAGESIZE
            self.data.madvise(mmap.MADV_DONTNEED, page, self.offset - page)
        return values

    def _advance(self, size: int) -> int:
        """Go past `size` bytes; gives where they begin."""
        start = self.offset
        if start + size > len(self.data):
            raise T7Error(f"the file ends where {size} bytes should follow", start)
        self.offset += size
        return start

    def _long_type(self, then_object: bool) -> type:
        """The type of the longs, of which the first comes next.

        After a short one comes another size, the type of a storage or an element; only after the offset of a
        tensor without storage comes nil, also zero, and then no object that could be a storage.
        """
        _, high, after = np.frombuffer(self.data[self.offset : self.offset + 12].ljust(12, b"\0"), np.int32)
        return np.int32 if high or (then_object and after not in (tags.NIL, tags.TORCH)) else np.int64

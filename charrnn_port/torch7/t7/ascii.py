"""Reads and writes the values in an ASCII file: a line for each value, or for all elements of an array."""

import mmap
import re

import numpy as np

from charrnn_port.torch7.t7.layout import T7Error


def encode_ascii(values: np.ndarray) -> bytes:
    """Return the line for these values, or b"" if there are none."""
    if not values.size:
        return b""
    if values.itemsize == 1:
        return values.tobytes() + b"\n"
    form = "%d" if values.dtype.kind == "i" else "%.17g" if values.itemsize == 8 else "%.9g"  # as in THDiskFile.c
    return " ".join(form % value for value in values.tolist()).encode() + b"\n"


class AsciiSource:
    """Reads values in order; `offset` is the position of the next one. Raises T7Error for an unexpected line."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.offset = 0

    def integer(self) -> int:
        """Return the next int."""
        return self.values(np.int32, 1)[0].item()

    def number(self) -> float:
        """Return the next double."""
        return self.values(np.float64, 1)[0].item()

    def values(self, dtype: type, size: int, then_object: bool = False) -> np.ndarray:
        """Return the next `size` values: a line of numbers or, for types of one byte, raw bytes and a newline.

        `then_object` is used in binary files only.
        """
        if not size:
            return np.empty(0, dtype)
        if np.dtype(dtype).itemsize == 1:
            end = self.offset + size
            values = np.frombuffer(self.data[self.offset : end], dtype).copy()
        else:
            end = self.data.find(b"\n", self.offset)
            values = _numbers(self.data[self.offset : end], size, dtype)
        if len(values) != size or self.data[end : end + 1] != b"\n":
            raise T7Error(f"expected a line of {size} {dtype.__name__} values", self.offset)
        self.offset = end + 1
        return values


def _numbers(line: bytes, size: int, dtype: type) -> np.ndarray:
    """Return the numbers in a line, or none unless it has exactly `size` numbers in the range of `dtype`."""
    if size > (len(line) + 1) // 2:  # checked before the array is allocated
        return np.empty(0, dtype)
    parse = int if issubclass(dtype, np.integer) else float
    words = re.finditer(rb"\S+", line)
    try:
        with np.errstate(over="ignore"):
            values = np.fromiter((parse(word[0]) for word in words), dtype, size)
    except (ValueError, OverflowError):
        return np.empty(0, dtype)
    return values if next(words, None) is None else np.empty(0, dtype)

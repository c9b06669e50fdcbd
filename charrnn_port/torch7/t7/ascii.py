"""The values in an ASCII file: a line for each, or for all elements of an array."""

import mmap
import re

import numpy as np

from charrnn_port.torch7.t7.errors import T7Error


def encode_ascii(values: np.ndarray) -> bytes:
    """The line of these values; none where there are none."""
    if not values.size:
        return b""
    if values.itemsize == 1:
        return values.tobytes() + b"\n"
    form = "%d" if values.dtype.kind == "i" else "%.17g" if values.itemsize == 8 else "%.9g"  # THDiskFile.c's
    return " ".join(form % value for value in values.tolist()).encode() + b"\n"


class AsciiSource:
    """Reads values one after the other; `offset` is where the next begins. Raises T7Error for any other line."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.offset = 0

    def integer(self) -> int:
        """The next int."""
        return self.values(np.int32, 1)[0].item()

    def number(self) -> float:
        """The next double."""
        return self.values(np.float64, 1)[0].item()

    def values(self, dtype: type, size: int, then_object: bool = False) -> np.ndarray:
        """The next `size` values: a line of numbers or, for types of one byte, raw bytes and a newline.

        `then_object` is for binary files, where it matters what follows.
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
            raise T7Error(f"no line of {size} {dtype.__name__} values where one should follow", self.offset)
        self.offset = end + 1
        return values


def _numbers(line: bytes, size: int, dtype: type) -> np.ndarray:
    """The numbers in a line; none at all if they are not so many, or one of them is no number or out of range."""
    if size > (len(line) + 1) // 2:  # before there is memory for so many
        return np.empty(0, dtype)
    parse = int if issubclass(dtype, np.integer) else float
    words = re.finditer(rb"\S+", line)
    try:
        with np.errstate(over="ignore"):
            values = np.fromiter((parse(word[0]) for word in words), dtype, size)
    except (ValueError, OverflowError):
        return np.empty(0, dtype)
    return values if next(words, None) is None else np.empty(0, dtype)

"""Reads the object in a Torch7 file."""

import math
import mmap
import re
import reprlib
from collections.abc import Generator
from os import PathLike

import numpy as np
import torch

from charrnn_port.torch7.t7 import layout
from charrnn_port.torch7.t7.ascii import AsciiSource
from charrnn_port.torch7.t7.binary import BinarySource
from charrnn_port.torch7.t7.layout import T7Error, parse_class, run
from charrnn_port.torch7.t7.objects import Function, Storage, Table, TorchObject

MAX_DIMENSIONS = 64  # PyTorch's limit


def load(path: str | PathLike) -> object:
    """Return the object in a file of Torch7's torch.save, binary or ASCII, with the types of this package's table.

    Tensors are copies on the CPU; those that share a storage in the file share memory.
    Raises T7Error if the file is corrupt or not a Torch7 file, OSError if it cannot be read.
    """
    with open(path, "rb") as file:
        if not file.read(1):
            raise T7Error("the file is empty", 0)
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    source = AsciiSource(data) if data[:1].isdigit() else BinarySource(data)
    value = run(_Reader(source).object())
    if source.offset < len(data):
        raise T7Error("unexpected data after the object", source.offset)
    return value


class _Reader:
    """Reads objects from a source. Methods that read nested objects are generators for `run`."""

    def __init__(self, source: BinarySource | AsciiSource) -> None:
        self.source = source
        self.objects = {}  # index -> (tag, object)

    def object(self) -> object:
        """Return the next object, or a generator that reads it if it may contain others."""
        tag = self.source.integer()
        if tag == layout.NIL:
            return None
        if tag == layout.NUMBER:
            return self.source.number()
        if tag == layout.STRING:
            return self.string()
        if tag == layout.BOOLEAN:
            return self.source.integer() == 1
        if tag == layout.OLD_FUNCTION:
            return self.function(tag, None)
        if tag not in (layout.TABLE, layout.TORCH, layout.LEGACY_FUNCTION, layout.FUNCTION):
            raise self.error(f"unknown type tag {tag}")
        index = self.source.integer()
        if index in self.objects:
            known_tag, known = self.objects[index]
            if tag != known_tag:
                raise self.error(f"object {index} has type tag {known_tag}, got {tag}")
            return known
        if tag == layout.TABLE:
            return self.table(index)
        if tag == layout.TORCH:
            return self.torch_object(index)
        return self.function(tag, index)

    # An object is registered before the objects in it are read, because they may refer to it.

    def table(self, index: int) -> Generator:
        table = Table()
        self.objects[index] = layout.TABLE, table
        for _ in range(self.size()):
            key = yield self.object()
            value = yield self.object()
            if key is None or (isinstance(key, float) and math.isnan(key)):
                raise self.error("invalid key of a table: nil or NaN")
            if value is not None:
                table[key] = value
        return table

    def function(self, tag: int, index: int | None) -> Generator:
        function = Function(tag, self.string())
        if index is not None:
            self.objects[index] = tag, function
        function.upvalues = yield self.object()
        return function

    def torch_object(self, index: int) -> Generator:
        version, name = 0, self.string()
        if match := re.fullmatch(rb"V (\d{1,9})", name):
            version, name = int(match[1]), self.string()
        class_name = name.decode("latin-1")
        if parsed := parse_class(class_name):
            dtype, kind = parsed
            value = self.storage(dtype) if kind == "Storage" else (yield self.tensor(dtype))
            self.objects[index] = layout.TORCH, value
            return value
        value = TorchObject(class_name, version=version)
        self.objects[index] = layout.TORCH, value
        value.fields = yield self.object()
        if not isinstance(value.fields, Table):
            raise self.error(f"the contents of a {class_name[:60]!r} are not a table of fields")
        return value

    def storage(self, dtype: type) -> Storage:
        (size,) = self.longs(1)
        if size < 0:
            raise self.error(f"invalid size of a storage: {size}")
        return Storage(torch.from_numpy(self.source.values(dtype, size)))

    def tensor(self, dtype: type) -> Generator:
        dimensions = self.size()
        if dimensions > MAX_DIMENSIONS:
            raise self.error(f"a tensor has too many dimensions: {dimensions}")
        sizes, strides = self.longs(dimensions), self.longs(dimensions)
        offset = self.longs(1, then_object=True)[0] - 1
        if offset < 0 or min(sizes, default=1) < 1 or min(strides, default=0) < 0:
            view = f"sizes {reprlib.repr(sizes)}, strides {reprlib.repr(strides)} and offset {offset}"
            raise self.error(f"invalid tensor of {view}")
        storage = yield self.object()
        if storage is None:
            storage = Storage(torch.from_numpy(np.empty(0, dtype)))
        if not isinstance(storage, Storage) or storage.values.numpy().dtype != dtype:
            raise self.error(f"the storage of a {dtype.__name__} tensor has another type")
        if not sizes:
            return storage.values[:0]
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if last >= len(storage.values) or math.prod(sizes) >= 2**63:
            raise self.error(
                f"invalid tensor of sizes {reprlib.repr(sizes)}: its storage has {len(storage.values)} elements"
            )
        return storage.values.as_strided(sizes, strides, offset)

    # The parts of objects

    def size(self) -> int:
        size = self.source.integer()
        if size < 0:
            raise self.error(f"invalid size: {size}")
        return size

    def string(self) -> bytes:
        return self.source.values(np.uint8, self.size()).tobytes()

    def longs(self, size: int, then_object: bool = False) -> list[int]:
        """Return the next `size` longs; `then_object` says that an object follows them."""
        return self.source.values(np.int64, size, then_object).tolist()

    def error(self, message: str) -> T7Error:
        return T7Error(message, self.source.offset)

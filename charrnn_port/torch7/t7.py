"""Torch7's serialisation (torch7's File.lua, generic/Tensor.c, generic/Storage.c and THDiskFile.c).

A file holds one object. An object is a type tag and what follows it:

    tag  object            what follows                                             in Python
    0    nil               nothing                                                  None
    1    number            double                                                   float
    2    string            int length, bytes                                        bytes
    3    table             int index, int count, count times key and value          Table
    4    torch object      int index, version, string class name, contents          see below
    5    boolean           int 0 or 1                                               bool
    6    function (old)    string bytecode, table of upvalues                       Function
    7, 8 function          int index, string bytecode, table of upvalues            Function

    class                  contents
    torch.*Storage         long size, elements                                      Storage
    torch.*Tensor          int dimensions, long sizes, long strides,                torch.Tensor
                           long offset (from 1), its storage (object) or nil
    any other              a table of its fields (object)                           TorchObject

Strings within objects have no tag. The version is a string `V 1`; files older than versions lack it. Objects
with an index are written once: after that, tag and index stand for them, so shared and cyclic references
survive. CUDA and OpenCL tensors (`torch.CudaTensor` and `torch.ClTensor` are float) come out on the CPU, and
are written as CPU classes.

In binary files int has 4 bytes and long 8, or 4 from 32-bit systems; the first long in the file tells: where
it is followed by zeros it has 8. All is little-endian. In ASCII files each value above is a line; elements and
sizes are separated by spaces; strings and elements of one byte are the bytes themselves and a newline, and
where there are none there is no line. The first byte, a digit in ASCII files only, tells the two apart.

Functions stay bytecode: nothing in a file is ever run.
"""

import math
import mmap
import re
import struct
from collections.abc import Generator, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from itertools import count
from os import PathLike
from types import GeneratorType
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

NIL, NUMBER, STRING, TABLE, TORCH, BOOLEAN, OLD_FUNCTION, LEGACY_FUNCTION, FUNCTION = range(9)

INT, DOUBLE = struct.Struct("<i"), struct.Struct("<d")
DTYPES = {
    "Byte": np.uint8,
    "Char": np.int8,
    "Short": np.int16,
    "Int": np.int32,
    "Long": np.int64,
    "Half": np.float16,
    "Float": np.float32,
    "Double": np.float64,
}
CLASS = re.compile(rf"torch\.(?:(?:Cuda)?({'|'.join(DTYPES)})|Cuda|Cl)(Tensor|Storage)")
MAX_DIMENSIONS = 64  # what PyTorch's operations take


class T7Error(ValueError):
    """The file is not what Torch7 writes. The message is one line with the offset where reading stopped."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at byte {offset})")
        self.offset = offset


class Table(MutableMapping):
    """A Lua table: any value but nil and NaN is a key; equal only to itself, and True is not 1.

    Strings are bytes and numbers floats, so `table[b"name"]` and `table[1]` work.
    """

    __slots__ = ("_items",)
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(self, items: MutableMapping | Iterable[tuple] = ()) -> None:
        self._items = {}
        if items:
            self.update(items)

    def __getitem__(self, key: object) -> object:
        return self._items[isinstance(key, bool), key]

    def __setitem__(self, key: object, value: object) -> None:
        self._items[isinstance(key, bool), key] = value

    def __delitem__(self, key: object) -> None:
        del self._items[isinstance(key, bool), key]

    def __iter__(self) -> Iterator:
        return (key for _, key in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def sequence(self) -> list:
        """The values under 1, 2, ... up to the first that is missing (Lua's ipairs)."""
        values = []
        for index in count(1):
            if index not in self:
                return values
            values.append(self[index])


@dataclass(eq=False)
class TorchObject:
    """An object of a Torch class other than tensors and storages. Version 0: written before versions."""

    class_name: str
    fields: Table = field(default_factory=Table)
    version: int = 1


@dataclass(eq=False)
class Storage:
    """A storage by itself; the tensors of a file that view it share the memory of `values` `[size]`."""

    values: Tensor


@dataclass(eq=False)
class Function:
    """A Lua function: bytecode as string.dump made it, and its upvalues as the tag (6, 7 or 8) has them."""

    tag: int
    code: bytes
    upvalues: object = None


def load(path: str | PathLike) -> object:
    """The object in a file of Torch7's torch.save, binary or ASCII, as in this module's table.

    Tensors are copies on the CPU; those that share a storage in the file share it here.
    Raises T7Error where the file is damaged or is no such file, OSError where it cannot be read.
    """
    with open(path, "rb") as file:
        if not file.read(1):
            raise T7Error("the file is empty", 0)
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    source = _Ascii(data) if data[:1].isdigit() else _Binary(data)
    value = _run(_Reader(source).object())
    if source.offset < len(data):
        raise T7Error("the file goes on after its object", source.offset)
    return value


def save(path: str | PathLike, value: object, ascii: bool = False) -> None:
    """Write what `load` returns, as Torch7's torch.save does (64-bit longs); ints are written as numbers.

    Tensors must be on the CPU and of a type that Torch7 has. Raises TypeError for anything else.
    """
    with open(path, "wb") as file:
        _run(_Writer(file, ascii).object(value))


def _run(call: object) -> object:
    """Run a recursive generator on a stack of its own: `yield f(x)` is a call of f, however deep.

    A call that needs no stack may give its result at once instead of a generator.
    """
    stack, result = [], call
    while True:
        if isinstance(result, GeneratorType):
            stack.append(result)
            result = None
        if not stack:
            return result
        try:
            result = stack[-1].send(result)
        except StopIteration as finished:
            stack.pop()
            result = finished.value


class _Binary:
    """The values in a binary file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.offset = 0
        self.long = None  # int64 or int32

    def advance(self, size: int) -> int:
        start = self.offset
        if start + size > len(self.data):
            raise T7Error(f"the file ends where {size} bytes should follow", start)
        self.offset += size
        return start

    def scalar(self, form: struct.Struct) -> int | float:
        return form.unpack_from(self.data, self.advance(form.size))[0]

    def values(self, dtype: type, size: int, then_object: bool = False) -> np.ndarray:
        """The next `size` values, int64 standing for long. A copy: in the file they are not aligned."""
        if dtype is np.int64 and size and not self.long:
            self.long = self.long_type(then_object)
        stored = np.dtype(self.long if dtype is np.int64 and size else dtype)
        start = self.advance(size * stored.itemsize)
        values = np.frombuffer(self.data, stored, size, start).astype(dtype)
        if values.nbytes >= 2**20 and hasattr(mmap, "MADV_DONTNEED"):
            # Let go of the file's pages, or they would count as memory beside the copy.
            page = start - start % mmap.PAGESIZE
            self.data.madvise(mmap.MADV_DONTNEED, page, self.offset - page)
        return values

    def long_type(self, then_object: bool) -> type:
        """The type of the longs, of which the first comes next.

        After a short one comes another size, the type of a storage or an element; only after the offset of a
        tensor without storage comes nil, also zero, and then no object that could be a storage.
        """
        _, high, after = np.frombuffer(self.data[self.offset : self.offset + 12].ljust(12, b"\0"), np.int32)
        return np.int32 if high or (then_object and after not in (NIL, TORCH)) else np.int64


class _Ascii:
    """The values in an ASCII file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.offset = 0

    def scalar(self, form: struct.Struct) -> int | float:
        return self.values(np.int32 if form is INT else np.float64, 1)[0].item()

    def values(self, dtype: type, size: int, then_object: bool = False) -> np.ndarray:
        """The next `size` values: a line of numbers or, for types of one byte, raw bytes and a newline."""
        if not size:
            return np.empty(0, dtype)
        if np.dtype(dtype).itemsize == 1:
            end = self.offset + size
            values = np.frombuffer(self.data[self.offset : end], dtype).copy()
        else:
            end = self.data.find(b"\n", self.offset)
            values = _numbers(self.data[self.offset : end].split(maxsplit=size), dtype)
        if len(values) != size or self.data[end : end + 1] != b"\n":
            raise T7Error(f"no line of {size} {dtype.__name__} values where one should follow", self.offset)
        self.offset = end + 1
        return values


def _numbers(words: list[bytes], dtype: type) -> np.ndarray:
    """The numbers that the words spell; none at all if one of them is no number or out of range."""
    parse = int if issubclass(dtype, np.integer) else float
    try:
        with np.errstate(over="ignore"):
            return np.array([parse(word) for word in words], dtype)
    except (ValueError, OverflowError):
        return np.empty(0, dtype)


class _Reader:
    """Builds the object that a source describes. What it contains is read on `_run`'s stack."""

    def __init__(self, source: _Binary | _Ascii) -> None:
        self.source = source
        self.objects = {}  # index -> (tag, object)

    def error(self, message: str) -> T7Error:
        return T7Error(message, self.source.offset)

    def integer(self) -> int:
        return self.source.scalar(INT)

    def size(self) -> int:
        size = self.integer()
        if size < 0:
            raise self.error(f"{size} is no size")
        return size

    def string(self) -> bytes:
        return self.source.values(np.uint8, self.size()).tobytes()

    def longs(self, size: int, then_object: bool = False) -> list[int]:
        return self.source.values(np.int64, size, then_object).tolist()

    def object(self) -> object:
        """The next object, or the generator that reads one that may hold others."""
        tag = self.integer()
        if tag == NIL:
            return None
        if tag == NUMBER:
            return self.source.scalar(DOUBLE)
        if tag == STRING:
            return self.string()
        if tag == BOOLEAN:
            return self.integer() == 1
        if tag == OLD_FUNCTION:
            return self.function(tag, None)
        if tag not in (TABLE, TORCH, LEGACY_FUNCTION, FUNCTION):
            raise self.error(f"{tag} is no type of object")
        index = self.integer()
        if index in self.objects:
            known_tag, known = self.objects[index]
            if tag != known_tag:
                raise self.error(f"object {index} is of type {known_tag}, not {tag}")
            return known
        if tag == TABLE:
            return self.table(index)
        if tag == TORCH:
            return self.torch_object(index)
        return self.function(tag, index)

    def table(self, index: int) -> Generator:
        table = Table()
        self.objects[index] = TABLE, table
        for _ in range(self.size()):
            key = yield self.object()
            value = yield self.object()
            if key is None or (isinstance(key, float) and math.isnan(key)):
                raise self.error("nil or NaN is the key of a table")
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
        if match := CLASS.fullmatch(class_name):
            dtype = DTYPES[match[1] or "Float"]
            value = self.storage(dtype) if match[2] == "Storage" else (yield self.tensor(dtype))
            self.objects[index] = TORCH, value
            return value
        value = TorchObject(class_name, version=version)
        self.objects[index] = TORCH, value
        value.fields = yield self.object()
        if not isinstance(value.fields, Table):
            raise self.error(f"the contents of a {class_name[:60]!r} are no table of fields")
        return value

    def storage(self, dtype: type) -> Storage:
        (size,) = self.longs(1)
        if size < 0:
            raise self.error(f"{size} is no size of a storage")
        return Storage(torch.from_numpy(self.source.values(dtype, size)))

    def tensor(self, dtype: type) -> Generator:
        dimensions = self.size()
        if dimensions > MAX_DIMENSIONS:
            raise self.error(f"a tensor of {dimensions} dimensions")
        sizes, strides = self.longs(dimensions), self.longs(dimensions)
        offset = self.longs(1, then_object=True)[0] - 1
        if offset < 0 or min(sizes, default=1) < 1 or min(strides, default=0) < 0:
            raise self.error(f"a tensor of sizes {sizes}, strides {strides} and offset {offset}")
        storage = yield self.object()
        if storage is None:
            storage = Storage(torch.from_numpy(np.empty(0, dtype)))
        if not isinstance(storage, Storage) or storage.values.numpy().dtype != dtype:
            raise self.error(f"the storage of a {dtype.__name__} tensor is something else")
        if not sizes:
            return storage.values[:0]
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if last >= len(storage.values) or math.prod(sizes) >= 2**63:
            raise self.error(f"a tensor of sizes {sizes} reaches outside its storage of {len(storage.values)}")
        return storage.values.as_strided(sizes, strides, offset)


class _Writer:
    """Describes an object to a file. What it contains is written on `_run`'s stack."""

    def __init__(self, file: BinaryIO, ascii: bool) -> None:
        self.file = file
        self.ascii = ascii
        self.indices = {}  # identity of an object -> index

    def values(self, values: np.ndarray) -> None:
        if not self.ascii:
            self.file.write(values.data)
        elif values.itemsize == 1:
            self.file.write(values.tobytes() + b"\n" * bool(values.size))
        elif values.size:
            form = "%d" if values.dtype.kind == "i" else "%.17g" if values.itemsize == 8 else "%.9g"  # THDiskFile.c's
            self.file.write(" ".join(form % value for value in values.tolist()).encode() + b"\n")

    def integer(self, value: int) -> None:
        self.values(np.array([value], np.int32))

    def longs(self, *values: int) -> None:
        self.values(np.array(values, np.int64))

    def string(self, value: bytes) -> None:
        self.integer(len(value))
        self.values(np.frombuffer(value, np.uint8))

    def object(self, value: object) -> Generator | None:
        """Write the object, or give the generator that writes one that may hold others."""
        if isinstance(value, Table):
            return self.table(value)
        if isinstance(value, TorchObject):
            return self.torch_object(value)
        if isinstance(value, Function):
            return self.function(value)
        if isinstance(value, Storage):
            self.storage(value.values)
        elif isinstance(value, Tensor):
            self.tensor(value)
        elif value is None:
            self.integer(NIL)
        elif isinstance(value, bool):
            self.integer(BOOLEAN)
            self.integer(value)
        elif isinstance(value, int | float):
            self.integer(NUMBER)
            self.values(np.array([value], np.float64))
        elif isinstance(value, bytes):
            self.integer(STRING)
            self.string(value)
        else:
            raise TypeError(f"Torch7 files cannot hold a {type(value).__name__}")
        return None

    def is_new(self, tag: int, identity: object) -> bool:
        """Write tag and index of an object; true if its contents must follow."""
        new = identity not in self.indices
        self.integer(tag)
        self.integer(self.indices.setdefault(identity, len(self.indices) + 1))
        return new

    def torch_class(self, name: str, version: int = 1) -> None:
        if version:
            self.string(b"V %d" % version)
        self.string(name.encode("latin-1"))

    def table(self, table: Table) -> Generator:
        if self.is_new(TABLE, id(table)):
            self.integer(len(table))
            for key, value in table.items():
                yield self.object(key)
                yield self.object(value)

    def torch_object(self, value: TorchObject) -> Generator:
        if self.is_new(TORCH, id(value)):
            self.torch_class(value.class_name, value.version)
            yield self.object(value.fields)

    def function(self, function: Function) -> Generator:
        if function.tag == OLD_FUNCTION:
            self.integer(OLD_FUNCTION)
        elif not self.is_new(function.tag, id(function)):
            return
        self.string(function.code)
        yield self.object(function.upvalues)

    def storage(self, values: Tensor) -> None:
        # PyTorch makes a new storage object at each call; what stays is its memory.
        memory = values.untyped_storage()
        if self.is_new(TORCH, (memory.data_ptr() or id(values), memory.nbytes(), values.dtype)):
            self.torch_class(f"torch.{element_name(values)}Storage")
            self.longs(memory.nbytes() // values.element_size())
            self.values(values.detach().as_strided([memory.nbytes() // values.element_size()], [1], 0).numpy())

    def tensor(self, tensor: Tensor) -> None:
        if self.is_new(TORCH, id(tensor)):
            self.torch_class(f"torch.{element_name(tensor)}Tensor")
            # In Torch7 a tensor without elements has no dimensions.
            sizes, strides = (tensor.shape, tensor.stride()) if tensor.numel() else ((), ())
            self.integer(len(sizes))
            self.longs(*sizes)
            self.longs(*strides)
            self.longs(tensor.storage_offset() + 1)
            if tensor.untyped_storage().nbytes():
                self.storage(tensor)
            else:
                self.integer(NIL)


def element_name(tensor: Tensor) -> str:
    """What Torch7 calls the type of a tensor's elements. Raises TypeError for tensors it does not have."""
    if tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.dim():
        for name, dtype in DTYPES.items():
            if str(tensor.dtype) == f"torch.{dtype.__name__}":
                return name
    raise TypeError(f"Torch7 files cannot hold a {tensor.dim()}-dimensional {tensor.dtype} tensor on {tensor.device}")

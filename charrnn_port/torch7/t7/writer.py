"""Writes an object as a Torch7 file."""

from collections.abc import Callable, Generator
from os import PathLike
from typing import BinaryIO

import numpy as np
from torch import Tensor

from charrnn_port.torch7.t7 import layout
from charrnn_port.torch7.t7.ascii import encode_ascii
from charrnn_port.torch7.t7.binary import encode_binary
from charrnn_port.torch7.t7.layout import element_name, run
from charrnn_port.torch7.t7.objects import Function, Storage, Table, TorchObject


def save(path: str | PathLike, value: object, ascii: bool = False) -> None:
    """Write an object, of the types that `load` returns, as Torch7's torch.save does (64-bit longs).

    Ints are written as numbers. Raises TypeError for other types, and for tensors that Torch7 does not have or that are
    not on the CPU.
    """
    with open(path, "wb") as file:
        run(_Writer(file, encode_ascii if ascii else encode_binary).object(value))


class _Writer:
    """Writes objects to a file. Methods that write nested objects are generators for `run`."""

    def __init__(self, file: BinaryIO, encode: Callable[[np.ndarray], bytes | memoryview]) -> None:
        self.file = file
        self.encode = encode
        self.indices = {}  # identity of an object -> index

    def object(self, value: object) -> Generator | None:
        """Write the object, or return a generator that writes it if it may contain others."""
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
            self.integer(layout.NIL)
        elif isinstance(value, bool):
            self.integer(layout.BOOLEAN)
            self.integer(value)
        elif isinstance(value, int | float):
            self.integer(layout.NUMBER)
            self.values(np.array([value], np.float64))
        elif isinstance(value, bytes):
            self.integer(layout.STRING)
            self.string(value)
        else:
            raise TypeError(f"Torch7 files cannot hold a {type(value).__name__}")
        return None

    def table(self, table: Table) -> Generator:
        if self.is_new(layout.TABLE, id(table)):
            self.integer(len(table))
            for key, value in table.items():
                yield self.object(key)
                yield self.object(value)

    def torch_object(self, value: TorchObject) -> Generator:
        if self.is_new(layout.TORCH, id(value)):
            self.torch_class(value.class_name, value.version)
            yield self.object(value.fields)

    def function(self, function: Function) -> Generator:
        if function.tag == layout.OLD_FUNCTION:
            self.integer(layout.OLD_FUNCTION)
        elif not self.is_new(function.tag, id(function)):
            return
        self.string(function.code)
        yield self.object(function.upvalues)

    def storage(self, values: Tensor) -> None:
        # PyTorch returns a new storage object at each call, so that the memory is what identifies a storage.
        memory = values.untyped_storage()
        if self.is_new(layout.TORCH, (memory.data_ptr() or id(values), memory.nbytes(), values.dtype)):
            self.torch_class(f"torch.{element_name(values)}Storage")
            size = memory.nbytes() // values.element_size()
            self.longs(size)
            self.values(values.detach().as_strided([size], [1], 0).numpy())

    def tensor(self, tensor: Tensor) -> None:
        if self.is_new(layout.TORCH, id(tensor)):
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
                self.integer(layout.NIL)

    # The parts of objects

    def is_new(self, tag: int, identity: object) -> bool:
        """Write the tag and index of an object, and return whether its contents must follow."""
        new = identity not in self.indices
        self.integer(tag)
        self.integer(self.indices.setdefault(identity, len(self.indices) + 1))
        return new

    def torch_class(self, name: str, version: int = 1) -> None:
        if version:
            self.string(b"V %d" % version)
        self.string(name.encode("latin-1"))

    def string(self, value: bytes) -> None:
        self.integer(len(value))
        self.values(np.frombuffer(value, np.uint8))

    def integer(self, value: int) -> None:
        self.values(np.array([value], np.int32))

    def longs(self, *values: int) -> None:
        self.values(np.array(values, np.int64))

    def values(self, values: np.ndarray) -> None:
        self.file.write(self.encode(values))

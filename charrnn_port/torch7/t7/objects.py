"""Defines the objects in a Torch7 file other than nil, numbers, strings, booleans and tensors."""

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from itertools import count

from torch import Tensor


class Table(MutableMapping):
    """A Lua table: keys are any values except nil and NaN, and True differs from 1. Equal only to itself.

    Strings are bytes and numbers floats, so `table[b"name"]` and `table[1]` work.
    """

    __slots__ = ("_items",)
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(self, items: MutableMapping | Iterable[tuple] = ()) -> None:
        # A key is stored with whether it is a boolean, because Python's True equals 1.
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
        """Return the values of the keys 1, 2, ... up to the first missing key (Lua's ipairs)."""
        values = []
        for index in count(1):
            if index not in self:
                return values
            values.append(self[index])


@dataclass(eq=False)
class TorchObject:
    """An object of a Torch class other than tensors and storages. Version 0 means that the file has no versions."""

    class_name: str
    fields: Table = field(default_factory=Table)
    version: int = 1


@dataclass(eq=False)
class Storage:
    """A storage by itself. Tensors in the same file that view it share the memory of `values` `[size]`."""

    values: Tensor


@dataclass(eq=False)
class Function:
    """A Lua function: bytecode from string.dump, and upvalues in the layout of its tag (6, 7 or 8)."""

    tag: int
    code: bytes
    upvalues: object = None

"""What a file of Torch7 holds besides nil, numbers, strings, booleans and tensors."""

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from itertools import count

from torch import Tensor


class Table(MutableMapping):
    """A Lua table: any value but nil and NaN is a key; equal only to itself, and True is not 1.

    Strings are bytes and numbers floats, so `table[b"name"]` and `table[1]` work.
    """

    __slots__ = ("_items",)
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(self, items: MutableMapping | Iterable[tuple] = ()) -> None:
        # Each key goes with whether it is a boolean, since Python's True equals 1.
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

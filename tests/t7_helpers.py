"""Helpers for tests with Torch7 files: compare the objects in them, write files by hand, and damage them."""

import random
import struct

import torch
from torch import Tensor

from charrnn_port.torch7.t7 import Function, Storage, Table, TorchObject


def assert_same_graph(one: object, other: object, ignored: frozenset = frozenset(), unvalued: frozenset = frozenset()):
    """Assert that both objects have equal contents, shared in the same places.

    Table entries with `ignored` keys are skipped. Of tensors and storages under `unvalued` keys only the layout is
    compared, not the elements.
    """
    twins, twins_of_other, tables = {}, {}, []
    todo = [(one, other, "", True)]

    def pair(identity: object, twin: object, path: str) -> bool:
        """Return whether this pair is new. Neither of a pair may be paired with a third object."""
        new = identity not in twins
        assert twins.setdefault(identity, twin) == twin, path
        assert twins_of_other.setdefault(twin, identity) == identity, path
        return new

    while todo:
        a, b, path, valued = todo.pop()
        path = path[-500:]
        assert type(a) is type(b), path
        if isinstance(a, Tensor | Storage):
            pair(id(a), id(b), path)
            a, b = (value.values if isinstance(value, Storage) else value for value in (a, b))
            assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride()), path
            memory, twin = a.untyped_storage(), b.untyped_storage()
            assert (a.storage_offset(), memory.nbytes()) == (b.storage_offset(), twin.nbytes()), path
            if memory.nbytes():
                pair(("memory", memory.data_ptr()), ("memory", twin.data_ptr()), path)
            assert not valued or torch.equal(a, b), path
        elif isinstance(a, TorchObject):
            assert (a.class_name, a.version) == (b.class_name, b.version), path
            if pair(id(a), id(b), path):
                todo.append((a.fields, b.fields, f"{path}({a.class_name})", True))
        elif isinstance(a, Function):
            assert (a.tag, a.code) == (b.tag, b.code), path
            if pair(id(a), id(b), path):
                todo.append((a.upvalues, b.upvalues, f"{path}()", True))
        elif isinstance(a, Table):
            if pair(id(a), id(b), path):
                assert len(keys_of(a) - ignored) == len(keys_of(b) - ignored), path
                for key in (key for key in a if isinstance(key, bytes | float | bool) and key not in ignored):
                    assert key in b, f"{path}.{key}"
                    todo.append((a[key], b[key], f"{path}.{key}", key not in unvalued))
                tables.append((a, b, path))
        else:
            assert a == b or (a != a and b != b), path
    # Objects that are keys were paired above, through other paths to them. Their values are numbers and booleans.
    for a, b, path in tables:
        by_id = {id(key): key for key in b}
        for key in (key for key in a if not isinstance(key, bytes | float | bool)):
            assert a[key] == b[by_id[twins[id(key)]]], path


def keys_of(table: Table) -> set:
    return {str(key) if isinstance(key, bool) else key for key in table}  # True would count as 1


# Parts of a file, to be concatenated


def integers(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def longs(*values: int, size: int = 8) -> bytes:
    return struct.pack(f"<{len(values)}{'q' if size == 8 else 'i'}", *values)


def string(text: bytes) -> bytes:
    return integers(len(text)) + text


def header(index: int, class_name: str) -> bytes:
    return integers(4, index) + string(b"V 1") + string(class_name.encode())


def tensor(kind: str, sizes: list, strides: list, offset: int, content: bytes, size: int = 8, index: int = 1) -> bytes:
    """Return a tensor. `content` must begin with its storage."""
    layout = longs(*sizes, size=size) + longs(*strides, size=size) + longs(offset, size=size)
    return header(index, f"torch.{kind}Tensor") + integers(len(sizes)) + layout + content


def storage(kind: str, elements: int, content: bytes, size: int = 8, index: int = 2) -> bytes:
    return header(index, f"torch.{kind}Storage") + longs(elements, size=size) + content


def table_of(*objects: bytes) -> bytes:
    """Return a table with these objects under the keys 1, 2, ..."""
    numbered = (integers(1) + struct.pack("<d", place) + content for place, content in enumerate(objects, 1))
    return integers(3, 1000, len(objects)) + b"".join(numbered)


def mutate(content: bytes, choices: random.Random) -> bytes:
    """Damage a file by one to three changes: a byte, an integer, a long, or a part cut out or copied elsewhere."""
    content = bytearray(content)
    for _ in range(choices.randint(1, 3)):
        place, other = choices.randrange(len(content)), choices.randrange(len(content))
        change = choices.choice("byte int long cut copy".split())
        if change == "byte":
            content[place] = choices.randrange(256)
        elif change == "int":
            content[place : place + 4] = integers(choices.choice([-1, 0, 1, 2, 3, 4, 8, 48, 2**31 - 1, -(2**31)]))
        elif change == "long":
            content[place : place + 8] = longs(choices.choice([-1, 0, 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63)]))
        elif change == "cut":
            del content[place : place + choices.randint(1, 40)]
        else:
            content[place:place] = content[other : other + choices.randint(1, 40)]
        content = content or bytearray(b"\0")
    return bytes(content)

"""Reading files of torch.save that hold plain values and tensors, as ours do: a zip archive whose records are a pickle
and, one each, the storages of tensors.

torch.load reads these too, and much more: a pickle of a hundred bytes can make it reserve a terabyte or compute for
years, without running any foreign code. Here a record is as long as the file says it is, a tensor has no more elements
than its storage, and of a pickle's instructions only those are followed that torch.save needs for such values. So what
is read is as large as the file, give or take Python's own overhead for each value.
"""

import errno
import math
import os
import pickletools
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from charrnn_port.util.file_types import CHOOSE, UNPACK, FileTypeError

FOLDER = 0x10  # the mark of a folder in a zip file
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
VALUES = (str, bytes, bool, int, float, type(None), list, dict, Tensor)


class ArchiveError(ValueError):
    """The file is none of ours, or damaged; the message says how."""


def load(path: str | os.PathLike) -> object:
    """The value in a file of torch.save, its tensors on the CPU.

    Raises ArchiveError for a file that is damaged or holds more than plain values and tensors, FileTypeError for one of
    NumPy, OSError where it cannot be read. Runs no code that a file brings.
    """
    records = read_records(path)
    pickles = [name for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        if records and all(name.endswith(".npy") for name in records):
            raise FileTypeError(f"an archive of NumPy arrays (.npz), not a checkpoint: {CHOOSE}")
        raise ArchiveError(f"a zip archive, but none of PyTorch's; {UNPACK}")
    folder = pickles[0].removesuffix("data.pkl")
    swapped = records.get(f"{folder}byteorder", b"little") != b"little"

    def storage(dtype: torch.dtype, key: str, size: int) -> Tensor:
        content = records[f"{folder}data/{key}"]
        if len(content) != size * dtype.itemsize:
            raise ArchiveError(f"data/{key} has {len(content)} bytes, not {size} elements")
        values = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        return torch.from_numpy(values.numpy().byteswap()) if swapped else values

    try:
        return unpickled(bytes(records[pickles[0]]), storage)
    except ArchiveError:
        raise
    except Exception as error:  # whatever a damaged pickle leads to: a key that is missing, an empty stack, ...
        raise ArchiveError("PyTorch cannot read it") from error


def read_records(path: str | os.PathLike) -> dict[str, bytearray]:
    """The records of a zip archive by name; each is as it was written, which its checksum tells."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            for info in infos:
                if info.external_attr & FOLDER:
                    raise ArchiveError(f"{shortened(info.filename)} in it is not what was written")
                if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                    raise ArchiveError(f"{shortened(info.filename)} in it is compressed, which PyTorch does not do")
            if sum(info.file_size for info in infos) > os.path.getsize(path):
                raise ArchiveError("its records are larger than the file")
            records = {}
            for info in infos:
                try:
                    records[info.filename] = bytearray(archive.read(info))
                except zipfile.BadZipFile as error:
                    raise ArchiveError(f"{shortened(info.filename)} in it is not what was written") from error
            return records
    except ArchiveError:
        raise
    except Exception as error:  # a damaged directory makes zipfile raise nearly anything
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: it sought before the file's beginning
            raise
        raise ArchiveError("PyTorch cannot read it") from error


class Global(NamedTuple):
    """Something that a pickle names: `module name`."""

    name: str


def unpickled(pickle: bytes, storage: Callable[[torch.dtype, str, int], Tensor]) -> object:
    """The value that a pickle describes; `storage` gives the elements of one by type, name and size."""
    stack: list = []
    marks: list[int] = []
    memory: dict[int, object] = {}

    def popped_to_mark() -> list:
        place = marks.pop()
        values = stack[place:]
        del stack[place:]
        return values

    for operation, argument, _ in pickletools.genops(pickle):
        match operation.name:
            case "BINFLOAT" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE":
                stack.append(argument)
            case "BINPUT" | "LONG_BINPUT":
                memory[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memory[argument])
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[operation.name])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[operation.name]())
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(popped_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(operation.name[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "APPEND":
                append([stack.pop()], stack[-1])
            case "APPENDS":
                append(popped_to_mark(), stack[-1])
            case "SETITEM":
                values = [stack.pop(), stack.pop()]
                set_items(values[::-1], stack[-1])
            case "SETITEMS":
                set_items(popped_to_mark(), stack[-1])
            case "GLOBAL":
                stack.append(Global(argument))
            case "BINPERSID":
                stack.append(stored(stack.pop(), storage))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(called(stack.pop(), arguments))
            case "PROTO":
                pass
            case "STOP":
                return require_value(stack.pop())
            case _:
                raise other_file(f"the instruction {operation.name}")
    raise AssertionError  # genops has raised ValueError where the pickle has no end


def append(values: list, to: object) -> None:
    """What APPEND does."""
    if type(to) is not list:
        raise ArchiveError("its pickle appends to what is no list")
    to.extend(map(require_value, values))


def set_items(values: list, to: object) -> None:
    """What SETITEM does: keys and values in turn."""
    if type(to) is not dict:
        raise ArchiveError("its pickle sets items of what is no dict")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) not in (str, int, float):  # others may take for ever to compare
            raise other_file(f"a {type(key).__name__} as the key of a dict")
        to[key] = require_value(value)


def stored(identity: tuple, storage: Callable[[torch.dtype, str, int], Tensor]) -> Tensor:
    """The storage that a pickle names: ("storage", type, name, device, size). It comes to the CPU."""
    word, global_, key, _, size = identity
    module, _, name = global_.name.partition(" ")
    if type(key) is not str or type(size) is not int:
        raise ArchiveError("a storage in it has no name or size")
    if word != "storage" or module != "torch" or name not in STORAGES:
        raise other_file(global_.name)
    return storage(STORAGES[name], key, size)


def called(function: Global, arguments: tuple) -> object:
    """What a function returns that a pickle calls: only those that torch.save needs for tensors and bytes."""
    match function.name:
        case "collections OrderedDict" if not arguments:  # a tensor's hooks: none
            return {}
        case "_codecs encode" if arguments[1:] == ("latin1",):
            return arguments[0].encode("latin1")
        case "torch._utils _rebuild_tensor_v2":
            return tensor(*arguments[:4])
    raise other_file(function.name)


def tensor(storage: Tensor, offset: int, size: tuple, stride: tuple) -> Tensor:
    """A view of a storage, which may leave elements out but repeats none."""
    if not all(type(number) is int and number >= 0 for number in (offset, *size, *stride)) or len(size) > 64:
        raise ArchiveError("a tensor in it has no sizes")
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if math.prod(size) > len(storage) or (math.prod(size) and last >= len(storage)):
        raise ArchiveError("a tensor in it is larger than its storage")
    return storage.as_strided(size, stride, offset)


def require_value(value: object) -> object:
    """The value, if it is one that a checkpoint may hold; a tuple, however deep, is none."""
    if type(value) not in VALUES:
        raise other_file(value.name if isinstance(value, Global) else f"a {type(value).__name__}")
    return value


def other_file(what: str) -> ArchiveError:
    """The error for a file with something in it that train.py does not write."""
    module, name = (shortened(part) for part in what.partition(" ")[::2])
    if not name or module in ("a", "the", "collections") or module.split(".")[0] == "torch":
        return ArchiveError(f"a file of PyTorch, but not one that train.py wrote: it has {module} {name}".strip())
    return ArchiveError(f"a pickle that wants to run {module}.{name}, which is refused")


def shortened(text: str) -> str:
    """For messages: a hostile file may have names of any length, and with signs that a terminal obeys."""
    text = "".join(character if character.isprintable() else "?" for character in text[:61])
    return text if len(text) <= 60 else f"{text[:60]}..."

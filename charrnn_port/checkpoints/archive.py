"""Reads files of torch.save that hold plain values and tensors, without trusting them.

Such a file is a zip archive with a pickle and a record for each tensor's storage. torch.load reads these too, but a
pickle of a hundred bytes can make it allocate a terabyte or compute for years, without running any foreign code. This
module executes only the pickle instructions that torch.save needs for such values, checks the length of each record,
and rejects a tensor with more elements than its storage. So the memory it takes is about the size of the file.
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

FOLDER = 0x10  # the attribute of a folder in a zip file
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
    """The file is corrupt or has other contents; the message says how."""


def load(path: str | os.PathLike) -> object:
    """Return the value in a file of torch.save, with its tensors on the CPU. Runs no code from the file.

    Raises ArchiveError for a file that is corrupt or holds more than plain values and tensors, FileTypeError for a
    file of NumPy, OSError if it cannot be read.
    """
    records = read_records(path)
    pickles = [name for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        if records and all(name.endswith(".npy") for name in records):
            raise FileTypeError(f"an archive of NumPy arrays (.npz), not a checkpoint: {CHOOSE}")
        raise ArchiveError(f"a zip archive, but not a PyTorch file; {UNPACK}")
    folder = pickles[0].removesuffix("data.pkl")
    swapped = records.get(f"{folder}byteorder", b"little") != b"little"

    def storage(dtype: torch.dtype, key: str, size: int) -> Tensor:
        content = records[f"{folder}data/{key}"]
        if len(content) != size * dtype.itemsize:
            raise ArchiveError(f"data/{key} has {len(content)} bytes, expected {size} elements")
        values = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype, device="cpu")
        return torch.from_numpy(values.numpy().byteswap()) if swapped else values

    try:
        return unpickled(bytes(records[pickles[0]]), storage)
    except ArchiveError:
        raise
    except Exception as error:  # a corrupt pickle can raise nearly anything: KeyError, IndexError, ...
        raise ArchiveError("PyTorch cannot read it") from error


def read_records(path: str | os.PathLike) -> dict[str, bytearray]:
    """Return the records of a zip archive by name, after verifying their checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            for info in infos:
                if info.external_attr & FOLDER:
                    raise ArchiveError(f"{shortened(info.filename)} in it is corrupt")
                if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                    raise ArchiveError(f"{shortened(info.filename)} in it is compressed, which PyTorch never does")
            if sum(info.file_size for info in infos) > os.path.getsize(path):
                raise ArchiveError("its records are larger than the file")
            records = {}
            for info in infos:
                try:
                    records[info.filename] = bytearray(archive.read(info))
                except zipfile.BadZipFile as error:
                    raise ArchiveError(f"{shortened(info.filename)} in it is corrupt") from error
            return records
    except ArchiveError:
        raise
    except Exception as error:  # zipfile can raise nearly anything for a corrupt directory
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a seek before the beginning
            raise
        raise ArchiveError("PyTorch cannot read it") from error


class Global(NamedTuple):
    """A global that a pickle refers to: `module name`."""

    name: str


def unpickled(pickle: bytes, storage: Callable[[torch.dtype, str, int], Tensor]) -> object:
    """Return the value that a pickle describes; `storage` returns a storage's elements by type, name and size."""
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
    raise AssertionError  # genops raises ValueError for a pickle without STOP


def append(values: list, to: object) -> None:
    """Execute APPEND. Raises ArchiveError unless `to` is a list."""
    if type(to) is not list:
        raise ArchiveError("malformed pickle: APPEND to something that is not a list")
    to.extend(map(require_value, values))


def set_items(values: list, to: object) -> None:
    """Execute SETITEM with alternating keys and values. Raises ArchiveError unless `to` is a dict."""
    if type(to) is not dict:
        raise ArchiveError("malformed pickle: SETITEM of something that is not a dict")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) not in (str, int, float):  # comparing others may not terminate
            raise other_file(f"a {type(key).__name__} as the key of a dict")
        to[key] = require_value(value)


def stored(identity: tuple, storage: Callable[[torch.dtype, str, int], Tensor]) -> Tensor:
    """Return the storage for a persistent id ("storage", type, name, device, size), always on the CPU."""
    word, global_, key, _, size = identity
    module, _, name = global_.name.partition(" ")
    if type(key) is not str or type(size) is not int:
        raise ArchiveError("a storage in it has no name or size")
    if word != "storage" or module != "torch" or name not in STORAGES:
        raise other_file(global_.name)
    return storage(STORAGES[name], key, size)


def called(function: Global, arguments: tuple) -> object:
    """Return the result of a call in a pickle. Only functions that torch.save needs are allowed."""
    match function.name:
        case "collections OrderedDict" if not arguments:  # the hooks of a tensor, always empty
            return {}
        case "_codecs encode" if arguments[1:] == ("latin1",):
            return arguments[0].encode("latin1")
        case "torch._utils _rebuild_tensor_v2":
            return tensor(*arguments[:4])
    raise other_file(function.name)


def tensor(storage: Tensor, offset: int, size: tuple, stride: tuple) -> Tensor:
    """Return a view of a storage `[n]`; it may skip elements but has no more than the storage."""
    if not all(type(number) is int and number >= 0 for number in (offset, *size, *stride)) or len(size) > 64:
        raise ArchiveError("a tensor in it has invalid sizes")
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if math.prod(size) > len(storage) or (math.prod(size) and last >= len(storage)):
        raise ArchiveError("a tensor in it is larger than its storage")
    return storage.as_strided(size, stride, offset)


def require_value(value: object) -> object:
    """Return the value, if a checkpoint may hold its type. Raises ArchiveError for others, such as a tuple."""
    if type(value) not in VALUES:
        raise other_file(value.name if isinstance(value, Global) else f"a {type(value).__name__}")
    return value


def other_file(what: str) -> ArchiveError:
    """Return the error for a file with contents that train.py does not write."""
    module, name = (shortened(part) for part in what.partition(" ")[::2])
    if not name or module in ("a", "the", "collections") or module.split(".")[0] == "torch":
        return ArchiveError(f"a file of PyTorch, but not one that train.py wrote: it has {module} {name}".strip())
    return ArchiveError(f"a pickle that wants to run {module}.{name}, which is refused")


def shortened(text: str) -> str:
    """Return text for an error message, without control characters and at most 60 characters of it."""
    text = "".join(character if character.isprintable() else "?" for character in text[:61])
    return text if len(text) <= 60 else f"{text[:60]}..."

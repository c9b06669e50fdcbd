"""Recognize files that people mistake for checkpoints or texts, by their first bytes, and say what to do with them."""

import os
import re
import stat
from typing import NamedTuple

HEAD = 1024  # bytes that are read to recognize a file


class FileTypeError(ValueError):
    """The file has the wrong type. The message continues the file's name: `a folder, not ...`."""


class FileType(NamedTuple):
    """A file type: the pattern that its first bytes match, its name in messages, and advice to the user."""

    begin: bytes
    what: str
    to_do: str


CHOOSE = "name a checkpoint, of train.py (.t7.pt) or of the Lua original or torch-rnn (.t7)"
UNPACK = "unpack it, and name the file inside"
OTHER_MODEL = f"models of other programs cannot be read; {CHOOSE}"
LFS_POINTER = FileType(
    rb"version https://git-lfs\.github\.com/spec/",
    "a Git LFS pointer to a file that has not been downloaded",
    "download the file itself: git lfs pull",
)
SAFETENSORS = FileType(rb".{4}\0{4}\{\s*\"", "a safetensors file", OTHER_MODEL)
FILE_TYPES = (
    LFS_POINTER,
    FileType(
        rb"\x89HDF\r\n\x1a\n", "a data file (HDF5), such as the cache of a text (data.h5) or torch-rnn's text", CHOOSE
    ),
    FileType(rb"\x1f\x8b", "compressed with gzip", "decompress it: gunzip"),
    FileType(rb"BZh[1-9]", "compressed with bzip2", "decompress it: bunzip2"),
    FileType(rb"\xfd7zXZ\0", "compressed with xz", "decompress it: unxz"),
    FileType(rb"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it: unzstd"),
    FileType(rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    FileType(rb"Rar!\x1a\x07", "a rar archive", UNPACK),
    FileType(rb".{257}ustar", "a tar archive", f"{UNPACK}: tar -xf"),
    FileType(rb"PK\x05\x06", "an empty zip archive", "create or download it again"),
    FileType(
        rb"(?i:(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|\?xml)\b)",
        "a web page that was saved instead of the file",
        "download the file itself, not the page about it",
    ),
    FileType(rb"(?:\xef\xbb\xbf)?\s*\{\s*[\"}]", "JSON, such as torch-rnn writes beside its checkpoints", CHOOSE),
    SAFETENSORS,
    FileType(rb"\x93NUMPY", "a NumPy array (.npy)", CHOOSE),
    FileType(rb"\x08[\x01-\x3f][\x12\x1a\x3a\x42]", "an ONNX model", OTHER_MODEL),
    FileType(rb"GGUF|lmgg|tjgg|fmgg", "a language model for llama.cpp (GGUF or GGML)", OTHER_MODEL),
    FileType(rb".{4}TFL3", "a TensorFlow Lite model", OTHER_MODEL),
    FileType(rb"SQLite format 3\0", "an SQLite database", CHOOSE),
    FileType(rb"%PDF-", "a PDF", CHOOSE),
    FileType(rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF", "an image, audio or video file", CHOOSE),
    FileType(rb"\x7fELF|MZ.{58}|\x1bLua|\x1bLJ", "an executable or Lua bytecode", CHOOSE),
    FileType(rb"\x00\x05\x16\x07", "metadata that macOS keeps beside a file (AppleDouble)", "name the file without ._"),
    FileType(rb"\0\0\0[\x01-\x08]", "a Torch7 file from a big-endian computer", "save it as ASCII there"),
    FileType(
        rb"\0{64}", "nothing but zeros where it begins, as after an interrupted copy", "copy or download it again"
    ),
    FileType(rb"\xff\xfe|\xfe\xff", "a text in UTF-16", CHOOSE),
)


def first_bytes(path: str | os.PathLike, wanted: str) -> bytes:
    """Read the first HEAD bytes of a file. Raises FileTypeError, naming what is `wanted`, if it is empty or no file."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise FileTypeError(f"a folder, not {wanted}: name a file in it")
    if not stat.S_ISREG(mode):  # opening a pipe may wait forever, and what is read from it is lost for others
        raise FileTypeError(f"a pipe or a device, not {wanted}: save its output to a file, and name that file")
    with open(path, "rb") as file:
        begin = file.read(HEAD)
    if not begin:
        raise FileTypeError(f"empty, not {wanted}: copy or download it again")
    return begin


def file_type_of(begin: bytes) -> FileType | None:
    """Return the type of a file that begins with these bytes, or None if it is not in FILE_TYPES."""
    return next((kind for kind in FILE_TYPES if re.match(kind.begin, begin, re.DOTALL)), None)


def unusual_text(begin: bytes) -> str | None:
    """Return a warning if a text that begins with these bytes is UTF-16 or UTF-32, or has no newlines but returns."""
    zeros = [begin[place::2].count(0) > 0.3 * len(begin[place::2]) for place in (0, 1)]
    encoding = (
        "UTF-32" if begin.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff"))
        else "UTF-16" if begin.startswith((b"\xff\xfe", b"\xfe\xff"))
        else "UTF-16LE" if zeros == [False, True]
        else "UTF-16BE" if zeros == [True, False]
        else ""
    )  # fmt: skip
    if encoding:
        return f"is {encoding}, whose bytes are not characters: convert it with iconv -f {encoding.lower()} -t utf-8"
    if b"\r" in begin and b"\n" not in begin:
        return "has carriage returns (CR) and no newlines: convert it with tr '\\r' '\\n'"
    return None


def is_text(begin: bytes) -> bool:
    """Return whether a file that begins with these bytes is readable text: UTF-8 without control characters."""
    try:
        text = begin.decode()
    except UnicodeDecodeError as error:
        if error.start < len(begin) - 3 or len(begin) < HEAD:  # otherwise HEAD cuts a character in two
            return False
        text = begin[: error.start].decode()
    return all(character.isprintable() or character.isspace() for character in text)

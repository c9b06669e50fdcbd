"""Files of other kinds that people mix up with ours, told by their first bytes: what they are, and what to do."""

import os
import re
import stat
from typing import NamedTuple

HEAD = 1024  # bytes that tell


class FileTypeError(ValueError):
    """The file is of another kind than it should be; the message goes on after its name: `a folder, not ...`."""


class FileType(NamedTuple):
    """A kind of file: the pattern that its first bytes match, what it is, and what to do with it."""

    begin: bytes
    what: str
    to_do: str


CHOOSE = "name a checkpoint, of train.py (.t7.pt) or of the Lua original or torch-rnn (.t7)"
UNPACK = "unpack it, and name the file in it"
OTHER_MODEL = f"no other program's networks can be read; {CHOOSE}"
LFS_POINTER = FileType(
    rb"version https://git-lfs\.github\.com/spec/",
    "a Git LFS pointer, which stands for a file that has not been fetched",
    "fetch the file itself: git lfs pull",
)
SAFETENSORS = FileType(rb".{4}\0{4}\{\s*\"", "a safetensors file", OTHER_MODEL)
FILE_TYPES = (
    LFS_POINTER,
    FileType(
        rb"\x89HDF\r\n\x1a\n", "a data file (HDF5), as the cache of a text is (data.h5) or torch-rnn's text", CHOOSE
    ),
    FileType(rb"\x1f\x8b", "packed with gzip", "unpack it: gunzip"),
    FileType(rb"BZh[1-9]", "packed with bzip2", "unpack it: bunzip2"),
    FileType(rb"\xfd7zXZ\0", "packed with xz", "unpack it: unxz"),
    FileType(rb"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it: unzstd"),
    FileType(rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    FileType(rb"Rar!\x1a\x07", "a rar archive", UNPACK),
    FileType(rb".{257}ustar", "a tar archive", f"{UNPACK}: tar -xf"),
    FileType(rb"PK\x05\x06", "an empty zip archive", "pack or download it again"),
    FileType(
        rb"(?i:(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|\?xml)\b)",
        "a web page, saved in place of a download",
        "download the file itself, not the page about it",
    ),
    FileType(rb"(?:\xef\xbb\xbf)?\s*\{\s*[\"}]", "JSON, such as torch-rnn writes beside its checkpoints", CHOOSE),
    SAFETENSORS,
    FileType(rb"\x93NUMPY", "a NumPy array (.npy)", CHOOSE),
    FileType(rb"\x08[\x01-\x3f][\x12\x1a\x3a\x42]", "a network in ONNX", OTHER_MODEL),
    FileType(rb"GGUF|lmgg|tjgg|fmgg", "a language model for llama.cpp (GGUF or GGML)", OTHER_MODEL),
    FileType(rb".{4}TFL3", "a network for TensorFlow Lite", OTHER_MODEL),
    FileType(rb"SQLite format 3\0", "a database (SQLite)", CHOOSE),
    FileType(rb"%PDF-", "a PDF", CHOOSE),
    FileType(rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF", "an image, a sound or a film", CHOOSE),
    FileType(rb"\x7fELF|MZ.{58}|\x1bLua|\x1bLJ", "a program", CHOOSE),
    FileType(
        rb"\x00\x05\x16\x07", "what macOS keeps beside a file (AppleDouble)", "name the file whose name lacks the ._"
    ),
    FileType(rb"\0\0\0[\x01-\x08]", "a file of Torch7 from a big-endian computer", "save it as ASCII there"),
    FileType(
        rb"\0{64}", "nothing but zeros, at least where it begins: a copy that broke off", "copy or download it again"
    ),
    FileType(rb"\xff\xfe|\xfe\xff", "text (UTF-16)", CHOOSE),
)


def first_bytes(path: str | os.PathLike, wanted: str) -> bytes:
    """How a file begins. Raises FileTypeError, which says what was `wanted`, for an empty one and for no file."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise FileTypeError(f"a folder, not {wanted}: name a file in it")
    if not stat.S_ISREG(mode):  # it could be read once only, and opening it may take for ever
        raise FileTypeError(f"a pipe or a device, not {wanted}: write what it gives to a file, and name that")
    with open(path, "rb") as file:
        begin = file.read(HEAD)
    if not begin:
        raise FileTypeError(f"empty, not {wanted}: a copy or a download that broke off? Fetch it again")
    return begin


def file_type_of(begin: bytes) -> FileType | None:
    """What a file is that begins so; None for what may be ours, or is in no list."""
    return next((kind for kind in FILE_TYPES if re.match(kind.begin, begin, re.DOTALL)), None)


def is_text(begin: bytes) -> bool:
    """Whether a file that begins so is text for people to read: UTF-8 without control characters."""
    try:
        text = begin.decode()
    except UnicodeDecodeError as error:
        if error.start < len(begin) - 3 or len(begin) < HEAD:  # else a character that HEAD cuts in two
            return False
        text = begin[: error.start].decode()
    return all(character.isprintable() or character.isspace() for character in text)

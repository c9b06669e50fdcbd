"""Files that people mistake for checkpoints and texts are recognized by their first bytes."""

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from conftest import RECORDINGS, REFERENCE

from charrnn_port.util.file_types import FILE_TYPES, FileTypeError, file_type_of, first_bytes, is_text, unusual_text

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0\nsize 12345\n"


def hdf5() -> bytes:
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        file["train"] = np.zeros(3)
        file.flush()
        return file.id.get_file_image()


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("lm_lstm.t7"), io.BytesIO())
    return out.getvalue()


def empty_zip() -> bytes:
    out = io.BytesIO()
    zipfile.ZipFile(out, "w").close()
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


SAFETENSORS = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
FILES = {
    "HDF5": (hdf5(), "a data file (HDF5)"),
    "LFS": (LFS, "a Git LFS pointer"),
    "gzip": (gzip.compress(b"text"), "compressed with gzip"),
    "bzip2": (bz2.compress(b"text"), "compressed with bzip2"),
    "xz": (lzma.compress(b"text"), "compressed with xz"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", "compressed with zstd"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
    "rar": (b"Rar!\x1a\x07\x01\x00", "a rar archive"),
    "tar": (tar(), "a tar archive"),
    "empty zip": (empty_zip(), "an empty zip archive"),
    "HTML": (b"\n<!DOCTYPE html>\n<html lang=en>", "a web page"),
    "HTML of others": (b"\xef\xbb\xbf<HTML><HEAD>", "a web page"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied', "a web page"),
    "JSON": (json.dumps({"opt": {}, "i": 100}).encode(), "JSON"),
    "JSON in lines": (json.dumps({"i": 100}, indent=2).encode(), "JSON"),
    "safetensors": (len(SAFETENSORS).to_bytes(8, "little") + SAFETENSORS, "a safetensors file"),
    "npy": (npy(), "a NumPy array"),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x052.4.0", "an ONNX model"),
    "GGUF": (b"GGUF\3\0\0\0", "GGUF"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
    "SQLite": (b"SQLite format 3\0", "an SQLite database"),
    "PDF": (b"%PDF-1.7\n", "a PDF"),
    "PNG": (b"\x89PNG\r\n\x1a\n", "an image"),
    "program": (b"\x7fELF\2\1\1", "an executable or Lua bytecode"),
    "Lua bytecode": (b"\x1bLJ\2\0", "an executable or Lua bytecode"),
    "AppleDouble": (b"\0\5\x16\7\0\2\0\0Mac OS X", "macOS"),
    "big-endian .t7": (b"\0\0\0\3\0\0\0\1", "big-endian"),
    "zeros": (bytes(4096), "nothing but zeros"),
    "UTF-16": ("text".encode("utf-16"), "a text in UTF-16"),
}


@pytest.mark.parametrize(("content", "what"), FILES.values(), ids=FILES)
def test_kinds(content, what):
    assert what in file_type_of(content).what


def test_every_kind_is_tested():
    assert {file_type_of(content) for content, _ in FILES.values()} == set(FILE_TYPES)
    assert all(kind.to_do for kind in FILE_TYPES)


OURS = [path for folder in (RECORDINGS, REFERENCE) for path in sorted(folder.rglob("*.*"))]
OURS = [path for path in OURS if path.suffix in (".t7", ".pt", ".txt")]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_ours_are_no_other_kind(path):
    assert file_type_of(first_bytes(path, "anything")) is None


@pytest.mark.parametrize("tag", range(9))
def test_no_object_of_torch7_is_another_kind(tag):
    """No content after the tag, an int or a digit, is taken for another file type."""
    for after in [b"\n", *(content for content, _ in FILES.values())]:
        assert file_type_of(tag.to_bytes(4, "little") + b"\1" + after) is None
        assert file_type_of(b"%d\n" % tag + after) is None


def test_text():
    assert is_text(b"the quick brown fox\r\n\tjumps\n")
    assert is_text("naïve 文 🙂".encode())
    assert is_text(("x" * 1023 + "é").encode()[:1024])  # the last character is cut in two
    assert is_text(("x" * 1021 + "🙂").encode()[:1024])
    assert is_text("é".encode()[:1]) is False
    assert not is_text(b"x" * 1020 + b"\xffxxx")
    assert not is_text(b"a\0b")
    assert not is_text(b"\x1b[31mred")


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("utf-16", "utf-16"), ("utf-16le", "utf-16le"), ("utf-16be", "utf-16be"), ("utf-32", "utf-32")],
)
def test_texts_in_other_encodings(encoding, named):
    """With and without a byte order mark. The command in the warning converts the text."""
    text = "the quick brown fox\nnaïve\n"
    warning = unusual_text(text.encode(encoding))
    assert warning == f"is {named.upper()}, whose bytes are not characters: convert it with iconv -f {named} -t utf-8"
    if shutil.which("iconv"):
        command = warning.partition("convert it with ")[2].split()
        converted = subprocess.run(command, input=text.encode(encoding), capture_output=True, check=True).stdout
        assert converted == text.encode()


def test_texts_with_returns_and_without_newlines():
    warning = r"has carriage returns (CR) and no newlines: convert it with tr '\r' '\n'"
    assert unusual_text(b"two\rlines\r") == warning
    assert unusual_text(b"two\r\nlines\r\n") is None


@pytest.mark.parametrize("text", ["plain\ntext", "naïve 文 🙂", "x", "a\0b\0c and more of a text with two zeros"])
def test_usual_texts(text):
    assert unusual_text(text.encode()) is None


def test_bytes_of_all_values_are_a_usual_text():
    assert unusual_text(bytes(range(256))) is None


def test_a_folder_a_pipe_and_an_empty_file(tmp_path):
    with pytest.raises(FileTypeError, match=r"^a folder, not a text: name a file in it$"):
        first_bytes(tmp_path, "a text")
    (tmp_path / "empty").touch()
    with pytest.raises(FileTypeError, match=r"^empty, not a text: "):
        first_bytes(tmp_path / "empty", "a text")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileTypeError, match=r"^a pipe or a device, not a text: "):  # without waiting for a writer
        first_bytes(tmp_path / "pipe", "a text")
    with pytest.raises(FileNotFoundError):
        first_bytes(tmp_path / "none", "a text")


def test_it_is_the_first_bytes(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 8)
    assert first_bytes(tmp_path / "file", "a text") == bytes(range(256)) * 4

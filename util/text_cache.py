"""Preprocess a text once into a cache of character ids, and open it without loading it whole.

`data_dir/input.txt` is preprocessed once into `data_dir/data.h5`:

    vocab  uint8 [vocab_size]  the byte values that occur, in ascending order; the index is the id
    data   uint8 [bytes]       the text as ids
    attributes: text_fingerprint int64 [3] of the source file; text_sha256 uint8 [32] of its bytes

With words, `vocab` is a JSON list of them, as uint8, in `data.words.h5`. A UTF-8 text goes to `data.utf-8.h5`: `vocab`
holds code points, uint32, and `data` has the smallest type that holds the ids. With bpe, `vocab` holds the merges,
uint32, two ids each, in `data.bpe.vocab_size_1000.h5`, with an attribute vocab_size int64 [1]; if the merges are those
of a saved network, the name has a digest of them. If rare characters become one unknown symbol (`min_count`), its id
follows those of `vocab`, the name of the cache contains the number, and there are two more attributes: min_count int64
[1], and rare int64 [2], the number of rare characters and of their occurrences.

If that folder is read-only, the cache goes to the user's cache folder.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from charrnn_port.util import progress
from charrnn_port.util.encodings import (
    BYTES,
    CODE_POINTS,
    SYMBOL_TYPES,
    Encoding,
    as_numbers,
    from_numbers,
    id_type,
    ids_in,
    survey,
)
from charrnn_port.util.errors import UserError
from charrnn_port.util.file_types import LFS_POINTER, file_type_of
from charrnn_port.util.files import user_cache
from charrnn_port.util.hdf5 import atomic_hdf5
from charrnn_port.util.vocabulary import Vocabulary

CHUNK = 1 << 20  # bytes of text that are read at a time


class Cache(NamedTuple):
    """The content of a cache, described at the top of this file."""

    vocab: Vocabulary
    ids: np.ndarray  # mapped into memory
    digest: str  # SHA-256 of the text
    rare: tuple[int, int]


def open_text(data_dir: str | os.PathLike, echo: Callable[[str], None], encoding: Encoding, writes: bool) -> Cache:
    """Return the content of the cache of a folder's text, which is made if necessary; see MinibatchLoader."""
    if Path(data_dir).is_file():
        raise UserError(f"-data_dir {data_dir} is a file: name its folder, in which the text is called input.txt")
    text = Path(data_dir, "input.txt")
    require_text(text)
    cache = prepare(text, echo, displayed_path(data_dir), encoding) if writes else None
    echo("loading data files...")
    return open_cache(cache, encoding) if cache else in_memory(partial(chunks, text), encoding, str(text))


def displayed_path(data_dir: str | os.PathLike) -> str:
    """Return the text's path for messages, with the folder as the user wrote it, like the original's path.join."""
    folder = os.fspath(data_dir)
    return f"{folder}input.txt" if folder.endswith(("/", os.sep)) else f"{folder}/input.txt"


def prepare(text: Path, echo: Callable[[str], None], name: str, encoding: Encoding = BYTES) -> Path:
    """Return the path of the text's cache. Preprocess the text first unless the cache is up to date.

    `name` is the text's name in messages.
    """
    fingerprint = text_fingerprint(text)
    for kind in dict.fromkeys((encoding._replace(vocab=None), encoding)):  # learned tokens may be those that are given
        cache = text.with_name(cache_name(kind))
        if cached_fingerprint(cache, encoding) == fingerprint:
            return cache
    if not os.access(text.parent, os.W_OK):
        cache = cache_elsewhere(text, cache.name.removeprefix("data"))
        echo(f"{text.parent} cannot be written: the cache is {cache}")
        if cached_fingerprint(cache, encoding) == fingerprint:
            return cache
    if cache.exists():
        require_cache(cache)
        echo(f"{cache.name} detected as stale. Re-running preprocessing...")
    else:
        echo(f"{cache.name} does not exist. Running preprocessing...")
    echo(f"one-time setup: preprocessing input text file {name}...")
    try:
        beside = cache.parent == text.parent
        shown = name.removesuffix("input.txt") + cache.name if beside else ""
        preprocess(text, cache, echo, shown, encoding)
    except BrokenPipeError:  # the reader of stdout has gone, which is no error of these files
        raise
    except OSError as error:
        raise UserError(f"cannot make {cache} from {text}: {error.strerror or error}") from error
    return cache


def cache_name(encoding: Encoding) -> str:
    """Return the name of a cache. Each kind has its own name, so that runs do not overwrite each other's cache."""
    parts = [] if encoding.name == "bytes" else [f".{encoding.name}"]
    if encoding.vocab:
        parts.append(f".{hashlib.sha256(as_numbers(encoding.vocab).tobytes()).hexdigest()[:16]}")
    elif encoding.name == "bpe":
        parts.append(f".vocab_size_{encoding.vocab_size}")
    if encoding.min_count > 1:
        parts.append(f".min_count_{encoding.min_count}")
    return f"data{''.join(parts)}.h5"


def require_text(text: Path) -> None:
    """Raise UserError if there is no text, or only a Git LFS pointer to it."""
    if not text.is_file():
        raise UserError(f"no text at {text}: put one there, or name its folder with -data_dir")
    with text.open("rb") as file:
        begin = file.read(100)
    if file_type_of(begin) is LFS_POINTER:
        raise UserError(f"{text} is {LFS_POINTER.what}: {LFS_POINTER.to_do}")


def require_cache(cache: Path) -> None:
    """Raise UserError if the file is torch-rnn's preprocessed text, which a new cache would overwrite."""
    try:
        with cache.open("rb") as handle, h5py.File(handle, "r") as file:
            names = set(file)
    except Exception:  # h5py raises all kinds of errors for a corrupt file, which is created again
        return
    if {"train", "val", "test"} <= names:
        raise UserError(
            f"{cache} is torch-rnn's preprocessed text, but the cache of input.txt needs this name: move it, or copy "
            "input.txt to a folder of its own"
        )


def cache_elsewhere(text: Path, kind: str) -> Path:
    """Return a cache path in the user's cache folder: a digest of the text's real path, followed by `kind`."""
    name = hashlib.sha256(os.fsencode(text.resolve())).hexdigest()[:16]
    try:
        return user_cache(f"{name}{kind}")
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home folder
        raise UserError(
            f"cannot write to {text.parent}, nor to the user's cache folder ({error}): set XDG_CACHE_HOME to "
            "a folder for the cache"
        ) from error


def text_fingerprint(text: Path) -> list[int]:
    """Return numbers that change with the file: size in bytes, times of last modification and status change in ns."""
    stat = text.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def cached_fingerprint(cache: Path, encoding: Encoding) -> list[int] | None:
    """Return the fingerprint of a cache's text, or None if it is not a complete cache of this kind."""
    try:
        with cache.open("rb") as handle, h5py.File(handle, "r") as file:
            fingerprint = attribute(file, "text_fingerprint", 3, np.int64).tolist()
        vocab, data, _, _ = open_cache(cache, encoding)
    except Exception:  # h5py raises all kinds of errors for a corrupt file; the cache is then created again
        return None
    complete = len(data) == fingerprint[0] if encoding.name == "bytes" else 0 < len(data) <= fingerprint[0]
    whole = complete and (encoding.name == "bpe" or list(vocab.symbols) == sorted(vocab.symbols))
    return fingerprint if whole else None


def preprocess(
    text: Path,
    cache: Path,
    echo: Callable[[str], None] = print,
    name: str = "",
    encoding: Encoding = BYTES,
) -> None:
    """Write the cache atomically, in two passes over the text, CHUNK bytes at a time.

    `name` is the cache's name in messages, by default its path. Raises UserError if the text changes meanwhile.
    """
    fingerprint = text_fingerprint(text)
    echo("loading text file...")
    echo("creating vocabulary mapping...")
    vocab, size, rare = survey(chunks(text, "creating vocabulary"), encoding, str(text))

    echo("putting data into tensor...")
    with atomic_hdf5(cache) as (file, out):
        file.attrs["text_fingerprint"] = fingerprint
        if encoding.min_count > 1:
            file.attrs["min_count"], file.attrs["rare"] = [encoding.min_count], rare
        if encoding.name == "bpe":
            file.attrs["vocab_size"] = [encoding.vocab_size]
        file["vocab"] = as_numbers(vocab)
        start, digest = 0, hashlib.sha256()
        parts = ids_in(also_hash(digest.update, chunks(text, "preprocessing")), vocab, str(text))
        if size is None:  # not known before all are there
            parts = list(parts)
            size = sum(map(len, parts))
        data = file.create_dataset("data", (size,), id_type(len(vocab)))
        for ids in parts:
            if start + len(ids) > size:  # the text has grown: this is reported below
                break
            data[start : start + len(ids)] = ids
            start += len(ids)
            out.check()
        file.attrs["text_sha256"] = np.frombuffer(digest.digest(), np.uint8)
        if text_fingerprint(text) != fingerprint:
            raise UserError(f"{text} changed while it was being read: run the command again")
        echo(f"saving {name or cache}")


def chunks(text: Path, label: str) -> Iterator[bytes]:
    """Yield the bytes of a file, CHUNK at a time, and show a progress bar with this label."""
    with text.open("rb") as file, progress.bar(label, text.stat().st_size, "B") as bar:
        while chunk := file.read(CHUNK):
            yield chunk
            bar.reach(file.tell())


def also_hash(update: Callable[[bytes], None], chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same chunks, and call a digest's `update` with each in another thread, so that it costs no time."""
    with ThreadPoolExecutor(1) as hasher:
        for chunk in chunks:
            hashed = hasher.submit(update, chunk)
            yield chunk
            hashed.result()


def open_cache(cache: Path, encoding: Encoding = BYTES) -> Cache:
    """Open a cache. Raises OSError if it is not a cache of this kind."""
    # Opened once, so that ids and vocabulary are from the same file even if another process replaces it meanwhile.
    with cache.open("rb") as handle, h5py.File(handle, "r") as file:
        numbers, data = (contiguous_dataset(file, name) for name in ("vocab", "data"))
        if numbers is None or data is None or (encoding.name != "words" and numbers.size > CODE_POINTS):
            raise OSError(f"{cache} is not a cache of a text")
        its_min_count, its_vocab_size, rare = 1, encoding.vocab_size, (0, 0)
        if "min_count" in file.attrs:
            (its_min_count,) = attribute(file, "min_count", 1, np.int64)
            rare = tuple(attribute(file, "rare", 2, np.int64).tolist())
        if encoding.name == "bpe" and not encoding.vocab:
            (its_vocab_size,) = attribute(file, "vocab_size", 1, np.int64)
        vocab = from_numbers(numbers[()], encoding.name, with_unknown=rare[0] > 0)
        wanted = SYMBOL_TYPES[encoding.name], id_type(len(vocab)), encoding.min_count, encoding.vocab_size
        same = (numbers.dtype, data.dtype, its_min_count, its_vocab_size) == wanted
        if not same or (encoding.vocab and vocab != encoding.vocab):
            raise OSError(f"{cache} is a cache of another encoding or vocabulary")
        ids = np.memmap(handle, data.dtype, "r", offset=data.id.get_offset(), shape=data.shape)
        return Cache(vocab, ids, attribute(file, "text_sha256", 32, np.uint8).tobytes().hex(), rare)


def in_memory(chunks_of: Callable[[str], Iterable[bytes]], encoding: Encoding, name: str) -> Cache:
    """Compute in memory what a text's cache would contain.

    `chunks_of` returns the text's chunks, twice, for the label of a progress bar; `name` is its name in messages.
    """
    digest = hashlib.sha256()
    vocab, _, rare = survey(chunks_of("creating vocabulary"), encoding, name)
    parts = list(ids_in(also_hash(digest.update, chunks_of("preprocessing")), vocab, name))
    return Cache(vocab, np.concatenate(parts), digest.hexdigest(), rare)


def contiguous_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return a list of numbers that is stored contiguously; None if it is compressed, chunked or in another file.

    A small file can claim any size for such a dataset.
    """
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        return None
    dataset = file[name]
    if dataset.dtype.kind != "u" or dataset.ndim != 1 or dataset.chunks or dataset.external or dataset.is_virtual:
        return None
    return dataset


def attribute(file: h5py.File, name: str, size: int, dtype: type) -> np.ndarray:
    """Return a list attribute of a cache. Raises OSError if its size or type is not the expected one."""
    described = file.attrs.get_id(name)
    if described.shape != (size,) or described.dtype != dtype:
        raise OSError(f"{name}: expected {size} {dtype.__name__}, got {described.shape} {described.dtype}")
    return file.attrs[name]

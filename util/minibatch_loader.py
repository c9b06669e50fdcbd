"""From a text to batches of character ids (the original's util/CharSplitLMMinibatchLoader.lua).

`data_dir/input.txt` is preprocessed once into `data_dir/data.h5`:

    vocab  uint8 [vocab_size]  the byte values that occur, in ascending order; the place is the id
    data   uint8 [bytes]       the text as ids
    attributes: text_fingerprint int64 [3], of the file it was made from; text_sha256 uint8 [32], of its bytes

As UTF-8, into `data.utf-8.h5`, with `vocab` uint32, code points, and `data` as wide as ids need it. Where rare
characters are one unknown symbol (`min_count`), its id follows those of `vocab`, the number is in the cache's name and
its attributes are two more: min_count int64 [1], and rare int64 [2], how many characters it stands for and where.

Where that folder cannot be written, the same goes to the user's cache folder.

Ids count from 0 here (from 1 in Lua), so that a text may use all 256 byte values.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from charrnn_port.util import progress
from charrnn_port.util.encodings import CODE_POINTS, SYMBOL_TYPES, as_numbers, as_symbols, id_type, ids_in, survey
from charrnn_port.util.errors import UserError
from charrnn_port.util.file_types import LFS_POINTER, file_type_of
from charrnn_port.util.files import atomic_write, user_cache
from charrnn_port.util.vocabulary import Vocabulary

CHUNK = 1 << 20  # bytes of text held in memory at once


class MinibatchLoader:
    """Batches of a text in order, split into train, validation and test.

    `vocab` says what each id means, `ids` the text `[symbols]` uint8 (uint16 or uint32 where the vocabulary needs it),
    in memory only where it is read; `rare` how many symbols are one unknown symbol, and in how many places. `places`
    `[seq_length + 1, rows]` are those of the first batch's ids and of its last targets. `split_sizes` counts the
    batches of each split, numbered as in the original's messages: 1 = train, 2 = validation, 3 = test (also as
    `ntrain`, `nval`, `ntest`). `left_out` counts the symbols at the end that make no batch. Of each batch only the
    given `rows` are read, by default all. Unless it `writes`, no cache is made, and the text is held in memory.

    The text's symbols are bytes, or characters with `encoding` utf-8; those that occur less than `min_count` times are
    one unknown symbol.

    Raises UserError for a missing or empty text, one that is not UTF-8 where it should be, or one shorter than a batch.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike,
        batch_size: int,
        seq_length: int,
        train_frac: float,
        val_frac: float,
        echo: Callable[[str], None] = print,
        rows: slice = slice(None),
        encoding: str = "bytes",
        min_count: int = 1,
        writes: bool = True,
    ) -> None:
        self.batch_size = batch_size
        self.seq_length = seq_length
        text = Path(data_dir, "input.txt")
        cache = prepare(text, echo, as_typed(data_dir), encoding, min_count) if writes else None
        echo("loading data files...")
        opened = open_cache(cache, encoding, min_count) if cache else in_memory(text, encoding, min_count)
        self.vocab, self.ids, self.digest, self.rare = opened
        self.vocab_size = len(self.vocab)

        batch_symbols = batch_size * seq_length
        self.nbatches, self.left_out = divmod(len(self.ids), batch_symbols)
        if self.nbatches == 0:
            raise UserError(
                f"{text} holds {len(self.ids)} {self.vocab.unit}, one batch needs batch_size * seq_length = "
                f"{batch_symbols}: take a longer text, or {sizes_for(len(self.ids))}"
            )
        if self.left_out:
            echo("cutting off end of data so that the batches/sequences divide evenly")
            self.ids = self.ids[: self.nbatches * batch_symbols]
        echo("reshaping tensor...")
        # Row b of the batches is a run of consecutive text. These are the places of the first batch and its targets.
        self.places = np.arange(seq_length + 1)[:, None] + np.arange(batch_size)[rows] * (self.nbatches * seq_length)

        if self.nbatches < 50:
            echo(
                "WARNING: less than 50 batches in the data in total? Looks like very small dataset. "
                "You probably want to use smaller batch_size and/or seq_length."
            )
        self.ntrain, self.nval, self.ntest = split_sizes(self.nbatches, train_frac, val_frac)
        self.split_sizes = {1: self.ntrain, 2: self.nval, 3: self.ntest}
        self._split_starts = {1: 0, 2: self.ntrain, 3: self.ntrain + self.nval}
        self._batch_ix = {1: 0, 2: 0, 3: 0}
        echo(f"data load done. Number of data batches in train: {self.ntrain}, val: {self.nval}, test: {self.ntest}")

    def reset_batch_pointer(self, split_index: int, batch_index: int = 0) -> None:
        """Go to a batch of a split, by default the first."""
        self._batch_ix[split_index] = batch_index % max(1, self.split_sizes[split_index])

    def next_start(self, split_index: int) -> int:
        """Where the next batch of a split begins, on from `places`; from the first again after the last."""
        number = self._batch_ix[split_index]
        self._batch_ix[split_index] = (number + 1) % self.split_sizes[split_index]
        return (self._split_starts[split_index] + number) * self.seq_length

    def next_batch(self, split_index: int) -> tuple[np.ndarray, np.ndarray]:
        """The next batch of a split.

        Returns x and y, `[seq_length, rows]` int64: the ids, and those one character later.
        """
        places = self.places + self.next_start(split_index)
        places[-1] %= len(self.ids)  # the very last target is the first character of the text
        ids = self.ids[places].astype(np.int64)
        self.require_known(ids)
        return ids[:-1], ids[1:]

    def require_known(self, ids: np.ndarray) -> None:
        """Raise UserError where an id is of no character."""
        if ids.max() >= self.vocab_size:
            raise UserError(f"{self.ids.filename} is damaged: delete it, it will be made again")


def split_sizes(nbatches: int, train_frac: float, val_frac: float) -> tuple[int, int, int]:
    """Batches in train, validation and test; without a test fraction validation takes the rest.

    Computed in double as the original does, where 1 - (0.95 + 0.05) is exactly 0 (0.9 and 0.1 are too).
    """
    test_frac = max(0.0, 1 - (train_frac + val_frac))
    ntrain = int(nbatches * train_frac)
    nval = nbatches - ntrain if test_frac == 0 else int(nbatches * val_frac)
    return ntrain, nval, nbatches - ntrain - nval


def as_typed(data_dir: str | os.PathLike) -> str:
    """The text's path in messages: with the folder as the user wrote it, as the original's path.join leaves it."""
    folder = os.fspath(data_dir)
    return f"{folder}input.txt" if folder.endswith(("/", os.sep)) else f"{folder}/input.txt"


def sizes_for(size: int) -> str:
    """Options with which a text of so many symbols makes some 60 batches or more, ready to paste."""
    seq_length = max(1, min(50, size // 60))
    return f"-batch_size {max(1, min(50, size // (60 * seq_length)))} -seq_length {seq_length}"


def prepare(text: Path, echo: Callable[[str], None], name: str, encoding: str = "bytes", min_count: int = 1) -> Path:
    """The text's cache, after preprocessing unless it was made from just this file as it is now.

    `name` is what messages call the text.
    """
    require_text(text)
    fingerprint = text_fingerprint(text)
    cache = text.with_name(cache_name(encoding, min_count))
    if cached_fingerprint(cache, encoding, min_count) == fingerprint:
        return cache
    if not os.access(text.parent, os.W_OK):
        cache = cache_elsewhere(text, cache.name.removeprefix("data"))
        echo(f"{text.parent} cannot be written: the cache is {cache}")
        if cached_fingerprint(cache, encoding, min_count) == fingerprint:
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
        preprocess(text, cache, echo, shown, encoding, min_count)
    except BrokenPipeError:  # nothing to do with these files: nobody reads what is printed
        raise
    except OSError as error:
        raise UserError(f"cannot make {cache} from {text}: {error.strerror or error}") from error
    return cache


def cache_name(encoding: str, min_count: int) -> str:
    """A name of its own for each kind of cache, so that runs with several kinds do not make theirs again and again."""
    parts = ["" if encoding == "bytes" else f".{encoding}", "" if min_count == 1 else f".min_count_{min_count}"]
    return f"data{''.join(parts)}.h5"


def require_text(text: Path) -> None:
    """Raises UserError where there is no text, or only a note that stands for it."""
    if not text.is_file():
        raise UserError(f"no text at {text}: put one there, or name its folder with -data_dir")
    with text.open("rb") as file:
        begin = file.read(100)
    if file_type_of(begin) is LFS_POINTER:
        raise UserError(f"{text} is {LFS_POINTER.what}: {LFS_POINTER.to_do}")


def require_cache(cache: Path) -> None:
    """Raises UserError for torch-rnn's preprocessed text, which a new cache would overwrite."""
    try:
        with h5py.File(cache, "r") as file:
            names = set(file)
    except Exception:  # a damaged file makes h5py raise nearly anything; it is made again
        return
    if {"train", "val", "test"} <= names:
        raise UserError(
            f"{cache} is torch-rnn's preprocessed text, where the cache of input.txt has its place: move it, or copy "
            "input.txt to a folder of its own"
        )


def cache_elsewhere(text: Path, kind: str) -> Path:
    """In the user's cache folder, under a name that says where the text really lies; it ends in `kind`."""
    name = hashlib.sha256(os.fsencode(text.resolve())).hexdigest()[:16]
    try:
        return user_cache(f"{name}{kind}")
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        raise UserError(
            f"neither {text.parent} can be written nor the user's cache folder ({error}): name a folder for the cache "
            "with XDG_CACHE_HOME"
        ) from error


def text_fingerprint(text: Path) -> list[int]:
    """What changes whenever the file does: size in bytes, times of last modification and change in ns."""
    stat = text.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def cached_fingerprint(cache: Path, encoding: str, min_count: int) -> list[int] | None:
    """The fingerprint of the text that a cache was made from; None where the file is no whole cache of this kind."""
    try:
        with h5py.File(cache, "r") as file:
            fingerprint = attribute(file, "text_fingerprint", 3, np.int64).tolist()
        vocab, data, _, _ = open_cache(cache, encoding, min_count)
    except Exception:  # a damaged file makes h5py raise nearly anything; the cache is then made again
        return None
    complete = len(data) == fingerprint[0] if encoding == "bytes" else 0 < len(data) <= fingerprint[0]
    whole = complete and list(vocab.symbols) == sorted(vocab.symbols)
    return fingerprint if whole else None


def preprocess(
    text: Path,
    cache: Path,
    echo: Callable[[str], None] = print,
    name: str = "",
    encoding: str = "bytes",
    min_count: int = 1,
) -> None:
    """Write the cache in two passes over the text, CHUNK bytes at a time; then put it in place at once.

    `name` is what messages call the cache, by default its path.
    """
    fingerprint = text_fingerprint(text)
    echo("loading text file...")
    echo("creating vocabulary mapping...")
    vocab, size, rare = survey(chunks(text, "creating vocabulary"), encoding, min_count, str(text))

    echo("putting data into tensor...")
    with atomic_write(cache) as temporary:
        with h5py.File(temporary, "w") as file:
            file.attrs["text_fingerprint"] = fingerprint
            if min_count > 1:
                file.attrs["min_count"], file.attrs["rare"] = [min_count], rare
            file["vocab"] = as_numbers(vocab)
            data = file.create_dataset("data", (size,), id_type(len(vocab)))
            start, digest = 0, hashlib.sha256()
            for ids in ids_in(taken_in_by(digest.update, chunks(text, "preprocessing")), vocab, str(text)):
                if start + len(ids) > size:  # the text has grown, which is told below
                    break
                data[start : start + len(ids)] = ids
                start += len(ids)
            file.attrs["text_sha256"] = np.frombuffer(digest.digest(), np.uint8)
        if text_fingerprint(text) != fingerprint:
            raise UserError(f"{text} changed while it was being read: run again")
        echo(f"saving {name or cache}")


def chunks(text: Path, label: str) -> Iterator[bytes]:
    """The bytes of a file, CHUNK at a time; a bar with this label shows how far it is read."""
    with text.open("rb") as file, progress.bar(label, text.stat().st_size, "B") as bar:
        while chunk := file.read(CHUNK):
            yield chunk
            bar.reach(file.tell())


def taken_in_by(update: Callable[[bytes], None], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same chunks. Meanwhile a digest takes them in, on another core, so that it takes no time."""
    with ThreadPoolExecutor(1) as hasher:
        for chunk in chunks:
            hashed = hasher.submit(update, chunk)
            yield chunk
            hashed.result()


class Cache(NamedTuple):
    """What is in a cache; see the head of this file."""

    vocab: Vocabulary
    ids: np.ndarray  # mapped into memory
    digest: str  # SHA-256 of the text
    rare: tuple[int, int]


def open_cache(cache: Path, encoding: str = "bytes", min_count: int = 1) -> Cache:
    """What is in a cache. Raises OSError where it is none of this kind."""
    # Opened once, so that ids and vocabulary are of one file even while another process replaces it.
    with cache.open("rb") as handle, h5py.File(handle, "r") as file:
        numbers, data = (in_one_piece(file, name) for name in ("vocab", "data"))
        if numbers is None or data is None or numbers.size > CODE_POINTS:
            raise OSError(f"{cache} is not a cache of a text")
        its_min_count, rare = 1, (0, 0)
        if "min_count" in file.attrs:
            (its_min_count,) = attribute(file, "min_count", 1, np.int64)
            rare = tuple(attribute(file, "rare", 2, np.int64).tolist())
        vocab = Vocabulary(as_symbols(numbers[()], encoding), with_unknown=rare[0] > 0)
        if (numbers.dtype, data.dtype, its_min_count) != (SYMBOL_TYPES[encoding], id_type(len(vocab)), min_count):
            raise OSError(f"{cache} is a cache of another kind")
        ids = np.memmap(handle, data.dtype, "r", offset=data.id.get_offset(), shape=data.shape)
        return Cache(vocab, ids, attribute(file, "text_sha256", 32, np.uint8).tobytes().hex(), rare)


def in_memory(text: Path, encoding: str, min_count: int) -> Cache:
    """What would be in the text's cache, without one."""
    require_text(text)
    digest = hashlib.sha256()
    vocab, _, rare = survey(chunks(text, "creating vocabulary"), encoding, min_count, str(text))
    parts = list(ids_in(taken_in_by(digest.update, chunks(text, "preprocessing")), vocab, str(text)))
    return Cache(vocab, np.concatenate(parts), digest.hexdigest(), rare)


def in_one_piece(file: h5py.File, name: str) -> h5py.Dataset | None:
    """A list of numbers that lies in this file as it is; None for one that is packed, scattered or in another file.

    Of such a one a small file can claim any size.
    """
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        return None
    dataset = file[name]
    if dataset.dtype.kind != "u" or dataset.ndim != 1 or dataset.chunks or dataset.external or dataset.is_virtual:
        return None
    return dataset


def attribute(file: h5py.File, name: str, size: int, dtype: type) -> np.ndarray:
    """A list in the head of a cache. Raises OSError where it has another size or type than this."""
    described = file.attrs.get_id(name)
    if described.shape != (size,) or described.dtype != dtype:
        raise OSError(f"{name} is another")
    return file.attrs[name]

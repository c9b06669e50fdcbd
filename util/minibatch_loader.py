"""Make batches of character ids from a text (the original's util/CharSplitLMMinibatchLoader.lua).

`data_dir/input.txt` is preprocessed once into `data_dir/data.h5`:

    vocab  uint8 [vocab_size]  the byte values that occur, in ascending order; the index is the id
    data   uint8 [bytes]       the text as ids
    attributes: text_fingerprint int64 [3] of the source file; text_sha256 uint8 [32] of its bytes

With words, `vocab` is a JSON list of them, as uint8, in `data.words.h5`. A UTF-8 text goes to `data.utf-8.h5`: `vocab`
holds code points, uint32, and `data` has the smallest type that holds the ids. If rare characters become one unknown
symbol (`min_count`), its id follows those of `vocab`, the name of the cache contains the number, and there are two more
attributes: min_count int64 [1], and rare int64 [2], the number of rare characters and of their occurrences.

If that folder is read-only, the cache goes to the user's cache folder.

Ids count from 0 (in Lua from 1), so that a text may use all 256 byte values.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from charrnn_port.util import progress
from charrnn_port.util.encodings import CODE_POINTS, SYMBOL_TYPES, as_numbers, as_symbols, id_type, ids_in, survey
from charrnn_port.util.errors import UserError
from charrnn_port.util.file_types import LFS_POINTER, file_type_of
from charrnn_port.util.files import user_cache
from charrnn_port.util.hdf5 import atomic_hdf5
from charrnn_port.util.vocabulary import Vocabulary, readable

CHUNK = 1 << 20  # bytes of text that are read at a time
SPLITS = ("train", "val", "test")


class MinibatchLoader:
    """The batches of a text in order, split into train, validation and test.

    Arguments: `rows` are the rows of each batch that are read, by default all. With `writes` False no cache is written,
    and the whole text is held in memory. With `encoding` utf-8 the symbols are characters, otherwise bytes; those that
    occur less than `min_count` times become one unknown symbol. `echo` prints messages. `split_by` is explained at
    `pieces_of`. With a `val_file`, and perhaps a `test_file`, these are validated and tested on, and all of the text
    trains: then `ids` are those of all files, one after the other, and held in memory.

    Attributes: `vocab` is the vocabulary. `ids` `[symbols]` is the text, uint8 (uint16 or uint32 for a larger
    vocabulary), mapped from the cache. `rare` is the number of rare symbols and of their occurrences. `places`
    `[seq_length + 1, rows]` are the positions in the text of the first batch's ids and last targets. `pieces` are the
    pieces of the text in each split, see `pieces_of`. `split_sizes` is the number of batches in each split, numbered as
    in the original: 1 = train, 2 = validation, 3 = test (also `ntrain`, `nval`, `ntest`). `size` is the number of
    symbols of the text, and `left_out` of those at its end that fill no batch. `digest` is the SHA-256 of the text, or
    with a `val_file` that of the files' digests. `batch_targets` is the number of targets in the last batch, without
    padding, which only short texts have (`padded`, see short_texts.py; there `begins` and `note` have values too).

    Raises UserError if a file is missing, empty, not UTF-8, or shorter than a batch, and if the `val_file` or
    `test_file` has a symbol that is not in the vocabulary, unless there is an unknown symbol.
    """

    padded = False
    begins: np.ndarray | None = None
    note = ""

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
        split_by: str = "rows",
        val_file: str = "",
        test_file: str = "",
    ) -> None:
        self.batch_size = batch_size
        self.seq_length = seq_length
        self.batch_targets = batch_size * seq_length
        text = Path(data_dir, "input.txt")
        self.vocab, self.ids, self.digest, self.rare = open_text(data_dir, echo, encoding, min_count, writes)
        self.vocab_size = len(self.vocab)

        batch_symbols = batch_size * seq_length
        self.size = len(self.ids)
        if val_file:
            require_batch(text, self.size - 1, self.vocab.unit, batch_size, seq_length)
            self._add_files([file for file in (val_file, test_file) if file])
        else:
            self.nbatches = self.size // batch_symbols
            require_batch(text, self.size, self.vocab.unit, batch_size, seq_length)
            self.pieces = pieces_of(self.size, batch_size, seq_length, train_frac, val_frac, split_by)
        self.left_out = self.size - self.nbatches * batch_symbols
        if self.left_out:
            echo("cutting off end of data so that the batches/sequences divide evenly")
            self.ids = self.ids if val_file else self.ids[: self.nbatches * batch_symbols]
        echo("reshaping tensor...")
        layouts = enumerate(self.pieces.values(), 1)
        starts = {number: np.array([piece.start for piece in layout]) for number, layout in layouts}
        steps = np.arange(seq_length + 1)[:, None]
        self._places = {number: steps + (each - each[0])[rows] for number, each in starts.items()}
        self.places = self._places[1]

        if self.nbatches < 50:
            echo(
                "WARNING: less than 50 batches in the data in total? Looks like very small dataset. "
                "You probably want to use smaller batch_size and/or seq_length."
            )
        self.split_sizes = {number: len(row[0]) // seq_length for number, row in enumerate(self.pieces.values(), 1)}
        self.ntrain, self.nval, self.ntest = self.split_sizes.values()
        self._split_starts = {number: int(each[0]) for number, each in starts.items()}
        self._batch_ix = {1: 0, 2: 0, 3: 0}
        echo(f"data load done. Number of data batches in train: {self.ntrain}, val: {self.nval}, test: {self.ntest}")

    def _add_files(self, files: list[str]) -> None:
        """Append the ids of files for validation and testing, and lay out each file in rows of its own."""
        self.require_known(self.ids)
        digests, parts = [self.digest], [self.ids]
        for file in files:
            ids, digest = read_with(file, self.vocab)
            require_batch(file, len(ids) - 1, self.vocab.unit, self.batch_size, self.seq_length)
            digests.append(digest)
            parts.append(ids)
        self.ids, self.digest = np.concatenate(parts), joint_digest(digests)
        sizes = [*map(len, parts), *[0] * (3 - len(parts))]
        self.pieces = pieces_of_files(sizes, self.batch_size, self.seq_length)
        self.nbatches = len(self.pieces["train"][0]) // self.seq_length

    def reset_batch_pointer(self, split_index: int, batch_index: int = 0) -> None:
        """Set the next batch of a split, by default the first."""
        self._batch_ix[split_index] = batch_index % max(1, self.split_sizes[split_index])

    def next_start(self, split_index: int) -> int:
        """Return where the first row of a split's next batch begins, and advance; after the last comes the first."""
        number = self._batch_ix[split_index]
        self._batch_ix[split_index] = (number + 1) % self.split_sizes[split_index]
        return self._split_starts[split_index] + number * self.seq_length

    def next_batch(self, split_index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the next batch of a split: x and y, `[seq_length, rows]` int64. y is the text one symbol later."""
        places = self._places[split_index] + self.next_start(split_index)
        places[-1] %= len(self.ids)  # the very last target is the first character of the text
        ids = self.ids[places].astype(np.int64)
        self.require_known(ids)
        return ids[:-1], ids[1:]

    def targets(self, split_index: int) -> int:
        """Return the number of targets in a split."""
        return self.split_sizes[split_index] * self.batch_size * self.seq_length

    def require_known(self, ids: np.ndarray) -> None:
        """Raise UserError if an id is not in the vocabulary."""
        if ids.max() >= self.vocab_size:
            raise UserError(f"{self.ids.filename} is corrupt: delete it, and it will be created again")


def open_text(
    data_dir: str | os.PathLike, echo: Callable[[str], None], encoding: str, min_count: int, writes: bool
) -> "Cache":
    """Return the content of the cache of a folder's text, which is made if necessary; see MinibatchLoader."""
    if Path(data_dir).is_file():
        raise UserError(f"-data_dir {data_dir} is a file: name its folder, in which the text is called input.txt")
    text = Path(data_dir, "input.txt")
    cache = prepare(text, echo, displayed_path(data_dir), encoding, min_count) if writes else None
    echo("loading data files...")
    return open_cache(cache, encoding, min_count) if cache else in_memory(text, encoding, min_count)


def pieces_of(
    size: int, batch_size: int, seq_length: int, train_frac: float, val_frac: float, split_by: str = "rows"
) -> dict[str, list[range]]:
    """Return the pieces of a text of `size` symbols that are train, val and test: a range of positions for each row.

    With `split_by` "rows", the text is cut into `batch_size` rows of consecutive text, each of which begins with its
    piece of train, followed by its pieces of val and test. With "end", the text is cut into train, val and test, and
    each of them into rows. The symbols at the end of the text that fill no batch are in none of them.
    """
    nbatches = size // (batch_size * seq_length)
    found, begin = {}, 0
    for name, count in zip(SPLITS, split_sizes(nbatches, train_frac, val_frac), strict=True):
        length, stride = count * seq_length, (nbatches if split_by == "rows" else count) * seq_length
        found[name] = [range(begin + row * stride, begin + row * stride + length) for row in range(batch_size)]
        begin += length if split_by == "rows" else batch_size * length
    return found


def pieces_of_files(sizes: Sequence[int], batch_size: int, seq_length: int) -> dict[str, list[range]]:
    """Return the pieces of files for train, val and test, of so many symbols each, that follow one another.

    The last symbol of a file is a target only, so that no target is in another file. The symbols at the end of a file
    that fill no batch are left out.
    """
    found, begin = {}, 0
    for name, size in zip(SPLITS, sizes, strict=True):
        length = max(0, size - 1) // (batch_size * seq_length) * seq_length
        found[name] = [range(begin + row * length, begin + (row + 1) * length) for row in range(batch_size)]
        begin += size
    return found


def read_with(file: str, vocab: Vocabulary) -> tuple[np.ndarray, str]:
    """Return the ids of a file in a text's vocabulary, and its SHA-256. Raises UserError for an unknown symbol."""
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    its_vocab = survey([content], vocab.encoding, 1, file).vocab
    known = {id_ for id_, _ in its_vocab.shared(vocab)}
    unknown = [symbol for id_, symbol in enumerate(its_vocab.symbols) if id_ not in known]
    if unknown and vocab.unknown is None:
        raise UserError(
            f"{file} has {readable([unknown[0]], 0)}, which is not in the text that is trained on: remove it, or use "
            "-min_count, which adds an unknown symbol"
        )
    ids = np.concatenate(list(ids_in([content], vocab, file)))
    return ids, hashlib.sha256(content).hexdigest()


def joint_digest(digests: Sequence[str]) -> str:
    """Return the SHA-256 of several files' digests, or the digest of a single file."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def require_batch(text: str | os.PathLike, size: int, unit: str, batch_size: int, seq_length: int) -> None:
    """Raise UserError if `size` symbols of a text do not fill a batch."""
    if size < batch_size * seq_length:
        raise UserError(
            f"{text} holds {max(0, size)} {unit}, one batch needs batch_size * seq_length = "
            f"{batch_size * seq_length}: use a longer text, or {sizes_for(size)}"
        )


def split_sizes(nbatches: int, train_frac: float, val_frac: float) -> tuple[int, int, int]:
    """Return the number of batches in train, validation and test. Without a test fraction validation gets the rest.

    Computed in double precision as in the original, where 1 - (0.95 + 0.05) and 1 - (0.9 + 0.1) are exactly 0.
    """
    test_frac = max(0.0, 1 - (train_frac + val_frac))
    ntrain = int(nbatches * train_frac)
    nval = nbatches - ntrain if test_frac == 0 else int(nbatches * val_frac)
    return ntrain, nval, nbatches - ntrain - nval


def displayed_path(data_dir: str | os.PathLike) -> str:
    """Return the text's path for messages, with the folder as the user wrote it, like the original's path.join."""
    folder = os.fspath(data_dir)
    return f"{folder}input.txt" if folder.endswith(("/", os.sep)) else f"{folder}/input.txt"


def sizes_for(size: int) -> str:
    """Return options with which a text of `size` symbols makes 60 batches or more, ready to paste."""
    seq_length = max(1, min(50, size // 60))
    return f"-batch_size {max(1, min(50, size // (60 * seq_length)))} -seq_length {seq_length}"


def prepare(text: Path, echo: Callable[[str], None], name: str, encoding: str = "bytes", min_count: int = 1) -> Path:
    """Return the path of the text's cache. Preprocess the text first unless the cache is up to date.

    `name` is the text's name in messages.
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
    except BrokenPipeError:  # the reader of stdout has gone, which is no error of these files
        raise
    except OSError as error:
        raise UserError(f"cannot make {cache} from {text}: {error.strerror or error}") from error
    return cache


def cache_name(encoding: str, min_count: int) -> str:
    """Return the name of a cache. Each kind has its own name, so that runs do not overwrite each other's cache."""
    parts = ["" if encoding == "bytes" else f".{encoding}", "" if min_count == 1 else f".min_count_{min_count}"]
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


def cached_fingerprint(cache: Path, encoding: str, min_count: int) -> list[int] | None:
    """Return the fingerprint of a cache's text, or None if it is not a complete cache of this kind."""
    try:
        with cache.open("rb") as handle, h5py.File(handle, "r") as file:
            fingerprint = attribute(file, "text_fingerprint", 3, np.int64).tolist()
        vocab, data, _, _ = open_cache(cache, encoding, min_count)
    except Exception:  # h5py raises all kinds of errors for a corrupt file; the cache is then created again
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
    """Write the cache atomically, in two passes over the text, CHUNK bytes at a time.

    `name` is the cache's name in messages, by default its path. Raises UserError if the text changes meanwhile.
    """
    fingerprint = text_fingerprint(text)
    echo("loading text file...")
    echo("creating vocabulary mapping...")
    vocab, size, rare = survey(chunks(text, "creating vocabulary"), encoding, min_count, str(text))

    echo("putting data into tensor...")
    with atomic_hdf5(cache) as (file, out):
        file.attrs["text_fingerprint"] = fingerprint
        if min_count > 1:
            file.attrs["min_count"], file.attrs["rare"] = [min_count], rare
        file["vocab"] = as_numbers(vocab)
        data = file.create_dataset("data", (size,), id_type(len(vocab)))
        start, digest = 0, hashlib.sha256()
        for ids in ids_in(also_hash(digest.update, chunks(text, "preprocessing")), vocab, str(text)):
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


def also_hash(update: Callable[[bytes], None], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same chunks, and call a digest's `update` with each in another thread, so that it costs no time."""
    with ThreadPoolExecutor(1) as hasher:
        for chunk in chunks:
            hashed = hasher.submit(update, chunk)
            yield chunk
            hashed.result()


class Cache(NamedTuple):
    """The content of a cache, described at the top of this file."""

    vocab: Vocabulary
    ids: np.ndarray  # mapped into memory
    digest: str  # SHA-256 of the text
    rare: tuple[int, int]


def open_cache(cache: Path, encoding: str = "bytes", min_count: int = 1) -> Cache:
    """Open a cache. Raises OSError if it is not a cache of this kind."""
    # Opened once, so that ids and vocabulary are from the same file even if another process replaces it meanwhile.
    with cache.open("rb") as handle, h5py.File(handle, "r") as file:
        numbers, data = (contiguous_dataset(file, name) for name in ("vocab", "data"))
        if numbers is None or data is None or (encoding != "words" and numbers.size > CODE_POINTS):
            raise OSError(f"{cache} is not a cache of a text")
        its_min_count, rare = 1, (0, 0)
        if "min_count" in file.attrs:
            (its_min_count,) = attribute(file, "min_count", 1, np.int64)
            rare = tuple(attribute(file, "rare", 2, np.int64).tolist())
        vocab = Vocabulary(as_symbols(numbers[()], encoding), with_unknown=rare[0] > 0)
        if (numbers.dtype, data.dtype, its_min_count) != (SYMBOL_TYPES[encoding], id_type(len(vocab)), min_count):
            raise OSError(f"{cache} is a cache of another encoding or min_count")
        ids = np.memmap(handle, data.dtype, "r", offset=data.id.get_offset(), shape=data.shape)
        return Cache(vocab, ids, attribute(file, "text_sha256", 32, np.uint8).tobytes().hex(), rare)


def in_memory(text: Path, encoding: str, min_count: int) -> Cache:
    """Compute in memory what the text's cache would contain."""
    require_text(text)
    digest = hashlib.sha256()
    vocab, _, rare = survey(chunks(text, "creating vocabulary"), encoding, min_count, str(text))
    parts = list(ids_in(also_hash(digest.update, chunks(text, "preprocessing")), vocab, str(text)))
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

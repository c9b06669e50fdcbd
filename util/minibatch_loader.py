"""From a text to batches of character ids (the original's util/CharSplitLMMinibatchLoader.lua).

`data_dir/input.txt` is preprocessed once into `data_dir/data.h5`:

    vocab  uint8 [vocab_size]  the byte values that occur, in ascending order; the place is the id
    data   uint8 [bytes]       the text as ids
    attributes: text_fingerprint int64 [3], of the file it was made from; text_sha256 uint8 [32], of its bytes

Where that folder cannot be written, the same goes to the user's cache folder.

Ids count from 0 here (from 1 in Lua), so that a text may use all 256 byte values.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from util import progress
from util.errors import UserError
from util.files import user_cache, written_whole
from util.foreign import LFS_POINTER, kind_of
from util.vocabulary import Vocabulary

CHUNK = 1 << 20  # bytes of text held in memory at once


class MinibatchLoader:
    """Batches of a text in order, split into train, validation and test.

    `vocab` says what each id means, `ids` the text `[bytes]` uint8, in memory only where it is read; `places`
    `[seq_length + 1, rows]` are those of the first batch's ids and of its last targets. `split_sizes` counts the
    batches of each split, numbered as in the original's messages: 1 = train, 2 = validation, 3 = test (also as
    `ntrain`, `nval`, `ntest`). `left_out` counts the bytes at the end that make no batch. Of each batch only the given
    `rows` are read, by default all. Unless it `writes`, no cache is made, and the text is held in memory.

    Raises UserError for a missing or empty text, or one shorter than a batch.
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
        writes: bool = True,
    ) -> None:
        self.batch_size = batch_size
        self.seq_length = seq_length
        text = Path(data_dir, "input.txt")
        cache = prepare(text, echo, as_typed(data_dir)) if writes else None
        echo("loading data files...")
        symbols, self.ids, self.digest = open_cache(cache) if cache else in_memory(text)
        self.vocab = Vocabulary(symbols)
        self.vocab_size = len(self.vocab)

        batch_bytes = batch_size * seq_length
        self.nbatches, self.left_out = divmod(len(self.ids), batch_bytes)
        if self.nbatches == 0:
            raise UserError(
                f"{text} holds {len(self.ids)} bytes, one batch needs batch_size * seq_length = "
                f"{batch_bytes}: take a longer text, or {sizes_for(len(self.ids))}"
            )
        if self.left_out:
            echo("cutting off end of data so that the batches/sequences divide evenly")
            self.ids = self.ids[: self.nbatches * batch_bytes]
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
    """Options with which a text of so many bytes makes some 60 batches or more, ready to paste."""
    seq_length = max(1, min(50, size // 60))
    return f"-batch_size {max(1, min(50, size // (60 * seq_length)))} -seq_length {seq_length}"


def prepare(text: Path, echo: Callable[[str], None], name: str) -> Path:
    """The text's cache, after preprocessing unless it was made from just this file as it is now.

    `name` is what messages call the text.
    """
    require_text(text)
    fingerprint = text_fingerprint(text)
    cache = text.with_name("data.h5")
    if cached_fingerprint(cache) == fingerprint:
        return cache
    if not os.access(text.parent, os.W_OK):
        cache = cache_elsewhere(text)
        echo(f"{text.parent} cannot be written: the cache is {cache}")
        if cached_fingerprint(cache) == fingerprint:
            return cache
    if cache.exists():
        require_cache(cache)
        echo(f"{cache.name} detected as stale. Re-running preprocessing...")
    else:
        echo(f"{cache.name} does not exist. Running preprocessing...")
    echo(f"one-time setup: preprocessing input text file {name}...")
    try:
        beside = cache.parent == text.parent
        preprocess(text, cache, echo, name.removesuffix("input.txt") + cache.name if beside else "")
    except BrokenPipeError:  # nothing to do with these files: nobody reads what is printed
        raise
    except OSError as error:
        raise UserError(f"cannot make {cache} from {text}: {error.strerror or error}") from error
    return cache


def require_text(text: Path) -> None:
    """Raises UserError where there is no text, or only a note that stands for it."""
    if not text.is_file():
        raise UserError(f"no text at {text}: put one there, or name its folder with -data_dir")
    with text.open("rb") as file:
        begin = file.read(100)
    if kind_of(begin) is LFS_POINTER:
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


def cache_elsewhere(text: Path) -> Path:
    """In the user's cache folder, under a name that says where the text really lies."""
    name = hashlib.sha256(os.fsencode(text.resolve())).hexdigest()[:16]
    try:
        return user_cache(f"{name}.h5")
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        raise UserError(
            f"neither {text.parent} can be written nor the user's cache folder ({error}): name a folder for the cache "
            "with XDG_CACHE_HOME"
        ) from error


def text_fingerprint(text: Path) -> list[int]:
    """What changes whenever the file does: size in bytes, times of last modification and change in ns."""
    stat = text.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def cached_fingerprint(cache: Path) -> list[int] | None:
    """The fingerprint of the text that a cache was made from; None where the file is no whole cache."""
    try:
        with h5py.File(cache, "r") as file:
            fingerprint = attribute(file, "text_fingerprint", 3, np.int64).tolist()
        vocab, data, _ = open_cache(cache)
    except Exception:  # a damaged file makes h5py raise nearly anything; the cache is then made again
        return None
    whole = len(data) == fingerprint[0] and list(vocab) == sorted(set(vocab))
    return fingerprint if whole else None


def preprocess(text: Path, cache: Path, echo: Callable[[str], None] = print, name: str = "") -> None:
    """Write the cache in two passes over the text, CHUNK bytes at a time; then put it in place at once.

    `name` is what messages call the cache, by default its path.
    """
    fingerprint = text_fingerprint(text)
    echo("loading text file...")
    echo("creating vocabulary mapping...")
    vocab = symbols_of(text)

    echo("putting data into tensor...")
    ids = bytes.maketrans(vocab, bytes(range(len(vocab))))
    # The digest is computed beside, on another core, so that it takes no time.
    with written_whole(cache) as aside, ThreadPoolExecutor(1) as hasher:
        with h5py.File(aside, "w") as file:
            file.attrs["text_fingerprint"] = fingerprint
            file["vocab"] = np.frombuffer(vocab, np.uint8)
            data = file.create_dataset("data", (fingerprint[0],), np.uint8)
            start, digest = 0, hashlib.sha256()
            for chunk in chunks(text, "preprocessing"):
                hashed = hasher.submit(digest.update, chunk)
                data[start : start + len(chunk)] = np.frombuffer(chunk.translate(ids), np.uint8)
                start += len(chunk)
                hashed.result()
            file.attrs["text_sha256"] = np.frombuffer(digest.digest(), np.uint8)
        if text_fingerprint(text) != fingerprint:
            raise UserError(f"{text} changed while it was being read: run again")
        echo(f"saving {name or cache}")


def in_memory(text: Path) -> tuple[bytes, np.ndarray, str]:
    """What `open_cache` would give for the text's cache, without one."""
    require_text(text)
    vocab = symbols_of(text)
    ids = bytes.maketrans(vocab, bytes(range(len(vocab))))
    parts, digest = [], hashlib.sha256()
    for chunk in chunks(text, "preprocessing"):
        digest.update(chunk)
        parts.append(np.frombuffer(chunk.translate(ids), np.uint8))
    return vocab, np.concatenate(parts), digest.hexdigest()


def symbols_of(text: Path) -> bytes:
    """The byte values that occur in a text, in ascending order. Raises UserError where there are none."""
    seen = b""
    for chunk in chunks(text, "creating vocabulary"):
        # What is left after deleting all known bytes is new; that is soon nothing.
        seen += bytes(set(chunk.translate(None, delete=seen)))
    if not seen:
        raise UserError(f"{text} is empty: put a text there")
    return bytes(sorted(seen))


def chunks(text: Path, label: str) -> Iterator[bytes]:
    """The bytes of a file, CHUNK at a time; a bar with this label shows how far it is read."""
    with text.open("rb") as file, progress.bar(label, text.stat().st_size, "B") as bar:
        while chunk := file.read(CHUNK):
            yield chunk
            bar.reach(file.tell())


def open_cache(cache: Path) -> tuple[bytes, np.ndarray, str]:
    """The symbols and the ids `[bytes]` uint8 of a cache, the latter mapped into memory, and the text's SHA-256."""
    # Opened once, so that ids and vocabulary are of one file even while another process replaces it.
    with cache.open("rb") as handle, h5py.File(handle, "r") as file:
        vocab, data = (in_one_piece(file, name) for name in ("vocab", "data"))
        if vocab is None or data is None or vocab.size > 256:
            raise OSError(f"{cache} is not a cache of a text")
        ids = np.memmap(handle, np.uint8, "r", offset=data.id.get_offset(), shape=data.shape)
        return vocab[()].tobytes(), ids, attribute(file, "text_sha256", 32, np.uint8).tobytes().hex()


def in_one_piece(file: h5py.File, name: str) -> h5py.Dataset | None:
    """A list of bytes that lies in this file as it is; None for one that is packed, scattered or in another file.

    Of such a one a small file can claim any size.
    """
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        return None
    dataset = file[name]
    if dataset.dtype != np.uint8 or dataset.ndim != 1 or dataset.chunks or dataset.external or dataset.is_virtual:
        return None
    return dataset


def attribute(file: h5py.File, name: str, size: int, dtype: type) -> np.ndarray:
    """A list in the head of a cache. Raises OSError where it has another size or type than this."""
    described = file.attrs.get_id(name)
    if described.shape != (size,) or described.dtype != dtype:
        raise OSError(f"{name} is another")
    return file.attrs[name]

"""From a text to batches of character ids (the original's util/CharSplitLMMinibatchLoader.lua).

`data_dir/input.txt` is preprocessed once into `data_dir/data.h5`:

    vocab  uint8 [vocab_size]  the byte values that occur, in ascending order; the place is the id
    data   uint8 [bytes]       the text as ids

Ids count from 0 here (from 1 in Lua), so that a text may use all 256 byte values.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from util.errors import UserError
from util.files import written_whole

CHUNK = 1 << 20  # bytes of text held in memory while preprocessing


class MinibatchLoader:
    """Batches of a text in order, split into train, validation and test.

    `vocab` is the byte of each id. `split_sizes` counts the batches of each split, numbered as in the
    original's messages: 1 = train, 2 = validation, 3 = test (also as `ntrain`, `nval`, `ntest`).

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
    ) -> None:
        self.batch_size = batch_size
        self.seq_length = seq_length
        text, cache = Path(data_dir, "input.txt"), Path(data_dir, "data.h5")
        prepare(text, cache, echo)
        echo("loading data files...")
        self.vocab, self._data = open_cache(cache)
        self.vocab_size = len(self.vocab)

        batch_bytes = batch_size * seq_length
        self.nbatches, rest = divmod(len(self._data), batch_bytes)
        if self.nbatches == 0:
            raise UserError(
                f"{text} holds {len(self._data)} bytes, one batch needs batch_size * seq_length = "
                f"{batch_bytes}: lower -batch_size or -seq_length, or take a longer text"
            )
        if rest:
            echo("cutting off end of data so that the batches/sequences divide evenly")
            self._data = self._data[: self.nbatches * batch_bytes]
        echo("reshaping tensor...")
        # Row b of the batches is a run of consecutive text; these are where the rows begin.
        self._rows = np.arange(batch_size) * (self.nbatches * seq_length)

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
        self._batch_ix[split_index] = batch_index % self.split_sizes[split_index]

    def next_batch(self, split_index: int) -> tuple[np.ndarray, np.ndarray]:
        """The next batch of a split, from the first again after the last.

        Returns x and y, `[seq_length, batch_size]` int64: the ids, and those one character later.
        """
        number = self._batch_ix[split_index]
        self._batch_ix[split_index] = (number + 1) % self.split_sizes[split_index]
        start = (self._split_starts[split_index] + number) * self.seq_length
        index = np.arange(start, start + self.seq_length + 1)[:, None] + self._rows
        # The very last target is the first character of the text.
        ids = self._data[index % len(self._data)].astype(np.int64)
        if ids.max() >= self.vocab_size:
            raise UserError(f"{self._data.filename} is damaged: delete it, it will be made again")
        return ids[:-1], ids[1:]


def split_sizes(nbatches: int, train_frac: float, val_frac: float) -> tuple[int, int, int]:
    """Batches in train, validation and test; without a test fraction validation takes the rest.

    Computed in double as the original does, where 1 - (0.95 + 0.05) is exactly 0 (0.9 and 0.1 are too).
    """
    test_frac = max(0.0, 1 - (train_frac + val_frac))
    ntrain = int(nbatches * train_frac)
    nval = nbatches - ntrain if test_frac == 0 else int(nbatches * val_frac)
    return ntrain, nval, nbatches - ntrain - nval


def prepare(text: Path, cache: Path, echo: Callable[[str], None]) -> None:
    """Preprocess the text unless the cache was made from just this file as it is now."""
    if not text.is_file():
        raise UserError(f"no text at {text}: put one there, or name its folder with -data_dir")
    fingerprint = text_fingerprint(text)
    if not cache.exists():
        echo("data.h5 does not exist. Running preprocessing...")
    elif cached_fingerprint(cache) != fingerprint:
        echo("data.h5 detected as stale. Re-running preprocessing...")
    else:
        return
    echo(f"one-time setup: preprocessing input text file {text}...")
    try:
        preprocess(text, cache, echo)
    except OSError as error:
        raise UserError(f"cannot make {cache} from {text}: {error.strerror or error}") from error


def text_fingerprint(text: Path) -> list[int]:
    """What changes whenever the file does: size in bytes, times of last modification and change in ns."""
    stat = text.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def cached_fingerprint(cache: Path) -> list[int] | None:
    """The fingerprint of the text that a cache was made from; None where the file is no whole cache."""
    try:
        with h5py.File(cache, "r") as file:
            fingerprint = file.attrs["text_fingerprint"].tolist()
        vocab, data = open_cache(cache)
    except Exception:  # a damaged file makes h5py raise nearly anything; the cache is then made again
        return None
    whole = len(data) == fingerprint[0] and list(vocab) == sorted(set(vocab))
    return fingerprint if whole else None


def preprocess(text: Path, cache: Path, echo: Callable[[str], None] = print) -> None:
    """Write the cache in two passes over the text, CHUNK bytes at a time; then put it in place at once."""
    fingerprint = text_fingerprint(text)
    echo("loading text file...")
    echo("creating vocabulary mapping...")
    seen = b""
    for chunk in chunks(text):
        # What is left after deleting all known bytes is new; that is soon nothing.
        seen += bytes(set(chunk.translate(None, delete=seen)))
    vocab = bytes(sorted(seen))
    if not vocab:
        raise UserError(f"{text} is empty: put a text there")

    echo("putting data into tensor...")
    ids = bytes.maketrans(vocab, bytes(range(len(vocab))))
    with written_whole(cache) as aside:
        with h5py.File(aside, "w") as file:
            file.attrs["text_fingerprint"] = fingerprint
            file["vocab"] = np.frombuffer(vocab, np.uint8)
            data = file.create_dataset("data", (fingerprint[0],), np.uint8)
            start = 0
            for chunk in chunks(text):
                data[start : start + len(chunk)] = np.frombuffer(chunk.translate(ids), np.uint8)
                start += len(chunk)
        if text_fingerprint(text) != fingerprint:
            raise UserError(f"{text} changed while it was being read: run again")
        echo(f"saving {cache}")


def chunks(text: Path) -> Iterator[bytes]:
    """The bytes of a file, CHUNK at a time."""
    with text.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def open_cache(cache: Path) -> tuple[bytes, np.ndarray]:
    """The vocabulary and the ids `[bytes]` uint8 of a cache, the latter mapped into memory, not loaded."""
    with h5py.File(cache, "r") as file:
        vocab, data = file["vocab"], file["data"]
        if not vocab.dtype == data.dtype == np.uint8 or vocab.size > 256:
            raise OSError(f"{cache} is not a cache of a text")
        return vocab[()].tobytes(), np.memmap(cache, np.uint8, "r", offset=data.id.get_offset(), shape=data.shape)

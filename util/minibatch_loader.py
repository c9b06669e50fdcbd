"""Make batches of character ids from a text (the original's util/CharSplitLMMinibatchLoader.lua).

text_cache.py preprocesses the text and opens its ids. Ids count from 0 (in Lua from 1), so that a text may use all 256
byte values.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from charrnn_port.util.encodings import BYTES, Encoding, ids_in, survey
from charrnn_port.util.errors import UserError
from charrnn_port.util.text_cache import open_text
from charrnn_port.util.vocabulary import Vocabulary, readable

SPLITS = ("train", "val", "test")


class MinibatchLoader:
    """The batches of a text in order, split into train, validation and test.

    Arguments: `rows` are the rows of each batch that are read, by default all. With `writes` False no cache is written,
    and the whole text is held in memory. `encoding` says what the symbols are. `echo` prints messages. `split_by` is
    explained at `pieces_of`. With a `val_file`, and perhaps a `test_file`, these are validated and tested on, and all
    of the text trains: then `ids` are those of all files, one after the other, and held in memory.

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
        encoding: Encoding = BYTES,
        writes: bool = True,
        split_by: str = "rows",
        val_file: str = "",
        test_file: str = "",
    ) -> None:
        self.batch_size = batch_size
        self.seq_length = seq_length
        self.batch_targets = batch_size * seq_length
        text = Path(data_dir, "input.txt")
        self.vocab, self.ids, self.digest, self.rare = open_text(data_dir, echo, encoding, writes)
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
    its_vocab = survey([content], Encoding(vocab.encoding, vocab=vocab), file).vocab
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


def sizes_for(size: int) -> str:
    """Return options with which a text of `size` symbols makes 60 batches or more, ready to paste."""
    seq_length = max(1, min(50, size // 60))
    return f"-batch_size {max(1, min(50, size // (60 * seq_length)))} -seq_length {seq_length}"

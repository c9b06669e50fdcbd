"""Make batches of many short texts, such as names or tunes, each of which begins from the zero state.

A text ends with a separator, as in a file of lines. The separator is learned as its end; the last symbol of the
separator before a text is the first symbol that the network reads of it, from the zero state. So a text of n symbols
and a separator of k has n + k time steps.

A row of a batch holds one text at a time. A text of more than `seq_length` steps continues in the next batch, with the
carried state. The rest of a text's last batch is padding: its targets are IGNORED, and have no loss and no gradient.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charrnn_port.util.encodings import BYTES, Encoding
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import SPLITS, MinibatchLoader, joint_digest, read_with, split_sizes
from charrnn_port.util.text_cache import in_memory, open_text
from charrnn_port.util.vocabulary import IGNORED, Vocabulary


class Spans(NamedTuple):
    """Texts in a sequence of symbols: the position of the first symbol that is read, and the number of time steps."""

    starts: np.ndarray  # [texts] int64
    steps: np.ndarray  # [texts] int64; the last target is at start + steps


class Layout(NamedTuple):
    """The batches of a split: for each row, which part of a text it holds."""

    starts: np.ndarray  # [batches, batch_size] int64: position of its first symbol
    lengths: np.ndarray  # [batches, batch_size] int64: its time steps; the rest is padding
    begins: np.ndarray  # [batches, batch_size] bool: whether it is the beginning of a text


class ShortTextsLoader(MinibatchLoader):
    """The batches of many short texts, split into train, validation and test. See MinibatchLoader.

    Arguments: `separator` ends each text. Without `input.txt` in `data_dir`, all other files named .txt are joined,
    with the separator between them. With `split_by` "rows", the validation and test texts are spread evenly among the
    others; with "end" they are the last ones.

    Attributes: `seq_length` is the number of time steps of the longest text if that is less than the argument. `begins`
    `[rows]` are the rows of the last batch in which a text begins; there the carried state must be reset. `note` says
    how many texts there are, and how much is padding.

    Raises UserError also if the separator is not in the text.
    """

    padded = True

    def __init__(
        self,
        data_dir: str | os.PathLike,
        batch_size: int,
        seq_length: int,
        train_frac: float,
        val_frac: float,
        separator: bytes,
        echo: Callable[[str], None] = print,
        rows: slice = slice(None),
        encoding: Encoding = BYTES,
        writes: bool = True,
        split_by: str = "rows",
        val_file: str = "",
        test_file: str = "",
    ) -> None:
        self.batch_size, self._rows = batch_size, rows
        others = [file for file in (val_file, test_file) if file]
        if files := texts_in_folder(data_dir, others):
            echo(f"loading {len(files)} text files...")
            content = joined(files, separator)
            opened = in_memory(lambda label: [content], encoding, str(data_dir))
        else:
            opened = open_text(data_dir, echo, encoding, writes)
        self.vocab, ids, digest, self.rare = opened
        self.vocab_size, self.size = len(self.vocab), len(ids)
        self.require_known(ids)
        its_ids = ids_of(separator, self.vocab, ids, str(data_dir))
        streams, digests = [delimited(ids, its_ids)], [digest]
        for file in others:
            more, its_digest = read_with(file, self.vocab)
            streams.append(delimited(more, its_ids))
            digests.append(its_digest)
        self.ids, self.digest = np.concatenate(streams), joint_digest(digests)
        found, begin = [], 0
        for stream in streams:
            starts, steps = spans_in(stream, its_ids)
            found.append(Spans(starts + begin, steps))
            begin += len(stream)
        if not len(found[0].starts):
            raise UserError(f"there is no text in {data_dir}, only separators")
        if others:
            spans = dict(zip(SPLITS, [*found, Spans(starts[:0], steps[:0])], strict=False))
        else:
            spans = split(found[0], train_frac, val_frac, split_by)
            if files and len(found[0].starts) == 1 and not len(spans["train"].starts):
                raise UserError(
                    f"there is only one text in {data_dir}, and the split leaves none for training: rename "
                    f"{files[0].name} to input.txt, whose pieces are split"
                )

        self.seq_length = min(seq_length, max(int(each.steps.max(initial=1)) for each in found))
        layouts = (lay_out(spans[name], batch_size, self.seq_length) for name in SPLITS)
        self._layouts = dict(enumerate(layouts, 1))
        self.pieces = {
            name: [range(start, start + count + 1) for start, count in zip(*each, strict=True)]
            for name, each in spans.items()
        }
        self.split_sizes = {number: len(each.starts) for number, each in self._layouts.items()}
        self.ntrain, self.nval, self.ntest = self.split_sizes.values()
        self.nbatches, self.left_out = sum(self.split_sizes.values()), 0
        self._split_starts, self._batch_ix = {1: 0, 2: 0, 3: 0}, {1: 0, 2: 0, 3: 0}
        targets = sum(int(each.lengths.sum()) for each in self._layouts.values())
        padding = 1 - targets / (self.nbatches * self.batch_size * self.seq_length)
        lengths = np.concatenate([each.steps for each in found]) - len(its_ids)
        self.note = (
            f"{len(lengths):,} texts of {lengths.mean():.1f} {self.vocab.unit} on average, {lengths.max():,} at most: "
            f"{100 * padding:.0f} % of the batches of {batch_size} x {self.seq_length} is padding"
        )
        echo(f"data load done. Number of data batches in train: {self.ntrain}, val: {self.nval}, test: {self.ntest}")

    def next_start(self, split_index: int) -> int:
        """Return the number of a split's next batch, and advance; after the last comes the first."""
        return super().next_start(split_index) // self.seq_length

    def next_batch(self, split_index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the next batch of a split: x and y, `[seq_length, rows]` int64. y is IGNORED where padding begins."""
        number, layout = self.next_start(split_index), self._layouts[split_index]
        self.batch_targets = int(layout.lengths[number].sum())
        self.begins = layout.begins[number][self._rows]
        steps = np.arange(self.seq_length)[:, None]
        real = steps < layout.lengths[number][self._rows]
        places = np.where(real, layout.starts[number][self._rows] + steps, 0)
        x, y = (self.ids[each].astype(np.int64) for each in (places, places + 1))
        return x, np.where(real, y, IGNORED)

    def targets(self, split_index: int) -> int:
        """Return the number of targets in a split, without padding."""
        return int(self._layouts[split_index].lengths.sum())


def texts_in_folder(data_dir: str | os.PathLike, others: Sequence[str] = ()) -> list[Path]:
    """Return the files named .txt in a folder without an input.txt, sorted by name, except `others`."""
    if Path(data_dir, "input.txt").exists():
        return []
    left_out = {Path(other).resolve() for other in others}
    return sorted(path for path in Path(data_dir).glob("*.txt") if path.is_file() and path.resolve() not in left_out)


def joined(files: Sequence[Path], separator: bytes) -> bytes:
    """Return the contents of files, with the separator after each. Raises UserError for a file that cannot be read."""
    try:
        return b"".join(path.read_bytes() + separator for path in files)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror or error}") from error


def ids_of(separator: bytes, vocab: Vocabulary, text: np.ndarray, name: str) -> list[int]:
    """Return the ids of the separator. Raises UserError if one of its symbols is not in the text; `name` is its name.

    Raises UserError also for a separator that may be inside a token of byte pair encoding.
    """
    if vocab.encoding == "bpe" and max(separator) >= ord(" "):
        raise UserError(
            f"-separator {separator!r} may be inside a token of -encoding bpe: use \\n, \\t or \\x00, which are "
            "tokens of their own"
        )
    ids = vocab.encode(separator, "-separator", "skip")
    if not ids or vocab.decode(ids) != separator or not np.isin(ids, text).all():
        raise UserError(f"-separator {separator!r} is not in the text in {name}: name what stands between its texts")
    return ids


def delimited(units: np.ndarray, separator: Sequence[int]) -> np.ndarray:
    """Return a text with a separator before it, and one at its end unless it ends with one."""
    mark = np.array(separator, units.dtype)
    ends = len(units) >= len(mark) and np.array_equal(units[-len(mark) :], mark)
    return np.concatenate([mark, units, mark[:0] if ends else mark])


def spans_in(units: np.ndarray, separator: Sequence[int]) -> Spans:
    """Return the texts between separators, without empty ones. `units` begins and ends with a separator."""
    size = len(separator)
    found = np.flatnonzero(units[: len(units) - size + 1] == separator[0])
    for offset, unit in enumerate(separator):
        found = found[units[found + offset] == unit]
    if size > 1:  # of those that overlap, only the first is one
        kept, end = [], 0
        for place in found.tolist():
            if place >= end:
                kept.append(place)
                end = place + size
        found = np.array(kept, np.int64)
    starts, lengths = found[:-1] + size - 1, np.diff(found) - size
    return Spans(starts[lengths > 0], lengths[lengths > 0] + size)


def split(spans: Spans, train_frac: float, val_frac: float, split_by: str) -> dict[str, Spans]:
    """Return the texts of train, val and test: spread evenly among each other, or with "end" one after the other."""
    counts = split_sizes(len(spans.starts), train_frac, val_frac)
    number = np.repeat([0, 1, 2], counts)
    if split_by == "rows":
        middle = np.concatenate([(np.arange(count) + 0.5) / max(1, count) for count in counts])
        number = number[middle.argsort(kind="stable")]
    return {name: Spans(*(each[number == place] for each in spans)) for place, name in enumerate(SPLITS)}


def lay_out(spans: Spans, batch_size: int, seq_length: int) -> Layout:
    """Lay out texts in `batch_size` rows of about equal length, one text after the other, `seq_length` steps at a time.

    Each row holds consecutive texts. Rows that are shorter than the longest are padded with empty parts.
    """
    counts = -(-spans.steps // seq_length)  # parts of each text
    first, total = counts.cumsum() - counts, int(counts.sum())
    row = first * batch_size // max(1, total)
    part = np.arange(total) - np.repeat(first, counts)  # number of each part in its text
    rows = np.repeat(row, counts)
    height = np.bincount(rows, minlength=batch_size)
    place = np.arange(total) - np.repeat(height.cumsum() - height, height)  # number of each part in its row
    shape = int(height.max(initial=0)), batch_size
    starts, lengths, begins = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.ones(shape, bool)
    starts[place, rows] = np.repeat(spans.starts, counts) + part * seq_length
    lengths[place, rows] = np.minimum(seq_length, np.repeat(spans.steps, counts) - part * seq_length)
    begins[place, rows] = part == 0
    return Layout(starts, lengths, begins)

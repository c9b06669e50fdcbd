"""Read a text in blocks, so that memory does not grow with its length; or some pieces of it."""

import codecs
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from itertools import chain
from typing import BinaryIO, NamedTuple

import numpy as np

from charrnn_port.util.errors import UserError
from charrnn_port.util.short_texts import joined, texts_in_folder
from charrnn_port.util.vocabulary import Vocabulary, readable

BLOCK = 5120  # characters: a multiple of the segments and passes in scoring.py
BYTES = 1 << 16  # per read


Units = bytes | str | list[str] | list[bytes]


class Block(NamedTuple):
    """A run of n consecutive characters."""

    units: Units  # bytes, characters, words or tokens
    positions: np.ndarray  # [n] int64: position of each in the text, from 0, with gaps where characters were skipped
    line: int = 0  # the number of the line, from 1, in which a piece of the text begins; 0 if the block continues it

    def ids(self, vocab: Vocabulary) -> list[int]:
        """Return the characters' ids in a vocabulary."""
        return vocab.encode_units(self.units)


class TextStream:
    """Iterates over the blocks of a file, or of stdin for `-`.

    The first block has BLOCK + 1 characters, since the first character of a text has no prediction. The others have
    BLOCK, and the last has the rest. The same holds for each piece if only pieces of the text are read; for these the
    whole text is held in memory.

    Raises UserError if the file cannot be read, if only some of the vocabularies consist of bytes, and for a character
    that is missing in a vocabulary, unless `skip` is set.
    """

    def __init__(
        self,
        path: str,
        vocabs: dict[str, Vocabulary],
        skip: bool = False,
        cut: Callable[[bytes | str, str], list[Sequence[int]]] | None = None,
        separator: bytes = b"",
    ) -> None:
        """`vocabs` are vocabularies by the names of their checkpoints.

        `cut` returns the positions of each piece, from the whole text and its name. With a `separator` of short texts,
        there is one before the text, at negative positions, and one at its end; a folder is read as its .txt files.
        """
        if len({vocab for vocab in vocabs.values() if vocab.encoding == "bpe"}) > 1:
            raise UserError("these checkpoints read different tokens: only compare checkpoints with the same tokens")
        kinds = list(dict.fromkeys(vocab.kind for vocab in vocabs.values()))
        if len(kinds) > 1:
            raise UserError(
                f"some of these checkpoints read {kinds[0]}, others {kinds[1]}: only compare checkpoints with the "
                "same -encoding"
            )
        if path == "-" and not sys.stdin:
            raise UserError("cannot read stdin: it is closed")
        self.path = path
        self.name = "stdin" if path == "-" else path
        self.skipped = 0  # characters so far
        self._skip, self._cut, self._separator = skip, cut, separator
        # A vocabulary with an unknown symbol accepts every character.
        self._limits = {name: set(vocab.symbols) for name, vocab in vocabs.items() if vocab.unknown is None}
        self._vocab = next(iter(vocabs.values()))  # any of them, for the units, which are the same for all
        self._in_bytes = self._vocab.encoding in ("bytes", "bpe")
        self._none = self._vocab.units_of(b"")

    def __iter__(self) -> Iterator[Block]:
        if not self._cut:
            yield from self._blocks(self._known(), 1)
            return
        text, before = self.whole(), len(self._mark())
        newline, line, last = b"\n" if self._in_bytes else "\n", 1, before
        for places in self._cut(text, self.name):
            units = join((text[place : place + 1] for place in places), self._none)
            line, last = line + text[last : places[0]].count(newline), max(last, places[0])
            yield from self._blocks([self._known_of(units, np.array(places) - before)], line)

    def whole(self) -> Units:
        """Return the whole text, with unknown characters too, and with a separator before it and at its end."""
        text, mark = join(self.read(), self._none), self._mark()
        return mark + text + (self._none if mark == text[len(text) - len(mark) :] else mark)

    def _mark(self) -> Units:
        return self._vocab.units_of(self._separator)

    def _blocks(self, parts: Iterable[Block], line: int) -> Iterator[Block]:
        """Yield one piece of the text, which begins in this line, in blocks of the right size."""
        units, positions, size = self._none, np.empty(0, np.int64), BLOCK + 1
        for part in parts:
            units, positions = units + part.units, np.concatenate([positions, part.positions])
            place = 0
            while place + size <= len(units):
                yield Block(units[place : place + size], positions[place : place + size], line)
                place, size, line = place + size, BLOCK, 0
            units, positions = units[place:], positions[place:]
        if units:
            yield Block(units, positions, line)

    def _known(self) -> Iterator[Block]:
        """Yield the known characters of each chunk that is read."""
        position = 0
        for units in self.read():
            yield self._known_of(units, np.arange(position, position + len(units)))
            position += len(units)

    def read(self) -> Iterator[Units]:
        """Yield the characters of each chunk that is read; words and tokens are all in one chunk."""
        if self._vocab.of_characters:
            return self._chunks()
        return iter([self._vocab.units_of((b"" if self._in_bytes else "").join(self._chunks()))])

    def _chunks(self) -> Iterator[bytes | str]:
        decoder, read = codecs.getincrementaldecoder("utf-8")(), 0
        try:
            with self._open() as file:
                more = True
                while more:
                    chunk = file.read(BYTES)
                    more, read = bool(chunk), read + len(chunk)
                    units = chunk if self._in_bytes else decoder.decode(chunk, final=not more)
                    if units:
                        yield units
        except UnicodeDecodeError as error:
            place = read - len(error.object) + error.start
            byte = error.object[error.start]
            raise UserError(f"{self.name} is not UTF-8: byte {byte:#04x} at position {place}") from None
        except OSError as error:
            raise UserError(f"cannot read {self.name}: {error.strerror}") from error

    def _open(self) -> AbstractContextManager[BinaryIO]:
        if self.path == "-":
            return nullcontext(sys.stdin.buffer)
        if self._separator and (files := texts_in_folder(self.path)):
            return BytesIO(joined(files, self._separator))
        return open(self.path, "rb")

    def _known_of(self, units: bytes | str, positions: np.ndarray) -> Block:
        missing = set().union(*(set(units) - known for known in self._limits.values()))
        if not missing:
            return Block(units, positions)
        known = np.array([unit not in missing for unit in units])
        if not self._skip:
            place = int(np.argmin(known))
            names = [name for name, symbols in self._limits.items() if units[place] not in symbols]
            raise UserError(
                f"{self.name} has {readable(units, place)} at position {positions[place]} (from 0), which is not in "
                f"the vocabulary of {' and '.join(names)}: leave such characters out with -unknown skip"
            )
        self.skipped += int((~known).sum())
        kept = [unit for unit in units if unit not in missing]
        kept = kept if isinstance(units, list) else bytes(kept) if self._in_bytes else "".join(kept)
        return Block(kept, positions[known])


def join(parts: Iterable[Units], none: Units) -> Units:
    """Join parts of a text; `none` is an empty part."""
    return list(chain.from_iterable(parts)) if isinstance(none, list) else none.join(parts)


def encoded(units: Units) -> bytes:
    """Return a part of a text as bytes."""
    parts = units if isinstance(units, list) else [units]
    return b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)


def printable(units: bytes | str) -> str:
    """Return a line without its newline, and with control characters and invalid bytes as escapes."""
    text = units if isinstance(units, str) else units.decode(errors="backslashreplace")
    return shown(text.removesuffix("\n"))


def shown(text: str) -> str:
    """Return a text with escapes for what a terminal would interpret."""
    return "".join(map(visible, text))


def visible(character: str) -> str:
    """Return a character, or its escape sequence if a terminal would interpret it."""
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def characters_of(units: Units) -> list[str]:
    """Return a list of characters; bytes beyond ASCII, which are parts of characters, become escapes such as \\xc3.

    In tokens, these are only bytes that are no whole character, and control characters are escaped too.
    """
    if not isinstance(units, bytes):
        return [shown(unit.decode(errors="backslashreplace")) if isinstance(unit, bytes) else unit for unit in units]
    return [chr(unit) if unit < 128 else f"\\x{unit:02x}" for unit in units]

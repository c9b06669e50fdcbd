"""From a text's bytes to symbols and their ids, chunk by chunk: each byte is a symbol, or each character of UTF-8.

In UTF-8 a symbol is a code point. All are taken as they are: a byte order mark and carriage returns are characters
like any other, combining marks stand for themselves, and nothing is normalised.
"""

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary, not_utf_8

CODE_POINTS = 0x110000  # so many there may be in Unicode
SYMBOL_TYPES = {"bytes": np.uint8, "utf-8": np.uint32}


class Survey(NamedTuple):
    """What a first look at a text tells."""

    vocab: Vocabulary
    size: int  # of the text, in symbols
    rare: tuple[int, int]  # how many different symbols are rarer than min_count, and in how many places


def survey(chunks: Iterable[bytes], encoding: str, min_count: int, name: str) -> Survey:
    """The symbols of a text in ascending order; those that occur less than `min_count` times are one unknown symbol.

    Raises UserError, calling the text `name`, where it is empty or not UTF-8 or has nothing but rare symbols.
    """
    if (encoding, min_count) == ("bytes", 1):
        seen, size = b"", 0
        for chunk in chunks:
            # What is left after deleting all known bytes is new; that is soon nothing.
            seen += bytes(set(chunk.translate(None, delete=seen)))
            size += len(chunk)
        kept, rare = np.frombuffer(bytes(sorted(seen)), np.uint8), (0, 0)
    else:
        counts = np.zeros(CODE_POINTS, np.int64)
        for numbers in symbols_in(chunks, encoding, name):
            some = np.bincount(numbers)
            counts[: len(some)] += some
        few = counts[(counts > 0) & (counts < min_count)]
        kept = np.flatnonzero(counts >= min_count)
        size, rare = int(counts.sum()), (len(few), int(few.sum()))
    if not size:
        raise UserError(f"{name} is empty: put a text there")
    if not len(kept):
        raise UserError(f"no character of {name} occurs {min_count} times: lower -min_count")
    return Survey(Vocabulary(as_symbols(kept, encoding), with_unknown=rare[0] > 0), size, rare)


def ids_in(chunks: Iterable[bytes], vocab: Vocabulary, name: str) -> Iterator[np.ndarray]:
    """The ids of a text of which all symbols are known, or there is an unknown one: `[symbols]`, of `id_type`."""
    known, others = np.arange(len(vocab.symbols)), vocab.unknown or 0
    if vocab.encoding == "bytes":
        table = np.full(256, others, np.uint8)
        table[as_numbers(vocab)] = known
        ids = table.tobytes()
        return (np.frombuffer(chunk.translate(ids), np.uint8) for chunk in chunks)
    table = np.full(CODE_POINTS, others, id_type(len(vocab)))
    table[as_numbers(vocab)] = known
    return (table[numbers] for numbers in symbols_in(chunks, "utf-8", name))


def symbols_in(chunks: Iterable[bytes], encoding: str, name: str) -> Iterator[np.ndarray]:
    """The symbols of a text as numbers `[symbols]`: byte values uint8, or code points uint32.

    Raises UserError with the place of the first byte that is not UTF-8 where it should be.
    """
    if encoding == "bytes":
        yield from (np.frombuffer(chunk, np.uint8) for chunk in chunks)
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    size = 0  # in bytes, of what came before the chunk
    for chunk in chain(chunks, [b""]):
        cut_off, _ = decoder.getstate()  # the beginning of a character whose end is in this chunk
        try:
            characters = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            problem = not_utf_8(error, name, size - len(cut_off))
            raise UserError(f"{problem}: convert it to UTF-8, or take -encoding bytes") from None
        size += len(chunk)
        yield np.frombuffer(characters.encode("utf-32-le"), "<u4")


def as_symbols(numbers: np.ndarray, encoding: str) -> bytes | str:
    """Byte values or code points as Vocabulary has them. Raises ValueError for a number that is of no character."""
    if encoding == "bytes":
        return numbers.astype(np.uint8).tobytes()
    return numbers.astype("<u4").tobytes().decode("utf-32-le")


def as_numbers(vocab: Vocabulary) -> np.ndarray:
    """The reverse: uint8 or uint32, without the unknown symbol."""
    if vocab.encoding == "bytes":
        return np.frombuffer(vocab.symbols, np.uint8)
    return np.frombuffer(vocab.symbols.encode("utf-32-le"), "<u4")


def id_type(vocab_size: int) -> type[np.unsignedinteger]:
    """The smallest type that holds all ids."""
    return next(kind for kind in (np.uint8, np.uint16, np.uint32) if vocab_size <= np.iinfo(kind).max + 1)

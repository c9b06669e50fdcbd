"""Convert a text's bytes to symbols and their ids, chunk by chunk. Symbols are bytes, characters, words or tokens.

A character of UTF-8 is a code point. All are kept as they are: a byte order mark and carriage returns are ordinary
characters, combining marks are characters of their own, and nothing is normalized. Words, and the characters between
them, are those of WORD in vocabulary.py; together they are the whole text. Tokens are those of byte_pairs.py.
"""

import codecs
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from charrnn_port.util.byte_pairs import BytePairs, learn, whole_pieces
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import WORD, Vocabulary, not_utf_8

CODE_POINTS = 0x110000  # the number of code points in Unicode
SYMBOL_TYPES = {"bytes": np.uint8, "utf-8": np.uint32, "words": np.uint8, "bpe": np.uint32}


class Encoding(NamedTuple):
    """What the symbols of a text are: the options -encoding, -min_count and -vocab_size."""

    name: str = "bytes"
    min_count: int = 1  # symbols that occur less often become one unknown symbol
    vocab_size: int = 1000  # with bpe, the number of tokens to learn
    vocab: Vocabulary | None = None  # with bpe, a saved network's, to use instead of learning one


BYTES = Encoding()


class Survey(NamedTuple):
    """The result of the first pass over a text."""

    vocab: Vocabulary
    size: int | None  # number of symbols in the text; None with bpe, where it takes as long as encoding
    rare: tuple[int, int]  # number of distinct symbols rarer than min_count, and of their occurrences


def survey(chunks: Iterable[bytes], encoding: Encoding, name: str) -> Survey:
    """Collect the symbols of a text in ascending order; those that occur less than `min_count` times become unknown.

    With bpe, the tokens are learned, unless they are given. `name` is the text's name in messages. Raises UserError if
    the text is empty, not UTF-8, or has only rare symbols.
    """
    min_count = encoding.min_count
    if encoding.name == "bpe":
        chunks = iter(chunks)
        first = next(chunks, b"")
        require_not_empty(len(first), name)
        return Survey(encoding.vocab or learn(chain([first], chunks), encoding.vocab_size), None, (0, 0))
    if (encoding.name, min_count) == ("bytes", 1):
        seen, size = b"", 0
        for chunk in chunks:
            # Delete the known bytes: the rest is new. After the first chunks there is hardly ever a rest.
            seen += bytes(set(chunk.translate(None, delete=seen)))
            size += len(chunk)
        kept, rare = np.frombuffer(bytes(sorted(seen)), np.uint8), (0, 0)
    elif encoding.name == "words":
        words = Counter(chain.from_iterable(words_in(chunks, name)))
        kept = sorted(word for word, count in words.items() if count >= min_count)
        few = [count for count in words.values() if count < min_count]
        size, rare = words.total(), (len(few), sum(few))
    else:
        counts = np.zeros(CODE_POINTS, np.int64)
        for numbers in symbols_in(chunks, encoding.name, name):
            some = np.bincount(numbers)
            counts[: len(some)] += some
        few = counts[(counts > 0) & (counts < min_count)]
        kept = np.flatnonzero(counts >= min_count)
        size, rare = int(counts.sum()), (len(few), int(few.sum()))
    require_not_empty(size, name)
    if not len(kept):
        unit = "word" if encoding.name == "words" else "character"
        raise UserError(f"no {unit} of {name} occurs {min_count} times: lower -min_count")
    if encoding.name == "words":
        return Survey(Vocabulary(tuple(kept), with_unknown=rare[0] > 0), size, rare)
    return Survey(from_numbers(kept, encoding.name, rare[0] > 0), size, rare)


def require_not_empty(size: int, name: str) -> None:
    """Raise UserError if the size of the text called `name` is 0."""
    if not size:
        raise UserError(f"{name} is empty: put a text into it")


def ids_in(chunks: Iterable[bytes], vocab: Vocabulary, name: str) -> Iterator[np.ndarray]:
    """Return the ids of each chunk, `[symbols]` of `id_type`. Symbols not in the vocabulary get the unknown id."""
    known, others = np.arange(len(vocab.symbols)), vocab.unknown or 0
    if vocab.encoding == "bpe":
        return (np.array(vocab.encode(part), id_type(len(vocab))) for part in whole_pieces(chunks))
    if vocab.encoding == "bytes":
        table = np.full(256, others, np.uint8)
        table[as_numbers(vocab)] = known
        ids = table.tobytes()
        return (np.frombuffer(chunk.translate(ids), np.uint8) for chunk in chunks)
    if vocab.encoding == "words":
        ids, kind = {symbol: id_ for id_, symbol in enumerate(vocab.symbols)}, id_type(len(vocab))
        every = words_in(chunks, name)
        return (np.fromiter((ids.get(word, others) for word in words), kind, len(words)) for words in every)
    table = np.full(CODE_POINTS, others, id_type(len(vocab)))
    table[as_numbers(vocab)] = known
    return (table[numbers] for numbers in symbols_in(chunks, "utf-8", name))


def symbols_in(chunks: Iterable[bytes], encoding: str, name: str) -> Iterator[np.ndarray]:
    """Yield the symbols of each chunk as numbers `[symbols]`: byte values as uint8, or code points as uint32.

    Raises UserError with the position of the first byte that is not valid UTF-8.
    """
    if encoding == "bytes":
        yield from (np.frombuffer(chunk, np.uint8) for chunk in chunks)
        return
    yield from (np.frombuffer(some.encode("utf-32-le"), "<u4") for some in characters_in(chunks, name))


def words_in(chunks: Iterable[bytes], name: str) -> Iterator[list[str]]:
    """Yield the words of each chunk, and the characters between them. Raises UserError for invalid UTF-8."""
    rest = ""
    for characters in characters_in(chunks, name):
        rest += characters
        end = max(rest.rfind(" "), rest.rfind("\n")) + 1  # a word that ends with the chunk may go on in the next
        yield WORD.findall(rest[:end])
        rest = rest[end:]
    yield WORD.findall(rest)


def characters_in(chunks: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield the characters of each chunk. Raises UserError with the position of the first byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    size = 0  # bytes before the chunk
    for chunk in chain(chunks, [b""]):
        cut_off, _ = decoder.getstate()  # the first bytes of a character that ends in this chunk
        try:
            characters = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            problem = not_utf_8(error, name, size - len(cut_off))
            raise UserError(f"{problem}: convert it to UTF-8, or use -encoding bytes") from None
        size += len(chunk)
        yield characters


def from_numbers(numbers: np.ndarray, encoding: str, with_unknown: bool) -> Vocabulary:
    """Return the vocabulary of byte values, code points, a JSON list of words as bytes, or pairs of merged ids.

    Raises ValueError for an invalid code point, list or merge.
    """
    if encoding == "bpe":
        return BytePairs(numbers.reshape(-1, 2).tolist())
    if encoding == "words":
        return Vocabulary(tuple(json.loads(numbers.tobytes())), with_unknown)
    if encoding == "bytes":
        return Vocabulary(numbers.astype(np.uint8).tobytes(), with_unknown)
    return Vocabulary(numbers.astype("<u4").tobytes().decode("utf-32-le"), with_unknown)


def as_numbers(vocab: Vocabulary) -> np.ndarray:
    """Convert a vocabulary to numbers, uint8 or uint32, without the unknown symbol. See `from_numbers`."""
    if isinstance(vocab, BytePairs):
        return np.array(vocab.merges, np.uint32).reshape(-1)
    if vocab.encoding == "words":
        return np.frombuffer(json.dumps(vocab.symbols, ensure_ascii=False).encode(), np.uint8)
    if vocab.encoding == "bytes":
        return np.frombuffer(vocab.symbols, np.uint8)
    return np.frombuffer(vocab.symbols.encode("utf-32-le"), "<u4")


def id_type(vocab_size: int) -> type[np.unsignedinteger]:
    """Return the smallest unsigned type that holds all ids of a vocabulary."""
    return next(kind for kind in (np.uint8, np.uint16, np.uint32) if vocab_size <= np.iinfo(kind).max + 1)

"""The vocabulary: the symbols that a network knows, and the id of each."""

import re
from collections.abc import Iterable, Sequence

from charrnn_port.util.errors import UserError

IGNORED = -100  # the target of padding, which has no loss: PyTorch's ignore_index
REPLACEMENT = "\ufffd".encode()  # the replacement character of Unicode
WORD = re.compile(r"\w+(?:['’]\w+)*|.", re.DOTALL)  # a word, such as don't, or one character of what is between words


class Vocabulary:
    """Symbols and their ids: the id of a symbol is its index in `symbols`.

    If `symbols` is `bytes`, each symbol is a byte, as in the original. If it is a `str`, each is a Unicode character,
    and texts are UTF-8. If it is a tuple of `str`, each is a word, or a character between words (WORD). The order is
    arbitrary; the original's is ascending. `with_unknown` adds a last symbol for all other characters: `unknown` is its
    id, or None. Two vocabularies are equal if each id means the same symbol in both. Raises ValueError if `symbols` is
    empty or has a symbol twice.
    """

    def __init__(self, symbols: bytes | str | tuple[str, ...], with_unknown: bool = False) -> None:
        if not symbols or len(set(symbols)) != len(symbols):
            raise ValueError("invalid vocabulary: it has no symbols, or one of them twice")
        self.symbols = symbols
        self.unknown = len(symbols) if with_unknown else None
        self._ids = {symbol: id_ for id_, symbol in enumerate(symbols)}

    def __len__(self) -> int:
        return len(self.symbols) + (self.unknown is not None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.symbols, self.unknown) == (other.symbols, other.unknown)

    def __hash__(self) -> int:
        return hash((self.symbols, self.unknown))

    def __repr__(self) -> str:
        return f"Vocabulary({self.symbols!r}{'' if self.unknown is None else ', with_unknown=True'})"

    @property
    def encoding(self) -> str:
        """The encoding of texts, as in -encoding: bytes, utf-8, words or bpe (see byte_pairs.py)."""
        return "words" if isinstance(self.symbols, tuple) else "bytes" if isinstance(self.symbols, bytes) else "utf-8"

    @property
    def unit(self) -> str:
        """The unit that texts are measured in: bytes, characters, words or tokens."""
        return {"bytes": "bytes", "utf-8": "characters", "words": "words"}[self.encoding]

    @property
    def kind(self) -> str:
        """The kind of symbols, in words."""
        return {"bytes": "bytes", "utf-8": "Unicode characters", "words": "words"}[self.encoding]

    @property
    def of_characters(self) -> bool:
        """Whether symbols are characters or bytes."""
        return self.encoding in ("bytes", "utf-8")

    def units_of(self, text: bytes | str) -> Sequence:
        """Return a text in units that may be symbols: a `str` of characters, or a list of words. Bytes stay bytes."""
        if self.encoding == "bytes":
            return text
        characters = text.decode(errors="ignore") if isinstance(text, bytes) else text
        return WORD.findall(characters) if self.encoding == "words" else characters

    def encode(self, text: bytes, where: str = "the text", unknown: str = "error") -> list[int]:
        """Return the ids of a text. Symbols that are not in the vocabulary get the id of the unknown symbol.

        If the vocabulary has no unknown symbol, they raise UserError, as does invalid UTF-8; with `unknown` "skip" they
        are left out instead. `where` is the text's name in messages.
        """
        if unknown == "skip":
            return [self._ids[unit] for unit in self.units_of(text) if unit in self._ids]
        units = self.units_of(text if isinstance(self.symbols, bytes) else decode_utf8(text, where))
        return self.encode_units(units, where)

    def encode_units(self, units: Sequence, where: str = "the text") -> list[int]:
        """Return the ids of units as `units_of` returns them. See `encode`."""
        if self.unknown is not None:
            return [self._ids.get(unit, self.unknown) for unit in units]
        for position, unit in enumerate(units):
            if unit not in self._ids:
                newline = r" (for a newline, type $'\n' in the shell)" if unit in (ord("\\"), "\\") else ""
                raise UserError(
                    f"{where} has {readable(units, position)} at position {position} (from 0), "
                    f"which the training text never has: leave it out{newline}"
                )
        return [self._ids[unit] for unit in units]

    def decode(self, ids: Iterable[int]) -> bytes:
        """Return the text of some ids, with U+FFFD for the unknown symbol."""
        if self.unknown is not None:
            return b"".join(REPLACEMENT if id_ == self.unknown else self._bytes(id_) for id_ in ids)
        if isinstance(self.symbols, bytes):
            return bytes(self.symbols[id_] for id_ in ids)
        return "".join(self.symbols[id_] for id_ in ids).encode()

    def widths(self) -> list[int]:
        """Return the number of bytes of each symbol in a text; that of the unknown symbol, which varies, is 0."""
        return [len(self._bytes(id_)) for id_ in range(len(self.symbols))] + [0] * (self.unknown is not None)

    def _bytes(self, id_: int) -> bytes:
        """Return the bytes of a symbol in a text."""
        symbol = self.symbols[id_]
        return symbol.encode() if isinstance(symbol, str) else bytes([symbol])

    def shared(self, other: "Vocabulary") -> list[tuple[int, int]]:
        """Return the ids, here and in `other`, of each shared symbol. A byte equals the character it alone encodes."""
        its_ids = {other._bytes(id_): id_ for id_ in range(len(other.symbols))}
        pairs = [(id_, its_ids.get(self._bytes(id_))) for id_ in range(len(self.symbols))]
        return [pair for pair in [*pairs, (self.unknown, other.unknown)] if None not in pair]

    def require_same(self, other: "Vocabulary", otherwise: str = "") -> None:
        """Raise UserError if a text's vocabulary, `other`, is not equal to this one, a saved network's.

        `otherwise` is appended to the message: other things that the user can do.
        """
        if self == other:
            return
        problem = "the character vocabulary for this dataset and the one in the saved checkpoint are not the same: "
        if self.encoding != other.encoding:
            raise UserError(
                f"{problem}one is of {self.kind}, the other of {other.kind}. Use -encoding {self.encoding}{otherwise}"
            )
        if different := set(self.symbols) ^ set(other.symbols):
            symbol = min(different)
            place = "the checkpoint but not the text" if symbol in self._ids else "the text but not the checkpoint"
            problem += f"{readable([symbol], 0)} is in {place}"
        elif self.unknown != other.unknown:
            problem += "only one of them has an unknown symbol, which -min_count adds"
        else:
            problem += "they have the same characters in another order"
        raise UserError(f"{problem}. Train on a text with the {len(self)} characters of the checkpoint{otherwise}")


def decode_utf8(text: bytes, where: str) -> str:
    """Decode a text. Raises UserError if it is not valid UTF-8; `where` is its name in messages."""
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise UserError(not_utf_8(error, where)) from None


def not_utf_8(error: UnicodeDecodeError, where: str, begin: int = 0) -> str:
    """Return the message for invalid UTF-8 in bytes that begin at position `begin` of the text called `where`."""
    byte = error.object[error.start]
    return f"{where} is not UTF-8: byte {byte:#04x} at position {begin + error.start} ({error.reason})"


def readable(units: bytes | str | list, position: int) -> str:
    """Show a byte or character as the user wrote it: a byte inside a UTF-8 character is shown as that character."""
    if isinstance(units[position], str | bytes):
        return repr(units[position]).removeprefix("b")
    end = 0
    for character in bytes(units).decode(errors="surrogateescape"):
        end += len(character.encode(errors="surrogateescape"))
        if end > position:
            break
    byte = units[position]
    if character.isascii():
        return repr(character)
    return f"{character!r} (byte {byte:#04x})" if character.isprintable() else f"the byte {byte:#04x}"

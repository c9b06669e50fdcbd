"""Which symbols a network knows, and the id of each."""

from collections.abc import Iterable

from util.errors import UserError


class Vocabulary:
    """Symbols and their ids, which count from 0: `symbols` is what ids point into.

    `bytes`: each symbol is a byte, as in the original. `str`: each is a Unicode character, and texts are UTF-8.
    Any order will do; the original's is ascending. Two vocabularies are equal when the same id means the same symbol
    in both. Raises ValueError where a symbol occurs twice, or where there is none.
    """

    def __init__(self, symbols: bytes | str) -> None:
        if not symbols or len(set(symbols)) != len(symbols):
            raise ValueError("a vocabulary has no symbols, or one of them twice")
        self.symbols = symbols
        self._ids = {symbol: id_ for id_, symbol in enumerate(symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash(self.symbols)

    def __repr__(self) -> str:
        return f"Vocabulary({self.symbols!r})"

    def encode(self, text: bytes, where: str = "the text", unknown: str = "error") -> list[int]:
        """The ids of a text. Raises UserError for what the vocabulary lacks, and calls the text `where`.

        With "skip" for `unknown` that is left out, and so are bytes of no character where symbols are characters.
        """
        if unknown == "skip":
            units = text if isinstance(self.symbols, bytes) else text.decode(errors="ignore")
            return [self._ids[unit] for unit in units if unit in self._ids]
        units = text if isinstance(self.symbols, bytes) else decoded(text, where)
        for position, unit in enumerate(units):
            if unit not in self._ids:
                newline = r" (for a newline, type $'\n' in the shell)" if unit in (ord("\\"), "\\") else ""
                raise UserError(
                    f"{where} has {readable(units, position)} at position {position} (from 0), "
                    f"which the training text never has: leave it out{newline}"
                )
        return [self._ids[unit] for unit in units]

    def decode(self, ids: Iterable[int]) -> bytes:
        """The text of some ids."""
        if isinstance(self.symbols, bytes):
            return bytes(self.symbols[id_] for id_ in ids)
        return "".join(self.symbols[id_] for id_ in ids).encode()

    def require_same(self, other: "Vocabulary") -> None:
        """Raises UserError where the ids of a text (`other`'s) do not mean to a saved network what they mean here."""
        if self == other:
            return
        problem = "the character vocabulary for this dataset and the one in the saved checkpoint are not the same: "
        if type(self.symbols) is not type(other.symbols):
            problem += "one is of bytes, the other of Unicode characters"
        elif different := set(self.symbols) ^ set(other.symbols):
            symbol = min(different)
            place = "the checkpoint but not the text" if symbol in self._ids else "the text but not the checkpoint"
            problem += f"{readable([symbol], 0)} is in {place}"
        else:
            problem += "they have the same characters in another order"
        raise UserError(f"{problem}. Train on a text with the {len(self)} characters of the checkpoint")


def decoded(text: bytes, where: str) -> str:
    """The characters of a text. Raises UserError where it is no UTF-8."""
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8: byte {text[error.start]:#04x} at position {error.start}") from None


def readable(units: bytes | str | list, position: int) -> str:
    """A byte or character as a person wrote it: a byte within a UTF-8 text as the character it belongs to."""
    if isinstance(units[position], str):
        return repr(units[position])
    end = 0
    for character in bytes(units).decode(errors="surrogateescape"):
        end += len(character.encode(errors="surrogateescape"))
        if end > position:
            break
    byte = units[position]
    if character.isascii():
        return repr(character)
    return f"{character!r} (byte {byte:#04x})" if character.isprintable() else f"the byte {byte:#04x}"

"""Byte pair encoding (Gage 1994; Sennrich et al. 2016, arXiv:1508.07909): tokens of several bytes, learned from a text.

The first 256 tokens are the bytes, so that every text of bytes has tokens, and has itself back when they are joined.
Each merge adds a token: the two tokens that are most frequently neighbors, joined. Merges do not cross the pieces that
PIECE cuts a text into: a word or number with the space before it, a run of punctuation, spaces, or one control
character. So a line end is always a token of its own, and so is a tab.

The package tokenizers learns and applies the merges. It reads `str`: bytes are passed as the characters U+0000 to
U+00FF (latin-1).
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from types import ModuleType
from typing import Any

from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

PIECE = "[\0-\x1f]| ?[A-Za-z\x80-\xff]+| ?[0-9]+| ?[!-/:-@\\[-`{-~\x7f]+| +(?= )| "
BORDER = re.compile(rb"(?s).*(?:[\0-\x1f]|[^ ](?= ))")  # up to the last place where a piece surely ends
LONGEST = 64  # bytes in a token, so that the merges in a hostile file cannot make gigantic ones
RARE = 2  # pairs that occur less often are not merged


class BytePairs(Vocabulary):
    """A vocabulary of byte pair encoding. See Vocabulary.

    `merges` are pairs of ids: the token of the first has the id 256. Its symbols are `bytes`. Raises ValueError for an
    id that is not one of an earlier token, and for a token that is too long or is there twice.
    """

    encoding, unit, kind = "bpe", "tokens", "byte pair tokens"

    def __init__(self, merges: Iterable[tuple[int, int]]) -> None:
        self.merges = tuple((left, right) for left, right in merges)
        tokens = [bytes([value]) for value in range(256)]
        for pair in self.merges:
            if not all(isinstance(id_, int) and 0 <= id_ < len(tokens) for id_ in pair):
                raise ValueError("invalid vocabulary: it merges tokens that do not exist")
            tokens.append(tokens[pair[0]] + tokens[pair[1]])
            if len(tokens[-1]) > LONGEST:
                raise ValueError(f"invalid vocabulary: it has a token of more than {LONGEST} bytes")
        super().__init__(tuple(tokens))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BytePairs) and self.merges == other.merges

    def __hash__(self) -> int:
        return hash(self.merges)

    def __repr__(self) -> str:
        return f"BytePairs of {len(self)} tokens"

    def __reduce__(self) -> tuple[Any, ...]:
        return BytePairs, (self.merges,)

    def units_of(self, text: bytes | str) -> list[bytes]:
        """Return a text as a list of tokens."""
        return [self.symbols[id_] for id_ in self.encode(text)]

    def encode(self, text: bytes | str, where: str = "", unknown: str = "error") -> list[int]:
        """Return the ids of a text, of which every byte is known. Raises UserError without the package tokenizers."""
        content = text.encode() if isinstance(text, str) else text
        return self._tokenizer.encode(content.decode("latin-1")).ids if content else []

    def decode(self, ids: Iterable[int]) -> bytes:
        """Return the text of some ids."""
        return b"".join(self.symbols[id_] for id_ in ids)

    def _bytes(self, id_: int) -> bytes:
        return self.symbols[id_]

    @cached_property
    def _tokenizer(self) -> Any:
        names = [token.decode("latin-1") for token in self.symbols]
        pairs = [(names[left], names[right]) for left, right in self.merges]
        return tokenizer_of(library().models.BPE({name: id_ for id_, name in enumerate(names)}, pairs))


def learn(chunks: Iterable[bytes], vocab_size: int) -> BytePairs:
    """Return a vocabulary of `vocab_size` tokens, or fewer if no pair is left that occurs twice.

    The same text has the same tokens on any machine. Raises UserError without the package tokenizers.
    """
    names = [chr(value) for value in range(256)]
    trainer = library().trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=RARE, max_token_length=LONGEST, initial_alphabet=names, show_progress=False
    )
    tokenizer = tokenizer_of(library().models.BPE())
    tokenizer.train_from_iterator((part.decode("latin-1") for part in whole_pieces(chunks)), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    ids = model["vocab"]
    return BytePairs((ids[left], ids[right]) for left, right in model["merges"])


def library() -> ModuleType:
    """Return the package tokenizers. Raises UserError if it is not installed."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # threads gain nothing here, and make it warn about forks
    try:
        import tokenizers
    except ImportError:
        raise UserError("-encoding bpe needs the package tokenizers: pip install tokenizers") from None
    return tokenizers


def tokenizer_of(model: Any) -> Any:
    """Return a tokenizer that cuts texts into pieces for `model`."""
    tokenizers = library()
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(PIECE), "isolated")
    return tokenizer


def whole_pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same text, cut only where a piece ends."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        border = BORDER.match(rest)
        end = border.end() if border else 0
        yield rest[:end]
        rest = rest[end:]
    yield rest

"""With -encoding words, a symbol is a word or one character of what is between words; texts come back byte for byte."""

import h5py
import numpy as np
import pytest

from charrnn_port.util import text_cache
from charrnn_port.util.encodings import Encoding
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import MinibatchLoader
from charrnn_port.util.vocabulary import Vocabulary

TEXT = "It's  a “naïve” word, isn't it?\r\n\tIt isn’t: 文字 x_1 3.14 \n\n'quoted' e\u0301\ufeff\0 end"


@pytest.fixture(params=[1, 3, 1 << 20])
def chunk(request, monkeypatch):
    monkeypatch.setattr(text_cache, "CHUNK", request.param)


def load(folder, text: bytes, **how) -> MinibatchLoader:
    (folder / "input.txt").write_bytes(text)
    encoding = Encoding("words", how.pop("min_count", 1))
    return MinibatchLoader(folder, 1, 1, 1, 0, lambda line: None, encoding=encoding, **how)


@pytest.mark.parametrize("writes", [True, False])
def test_the_ids_are_the_text(tmp_path, chunk, writes):
    """Also where a chunk ends in a word, from the cache, and in memory."""
    for _ in range(2):  # the second time from the cache
        loader = load(tmp_path, TEXT.encode(), writes=writes)
        assert loader.vocab.decode(loader.ids.tolist()) == TEXT.encode()
        assert loader.ids.tolist() == loader.vocab.encode(TEXT.encode())
    assert list(loader.vocab.symbols) == sorted(loader.vocab.symbols)
    assert (tmp_path / "data.words.h5").exists() == writes


def test_what_a_word_is():
    units = Vocabulary(("a",)).units_of("don't stop—it’s 3.14 'x' \n".encode())
    assert units == ["don't", " ", "stop", "—", "it’s", " ", "3", ".", "14", " ", "'", "x", "'", " ", "\n"]


def test_rare_words_are_unknown(tmp_path):
    loader = load(tmp_path, b"the cat, the dog; the cat sat", min_count=2)
    assert loader.vocab.symbols == (" ", "cat", "the")
    assert loader.rare == (4, 4)  # , dog ; sat
    assert loader.vocab.decode(loader.ids.tolist()).decode() == "the cat� the �� the cat �"
    assert loader.vocab.widths() == [1, 3, 3, 0]
    with pytest.raises(UserError, match=r"no word of .* occurs 10 times"):
        load(tmp_path, b"a b", min_count=10)


def test_what_differs_from_other_encodings():
    words, characters = Vocabulary(("a", "b")), Vocabulary("ab")
    assert words != characters
    assert (words.encoding, words.unit, len(words)) == ("words", "words", 2)
    with pytest.raises(UserError, match=r"one is of words, the other of Unicode characters\. Use -encoding words"):
        words.require_same(characters)
    with pytest.raises(UserError, match="has 'ba' at position 1"):
        Vocabulary((" ", "a")).encode(b" ba")
    assert Vocabulary((" ", "a")).encode(b"a ba a", unknown="skip") == [1, 0, 0, 1]


def test_invalid_utf_8(tmp_path):
    with pytest.raises(UserError, match="not UTF-8: byte 0xff at position 4"):
        load(tmp_path, b"ab c\xff")


def test_a_corrupt_cache_is_made_again(tmp_path):
    load(tmp_path, TEXT.encode())
    with h5py.File(tmp_path / "data.words.h5", "r+") as file:
        del file["vocab"]
        file["vocab"] = np.frombuffer(b"no JSON", np.uint8)
    assert load(tmp_path, TEXT.encode()).vocab.decode([0]) == b"\0"

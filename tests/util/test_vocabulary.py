"""Symbols and their ids: bytes or characters, in any order; what is not among them is named as a person wrote it."""

import pytest

from util.errors import UserError
from util.vocabulary import Vocabulary

TIDE = "The tide: é, 文, 🙂".encode()


@pytest.mark.parametrize(
    "symbols", [bytes(sorted(set(TIDE))), bytes(set(TIDE)), "".join(sorted(set(TIDE.decode()))), "🙂文éThetid: ,"]
)
def test_there_and_back(symbols):
    vocab = Vocabulary(symbols)
    ids = vocab.encode(TIDE)
    assert vocab.decode(ids) == TIDE
    assert len(ids) == (len(TIDE) if isinstance(symbols, bytes) else len(TIDE.decode()))
    assert [symbols[id_] for id_ in ids] == list(TIDE if isinstance(symbols, bytes) else TIDE.decode())


def test_ids_are_places():
    assert Vocabulary(b"cab").encode(b"abc") == [1, 2, 0]
    assert len(Vocabulary(b"cab")) == 3


@pytest.mark.parametrize("symbols", [b"", "", b"aba", "文a文"])
def test_no_symbols_or_one_twice(symbols):
    with pytest.raises(ValueError, match="no symbols, or one of them twice"):
        Vocabulary(symbols)


def test_equal_where_ids_mean_the_same():
    assert Vocabulary(b"ab") == Vocabulary(b"ab")
    assert hash(Vocabulary(b"ab")) == hash(Vocabulary(b"ab"))
    others = (Vocabulary(b"ba"), Vocabulary(b"abc"), Vocabulary("ab"), b"ab")
    assert not [other for other in others if Vocabulary(b"ab") == other]


@pytest.mark.parametrize(
    ("symbols", "text", "words"),
    [
        (b"ab", b"abc", "-primetext has 'c' at position 2 (from 0)"),
        (b"ab", "aé".encode(), "-primetext has 'é' (byte 0xc3) at position 1"),
        (bytes([97, 0xC3]), "aé".encode(), "-primetext has 'é' (byte 0xa9) at position 2"),
        (b"ab", "ab🙂".encode(), "-primetext has '🙂' (byte 0xf0) at position 2"),
        (b"ab", b"a\xff", "-primetext has the byte 0xff at position 1"),
        ("ab", "a文".encode(), "-primetext has '文' at position 1"),
        ("aé", "éa文".encode(), "-primetext has '文' at position 2"),
        ("ab", b"a\xffb", "-primetext is not UTF-8: byte 0xff at position 1"),
    ],
)
def test_what_is_not_in_it(symbols, text, words):
    with pytest.raises(UserError) as error:
        Vocabulary(symbols).encode(text, "-primetext")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("symbols", "text", "left"),
    [
        (b"ab", b"bcab", b"bab"),
        (b"ab", "aéb".encode(), b"ab"),
        (b"ab", b"xyz", b""),
        ("aé", "文éxa".encode(), "éa".encode()),
        ("ab", b"a\xffb\xc3", b"ab"),
    ],
)
def test_what_is_not_in_it_may_be_left_out(symbols, text, left):
    vocab = Vocabulary(symbols)
    assert vocab.decode(vocab.encode(text, unknown="skip")) == left


@pytest.mark.parametrize(
    ("saved", "text", "words"),
    [
        (b"abc", b"ab", "'c' is in the checkpoint but not the text. Train on a text with the 3 characters"),
        (b"ab", b"aB", "'B' is in the text but not the checkpoint"),
        ("a文", "ab", "'b' is in the text but not the checkpoint"),
        (b"ab", "ab", "one is of bytes, the other of Unicode characters"),
        (b"ab", b"ba", "in another order"),
    ],
)
def test_vocabularies_that_differ(saved, text, words):
    with pytest.raises(UserError) as error:
        Vocabulary(saved).require_same(Vocabulary(text))
    assert words in str(error.value)


def test_the_same_vocabulary():
    Vocabulary(b"ab").require_same(Vocabulary(b"ab"))

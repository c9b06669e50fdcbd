"""Symbols and their ids, bytes or characters in any order; errors show an unknown symbol as the user wrote it."""

import pytest

from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

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


@pytest.mark.parametrize("symbols", [b"ab", "ab", "é文"])
def test_an_unknown_symbol(symbols):
    """The unknown symbol is the last one, and stands for all symbols that are not in the vocabulary."""
    vocab = Vocabulary(symbols, with_unknown=True)
    assert (vocab.unknown, len(vocab)) == (2, 3)
    first = vocab.decode([0])
    assert vocab.encode(first + b"\0x" + first) == [0, 2, 2, 0]
    assert vocab.decode([0, 2, 1]) == first + "\ufffd".encode() + vocab.decode([1])
    assert vocab != Vocabulary(symbols)
    assert hash(vocab) == hash(Vocabulary(symbols, with_unknown=True))
    assert eval(repr(vocab)) == vocab
    assert Vocabulary(symbols).unknown is None


def test_what_is_not_utf_8_is_no_unknown_symbol():
    with pytest.raises(UserError, match="-primetext is not UTF-8: byte 0xff at position 1"):
        Vocabulary("ab", with_unknown=True).encode(b"a\xff", "-primetext")


def test_unknown_symbols_make_vocabularies_differ():
    with pytest.raises(UserError, match="only one of them has an unknown symbol, which -min_count adds"):
        Vocabulary(b"ab").require_same(Vocabulary(b"ab", with_unknown=True))


@pytest.mark.parametrize(
    ("ours", "theirs", "shared"),
    [
        (Vocabulary("abé"), Vocabulary("éb"), [(1, 1), (2, 0)]),
        (Vocabulary(b"abc"), Vocabulary("cé"), [(2, 0)]),  # an ASCII byte equals the character
        (Vocabulary("é".encode()), Vocabulary("é"), []),  # one of several bytes of a character does not
        (Vocabulary("a", with_unknown=True), Vocabulary("ba", with_unknown=True), [(0, 1), (1, 2)]),
        (Vocabulary("a", with_unknown=True), Vocabulary("ba"), [(0, 1)]),
        (Vocabulary("a\ufffd"), Vocabulary("a", with_unknown=True), [(0, 0)]),  # U+FFFD only shows the unknown one
    ],
)
def test_what_two_vocabularies_share(ours, theirs, shared):
    assert ours.shared(theirs) == shared
    assert theirs.shared(ours) == sorted((b, a) for a, b in shared)

"""With -encoding bpe, a symbol is a token of bytes; every text has tokens, and comes back byte for byte."""

import os
import pickle
import random
import subprocess
import sys

import h5py
import pytest

from charrnn_port.util import byte_pairs, text_cache
from charrnn_port.util.byte_pairs import BytePairs, learn
from charrnn_port.util.encodings import Encoding
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import MinibatchLoader
from charrnn_port.util.short_texts import ShortTextsLoader

pytest.importorskip("tokenizers")

TEXT = "the cat, the  hat;\n\tthe “naïve” 文字 \r\n\n  it's 1234 1234 \0\ufeff!! the cat".encode() + b"\xff\x80" * 2
QUIET = {"echo": lambda line: None}


@pytest.fixture(params=[1, 3, 1 << 20])
def chunk(request, monkeypatch):
    monkeypatch.setattr(text_cache, "CHUNK", request.param)


def load(folder, text: bytes = TEXT, vocab_size: int = 300, vocab=None, **how) -> MinibatchLoader:
    if not (folder / "input.txt").exists():
        (folder / "input.txt").write_bytes(text)
    return MinibatchLoader(folder, 1, 1, 1, 0, encoding=Encoding("bpe", 1, vocab_size, vocab), **QUIET, **how)


@pytest.mark.parametrize("writes", [True, False])
def test_the_ids_are_the_text(tmp_path, chunk, writes):
    """Also where a chunk ends in a token, from the cache, and in memory."""
    for _ in range(2):  # the second time from the cache
        loader = load(tmp_path, writes=writes)
        assert loader.vocab.decode(loader.ids.tolist()) == TEXT
        assert loader.ids.tolist() == loader.vocab.encode(TEXT)
        assert len(loader.ids) < len(TEXT)
    assert (tmp_path / "data.bpe.vocab_size_300.h5").exists() == writes


def test_any_bytes_come_back():
    """Also those that are not UTF-8, and those that the text that was learned from never had."""
    vocab, chance = learn([TEXT], 300), random.Random(0)
    common = b" \n'a\xc3\xa9\xff\0"
    for size in range(100):
        text = bytes(chance.choices(common, k=size)) if size % 2 else chance.randbytes(size)
        ids = vocab.encode(text)
        assert vocab.decode(ids) == b"".join(vocab.units_of(text)) == text
        assert sum(vocab.widths()[id_] for id_ in ids) == size


def test_the_most_frequent_pair_is_merged_first():
    vocab = learn([b"abab abab abab cd cd xy"], 1000)
    assert vocab.symbols[:256] == tuple(bytes([value]) for value in range(256))
    assert vocab.symbols[256:258] == (b"ab", b"abab")  # six times, three times; all others occur twice
    assert set(vocab.symbols[258:]) == {b" abab", b" c", b" cd"}
    assert vocab.merges[:2] == ((97, 98), (256, 256))
    assert vocab.units_of(b"abab ababab\ncd") == [b"abab", b" abab", b"ab", b"\n", b"c", b"d"]


def test_a_control_character_is_a_token_of_its_own():
    """So is a line end, however many follow one another; thus separators are always found."""
    vocab = learn([b"a\n\n\n\tb\0\0" * 9], 300)
    assert not any(len(token) > 1 and min(token) < 32 for token in vocab.symbols)


def test_the_same_text_has_the_same_tokens_in_any_process():
    """Ties between pairs of the same frequency are decided alike, with any number of threads."""
    text = "bytes(range(32, 127)) * 5 + b' to be or not to be that is' * 2"
    program = f"from charrnn_port.util.byte_pairs import learn; print(learn([{text}], 500).merges)"
    found = set()
    for threads in ("1", "3"):
        environment = os.environ | {"RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"}
        answer = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        found.add(answer.stdout)
    assert len(found) == 1


def test_tokens_of_a_saved_network(tmp_path):
    """They are used instead of learning some; the caches of both have different names."""
    saved = learn([b"hat hat hat"], 300)
    loader = load(tmp_path, vocab=saved)
    assert loader.vocab == saved
    assert loader.vocab.decode(loader.ids.tolist()) == TEXT
    assert load(tmp_path).vocab != saved
    assert load(tmp_path, vocab=saved).vocab == saved
    assert len(list(tmp_path.glob("data.bpe.*.h5"))) == 2
    learned = load(tmp_path).vocab
    assert load(tmp_path, vocab=learned).vocab == learned
    assert len(list(tmp_path.glob("data.bpe.*.h5"))) == 2  # the cache of the same tokens is used


def test_a_cache_of_another_size_or_a_corrupt_one_is_made_again(tmp_path):
    load(tmp_path, vocab_size=260)
    os.replace(tmp_path / "data.bpe.vocab_size_260.h5", tmp_path / "data.bpe.vocab_size_300.h5")
    assert len(load(tmp_path).vocab) > 260
    with h5py.File(tmp_path / "data.bpe.vocab_size_300.h5", "r+") as file:
        file["vocab"][0] = 10**6
    assert load(tmp_path).vocab.decode([256]) == b"he"


def test_separators(tmp_path):
    (tmp_path / "input.txt").write_bytes(b"Anna\nAnnabel\n\nBo\n")
    loader = ShortTextsLoader(tmp_path, 1, 9, 1, 0, b"\n", encoding=Encoding("bpe", 1, 300), **QUIET)
    texts = [loader.vocab.decode(loader.ids[piece.start : piece.stop].tolist()) for piece in loader.pieces["train"]]
    assert texts == [b"\nAnna\n", b"\nAnnabel\n", b"\nBo\n"]
    for separator, problem in ((b"a", "may be inside a token"), (b"\t", "is not in the text")):
        with pytest.raises(UserError, match=problem):
            ShortTextsLoader(tmp_path, 1, 9, 1, 0, separator, encoding=Encoding("bpe", 1, 300), **QUIET)


def test_two_vocabularies():
    ours, other = BytePairs([(97, 98), (256, 99)]), BytePairs([(98, 99), (97, 256)])
    assert (ours.symbols[257], ours.encoding, ours.unit) == (other.symbols[257], "bpe", "tokens")
    assert ours != other
    assert pickle.loads(pickle.dumps(ours)) == ours
    with pytest.raises(UserError, match=r"'ab' is in the checkpoint but not the text"):
        ours.require_same(other)


@pytest.mark.parametrize("merges", [
    [(0, 256)], [(-1, 0)], [(0.5, 0)], [(97, 98), (97, 98)], [(97, 97), *((id_, id_) for id_ in range(256, 262))],
], ids=["id", "negative", "fraction", "twice", "too long"])  # fmt: skip
def test_invalid_merges(merges):
    with pytest.raises(ValueError, match="invalid vocabulary"):
        BytePairs(merges)


def test_without_the_package(monkeypatch):
    """The error says what to install; a text that needs no encoding is decoded without it."""
    vocab = learn([TEXT], 300)
    again = BytePairs(vocab.merges)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert (again.decode([256, 32]), again.encode(b"")) == (vocab.symbols[256] + b" ", [])
    for encodes in (lambda: again.encode(b"a"), lambda: byte_pairs.learn([TEXT], 300)):
        with pytest.raises(UserError, match="pip install tokenizers"):
            encodes()


def test_an_empty_text(tmp_path):
    with pytest.raises(UserError, match=r"input\.txt is empty"):
        load(tmp_path, b"")

"""In a UTF-8 text, symbols are code points, wherever chunks end; an error names the position of invalid UTF-8."""

import os
from collections import Counter

import h5py
import numpy as np
import pytest

from charrnn_port.util import text_cache
from charrnn_port.util.encodings import Encoding, id_type
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import MinibatchLoader

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # one glyph of five code points
TEXTS = {
    "ascii": "the quick brown fox; the five boxing wizards.\n" * 3,
    "cyrillic": "Всё смешалось в доме Облонских.\n" * 3,
    "chinese": "".join(map(chr, range(0x4E00, 0x4E00 + 500))) + "道可道，非常道。" * 20,
    "emoji": f"a{FAMILY}b{FAMILY}👍🏽" * 5,
    "combining": "e\u0301 é o\u0308 ö" * 5,  # not normalized: e and an accent are two symbols, é is one
    "bom": "\ufeffabc" * 2 + "def",
    "crlf": "one\r\ntwo\rthree\n" * 4,
    "ends": "\0\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff" * 3,  # of one to four bytes
}


@pytest.fixture(
    params=[3, 1 << 20, *(pytest.param(size, marks=pytest.mark.long) for size in (1, 2, 5, 64))],
    ids=lambda size: f"chunk={size}",
)
def chunk(request, monkeypatch):
    """Chunk sizes: small ones that split characters, and one that holds the whole text."""
    monkeypatch.setattr(text_cache, "CHUNK", request.param)


def load(folder, text: bytes, **how) -> MinibatchLoader:
    (folder / "input.txt").write_bytes(text)
    return loaded(folder, [], **how)


def loaded(folder, lines: list[str], **how) -> MinibatchLoader:
    """Load the text with one symbol in each batch; append the printed lines to `lines`."""
    return MinibatchLoader(folder, 1, 1, 1, 0, lines.append, encoding=encoding_of(**how))


def encoding_of(encoding: str = "bytes", min_count: int = 1) -> Encoding:
    return Encoding(encoding, min_count)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_ids_are_of_code_points(tmp_path, chunk, text):
    loader = load(tmp_path, text.encode(), encoding="utf-8")
    assert loader.vocab.symbols == "".join(sorted(set(text)))
    assert "".join(loader.vocab.symbols[id_] for id_ in loader.ids) == text
    assert loader.vocab.decode(loader.ids) == text.encode()
    assert loader.vocab.encode(text.encode()) == loader.ids.tolist()


@pytest.mark.parametrize("encoding", ["bytes", "utf-8"])
@pytest.mark.parametrize("min_count", [1, 2, 7, 15])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_rare_symbols_are_one(tmp_path, text, min_count, encoding):
    units = list(text.encode() if encoding == "bytes" else text)
    counts = Counter(units)
    kept = sorted(unit for unit in counts if counts[unit] >= min_count)
    rare = [unit for unit in counts if counts[unit] < min_count]
    if not kept:
        with pytest.raises(UserError, match=rf"no character of .* occurs {min_count} times: lower -min_count"):
            load(tmp_path, text.encode(), encoding=encoding, min_count=min_count)
        return
    loader = load(tmp_path, text.encode(), encoding=encoding, min_count=min_count)
    assert list(loader.vocab.symbols) == kept
    assert loader.vocab.unknown == (len(kept) if rare else None)
    assert loader.vocab_size == len(kept) + bool(rare)
    assert loader.rare == (len(rare), sum(counts[unit] for unit in rare))
    assert loader.ids.tolist() == [kept.index(unit) if unit in kept else len(kept) for unit in units]
    assert loader.vocab.encode(text.encode()) == loader.ids.tolist()


@pytest.mark.parametrize("what", ["at the start", "in the middle", "at the end"])
@pytest.mark.parametrize(
    ("wrong", "offset"),
    [
        (b"\xff", 0), (b"\x80", 0),  # an invalid byte; a continuation byte at the beginning
        (b"\xc0\xaf", 0), (b"\xe0\x80\xaf", 0), (b"\xf0\x80\x80\xaf", 0),  # overlong forms of /
        (b"\xed\xa0\x80", 0), (b"\xed\xb0\x80", 0),  # halves of surrogate pairs
        (b"\xf4\x90\x80\x80", 0),  # beyond Unicode
        (b"\xe6\x96 ", 0), ("文".encode() + b"\xd0 ", 3),  # cut off, then another character
    ],
)  # fmt: skip
def test_what_is_not_utf_8_is_told_by_its_place(tmp_path, chunk, wrong, offset, what):
    before = {"at the start": b"", "in the middle": "aé文🙂".encode(), "at the end": "aé文🙂".encode() * 20}[what]
    after = b"" if what == "at the end" else b"bcd"
    with pytest.raises(UserError) as error:
        load(tmp_path, before + wrong + after, encoding="utf-8")
    place = len(before) + offset
    assert f"input.txt is not UTF-8: byte {wrong[offset]:#04x} at position {place} (" in str(error.value)
    assert str(error.value).endswith("convert it to UTF-8, or use -encoding bytes")
    assert os.listdir(tmp_path) == ["input.txt"]
    assert load(tmp_path, before + wrong + after).vocab.unit == "bytes"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_last_character_is_cut_off(tmp_path, chunk, size):
    with pytest.raises(UserError, match=r"byte 0xf0 at position 6 \(unexpected end of data\)"):
        load(tmp_path, "é文a".encode() + "🙂".encode()[:size], encoding="utf-8")


def test_each_kind_has_its_cache(tmp_path):
    """Runs with different encodings have separate caches."""
    kinds = {
        "data.h5": {},
        "data.utf-8.h5": {"encoding": "utf-8"},
        "data.min_count_2.h5": {"min_count": 2},
        "data.utf-8.min_count_2.h5": {"encoding": "utf-8", "min_count": 2},
        "data.utf-8.min_count_3.h5": {"encoding": "utf-8", "min_count": 3},
    }
    (tmp_path / "input.txt").write_text(TEXTS["cyrillic"] + "文")
    loaders = {name: loaded(tmp_path, [], **how) for name, how in kinds.items()}
    for name, how in kinds.items():
        lines = []
        again = loaded(tmp_path, lines, **how)
        assert lines[0] == "loading data files..."
        assert again.vocab == loaders[name].vocab
        assert np.array_equal(again.ids, loaders[name].ids)
        assert again.digest == loaders["data.h5"].digest
    assert sorted(os.listdir(tmp_path)) == sorted([*kinds, "input.txt"])


def test_caches_elsewhere_have_names_of_their_own_too(tmp_path, monkeypatch):
    """The text's folder is read-only."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (tmp_path / "input.txt").write_text(TEXTS["cyrillic"])
    loaders = [
        loaded(tmp_path, [], **how) for how in ({}, {"encoding": "utf-8"}, {"encoding": "utf-8", "min_count": 4})
    ]
    names = sorted(path.name[16:] for path in (tmp_path / "home/charrnn_port").iterdir())
    assert names == [".h5", ".utf-8.h5", ".utf-8.min_count_4.h5"]
    assert len({loader.vocab for loader in loaders}) == 3


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        ("data.h5", "data.utf-8.h5"),
        ("data.utf-8.h5", "data.h5"),
        ("data.min_count_2.h5", "data.h5"),
        ("data.h5", "data.min_count_2.h5"),
        ("data.utf-8.min_count_2.h5", "data.utf-8.h5"),
        ("data.utf-8.min_count_2.h5", "data.utf-8.min_count_3.h5"),
    ],
)
def test_a_cache_by_the_name_of_another_kind_is_made_again(tmp_path, made, wanted):
    def kind(name: str) -> dict:
        min_count = {"min_count": int(name.split("min_count_")[1][0])} if "min_count" in name else {}
        return {"encoding": "utf-8" if "utf-8" in name else "bytes", **min_count}

    text = ("ab" * 5 + "文文").encode() + b"c"
    load(tmp_path, text, **kind(made))
    (tmp_path / made).rename(tmp_path / wanted)
    lines = []
    loader = loaded(tmp_path, lines, **kind(wanted))
    assert lines[0] == f"{wanted} detected as stale. Re-running preprocessing..."
    (tmp_path / wanted).unlink()
    assert loader.vocab == load(tmp_path, text, **kind(wanted)).vocab


def no_ids(file):
    del file["data"]
    file["data"] = np.zeros(0, np.uint8)


def disordered(file):
    file["vocab"][:] = file["vocab"][:][::-1]


def half_a_character(file):
    file["vocab"][-1] = 0xD800


def beyond_unicode(file):
    file["vocab"][-1] = 0x110000


def wider_ids(file):
    ids = file["data"][:].astype(np.uint16)
    del file["data"]
    file["data"] = ids


def no_count(file):
    file.attrs["min_count"] = [2]  # but the number of rare characters is missing


@pytest.mark.parametrize("damage", [no_ids, disordered, half_a_character, beyond_unicode, wider_ids, no_count])
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    text = TEXTS["cyrillic"].encode()
    before = load(tmp_path, text, encoding="utf-8")
    with h5py.File(tmp_path / "data.utf-8.h5", "r+") as file:
        damage(file)
    lines = []
    again = loaded(tmp_path, lines, encoding="utf-8")
    assert lines[0] == "data.utf-8.h5 detected as stale. Re-running preprocessing..."
    assert again.vocab == before.vocab


@pytest.mark.parametrize(("size", "kind"), [(1, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4")])
def test_ids_are_as_wide_as_they_need_be(tmp_path, size, kind):
    assert np.dtype(id_type(size)) == kind
    symbols = [chr(point) for point in range(0x10000, 0x10000 + size)]
    loader = load(tmp_path, "".join(symbols[::-1]).encode(), encoding="utf-8")
    assert loader.vocab_size == size
    assert loader.ids.dtype == kind
    assert np.array_equal(loader.ids, np.arange(size)[::-1])
    x, _ = loader.next_batch(1)
    assert (x.dtype, x[0, 0]) == (np.int64, size - 1)


def test_ids_outside_the_vocabulary_are_refused(tmp_path):
    load(tmp_path, "".join(map(chr, range(0x4E00, 0x4E00 + 300))).encode(), encoding="utf-8")
    with h5py.File(tmp_path / "data.utf-8.h5", "r+") as file:
        file["data"][:] = 300
    loader = loaded(tmp_path, [], encoding="utf-8")
    with pytest.raises(UserError, match=r"data\.utf-8\.h5 is corrupt: delete it"):
        loader.next_batch(1)


def test_a_text_too_short_counts_characters(tmp_path):
    (tmp_path / "input.txt").write_text("文文文")
    with pytest.raises(UserError, match=r"holds 3 characters, one batch needs batch_size \* seq_length = 4"):
        MinibatchLoader(tmp_path, 2, 2, 1, 0, lambda line: None, encoding=Encoding("utf-8"))


def test_an_empty_text(tmp_path):
    with pytest.raises(UserError, match=r"input\.txt is empty: put a text into it"):
        load(tmp_path, b"", encoding="utf-8")

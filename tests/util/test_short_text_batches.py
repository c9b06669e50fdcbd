"""Many short texts: one at a time in each row of a batch, each from the zero state, with padding that has no target."""

import numpy as np
import pytest

from charrnn_port.util.encodings import Encoding
from charrnn_port.util.errors import UserError
from charrnn_port.util.escapes import unescape
from charrnn_port.util.short_texts import ShortTextsLoader, spans_in, texts_in_folder
from charrnn_port.util.vocabulary import IGNORED

NAMES = [b"Anna", b"Bo", b"Cornelius", b"D", b"Eva", b"Frederick", b"Gus"]


def load(data_dir, batch_size=2, seq_length=4, fractions=(1, 0), separator=b"\n", **how):
    return ShortTextsLoader(data_dir, batch_size, seq_length, *fractions, separator, lambda line: None, **how)


@pytest.fixture
def names(tmp_path):
    (tmp_path / "input.txt").write_bytes(b"\n".join(NAMES) + b"\n")
    return tmp_path


def texts_of(loader, split) -> list[bytes]:
    """Return the texts that the rows of a split's batches read, each with what is predicted at its end."""
    found, rows = [], [[] for _ in range(loader.batch_size)]
    for _ in range(loader.split_sizes[split]):
        x, y = loader.next_batch(split)
        for row, its_x, its_y, begins in zip(rows, x.T, y.T, loader.begins, strict=True):
            real = its_y != IGNORED
            assert not real[real.sum() :].any()  # padding is at the end
            if begins and real.any():
                row.append(loader.vocab.decode(its_x[:1]))  # the separator before the text
            if real.any():
                row[-1] += loader.vocab.decode(its_y[real])
                assert row[-1].endswith(loader.vocab.decode([*its_x[real][1:], its_y[real][-1]]))
    for row in rows:
        found += row
    return found


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
@pytest.mark.parametrize("seq_length", [1, 2, 4, 10, 50])
def test_each_text_is_read_once_in_order(names, batch_size, seq_length):
    """From the separator before it to that at its end; each row holds consecutive texts."""
    loader = load(names, batch_size, seq_length)
    assert texts_of(loader, 1) == [b"\n" + name + b"\n" for name in NAMES]
    assert loader.seq_length == min(seq_length, 10)  # Cornelius and his end
    assert loader.targets(1) == sum(len(name) + 1 for name in NAMES)


def test_batches(names):
    """What is left in a text's last batch is padding: it is counted, and it has no target."""
    loader = load(names, 1, 4)
    x, y = loader.next_batch(1)
    assert (loader.vocab.decode(x[:, 0]), loader.vocab.decode(y[:, 0])) == (b"\nAnn", b"Anna")
    assert (loader.begins.tolist(), loader.batch_targets) == ([True], 4)
    x, y = loader.next_batch(1)
    assert (loader.vocab.decode(x[:1, 0]), y[1:, 0].tolist()) == (b"a", [IGNORED] * 3)
    assert (loader.vocab.decode(y[:1, 0]), loader.begins.tolist(), loader.batch_targets) == (b"\n", [False], 1)
    assert loader.note == "7 texts of 4.4 bytes on average, 9 at most: 21 % of the batches of 1 x 4 is padding"


def test_some_rows(names):
    """Processes that share a batch count the targets of all rows."""
    whole, part = load(names, 4), load(names, 4, rows=slice(1, 3))
    for _ in range(whole.ntrain):
        for some, every in zip(part.next_batch(1), whole.next_batch(1), strict=True):
            assert np.array_equal(some, every[:, 1:3])
        assert np.array_equal(part.begins, whole.begins[1:3])
        assert part.batch_targets == whole.batch_targets


@pytest.mark.parametrize(("split_by", "val"), [("rows", [b"Bo", b"Eva"]), ("end", [b"D", b"Eva"])])
def test_texts_are_split_whole(names, split_by, val):
    """The validation and test texts are spread evenly, or they are the last."""
    loader = load(names, fractions=(0.5, 0.3), split_by=split_by)
    found = [[text.strip() for text in texts_of(loader, split)] for split in (1, 2, 3)]
    assert [len(each) for each in found] == [3, 2, 2]
    assert sorted(text for each in found for text in each) == NAMES
    assert found[1] == val


def test_files_are_texts(tmp_path):
    """Sorted by name, and joined by the separator; input.txt, if there is one, is the only text."""
    for name, text in (("b", b"second\n"), ("a", b"first\n"), ("c", b"")):
        (tmp_path / f"{name}.txt").write_bytes(text)
    (tmp_path / "notes.md").write_bytes(b"no text")
    loader = load(tmp_path, separator=b"\0")
    assert texts_of(loader, 1) == [b"\0first\n\0", b"\0second\n\0"]
    assert texts_in_folder(tmp_path, [str(tmp_path / "b.txt")]) == [tmp_path / "a.txt", tmp_path / "c.txt"]
    (tmp_path / "input.txt").write_bytes(b"x\0y")
    assert texts_of(load(tmp_path, separator=b"\0"), 1) == [b"\0x\0", b"\0y\0"]


def test_files_that_validate(names):
    """Their texts are separated alike."""
    (names / "val.txt").write_bytes(b"Dan\nDon\nAnna")
    loader = load(names, val_file=str(names / "val.txt"))
    assert texts_of(loader, 1) == [b"\n" + name + b"\n" for name in NAMES]
    assert [text.strip() for text in texts_of(loader, 2)] == [b"Dan", b"Don", b"Anna"]
    assert loader.ntest == 0


@pytest.mark.parametrize(("text", "texts"), [
    (b"one\n\ntwo\n\nthree", [b"one\n\n", b"two\n\n", b"three\n\n"]),
    (b"\n\n\n\none\n\n\n\n\ntwo\n\n", [b"one\n\n", b"\ntwo\n\n"]),  # from left to right; empty texts are left out
    (b"a\nb\n\nc", [b"a\nb\n\n", b"c\n\n"]),
])  # fmt: skip
def test_a_separator_of_two_symbols(tmp_path, text, texts):
    """The last of its symbols before a text is read, and both are predicted at its end."""
    (tmp_path / "input.txt").write_bytes(text)
    assert texts_of(load(tmp_path, 1, separator=b"\n\n"), 1) == [b"\n" + each for each in texts]


def test_utf_8(tmp_path):
    (tmp_path / "input.txt").write_text("é·文字·", encoding="utf-8")
    loader = load(tmp_path, 1, separator="·".encode(), encoding=Encoding("utf-8"))
    assert [text.decode() for text in texts_of(loader, 1)] == ["·é·", "·文字·"]


def test_no_texts():
    assert spans_in(np.array([0, 0, 0]), [0]).starts.tolist() == []


@pytest.mark.parametrize(("content", "separator", "problem"), [
    (b"one text", b"\n", "is not in the text"), (b"\n\n", b"\n", "only separators"), (b"", b"\n", "is empty"),
])  # fmt: skip
def test_errors(tmp_path, content, separator, problem):
    (tmp_path / "input.txt").write_bytes(content)
    with pytest.raises(UserError, match=problem):
        load(tmp_path, separator=separator)


def test_escapes():
    assert unescape(r"\n\t\\\x41", "-separator") == b"\n\t\\A"
    with pytest.raises(UserError, match="-separator: unknown escape"):
        unescape(r"\q", "-separator")

"""Batches are those of the original; the cache is rebuilt if it does not belong to the text."""

import errno
import hashlib
import os
from contextlib import suppress

import h5py
import numpy as np
import pytest

from charrnn_port.util import text_cache
from charrnn_port.util.encodings import Encoding
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import MinibatchLoader, split_sizes
from charrnn_port.util.text_cache import CHUNK, open_cache, preprocess


def folder(tmp_path, text: bytes):
    (tmp_path / "input.txt").write_bytes(text)
    return tmp_path


def load(data_dir, batch_size=2, seq_length=3, train_frac=0.5, val_frac=0.25, lines=None):
    echo = (lambda line: None) if lines is None else lines.append
    return MinibatchLoader(data_dir, batch_size, seq_length, train_frac, val_frac, echo)


def test_batches_are_the_originals(tmp_path):
    text = bytes(range(97, 97 + 26))  # 26 letters: 24 are used, 4 batches of 2 rows of 3
    loader = load(folder(tmp_path, text))
    assert (loader.ntrain, loader.nval, loader.ntest) == (2, 1, 1)

    def letters(ids):
        return [loader.vocab.decode(row).decode() for row in ids.T]

    x, y = loader.next_batch(1)
    assert x.shape == y.shape == (3, 2)
    assert x.dtype == np.int64
    assert (letters(x), letters(y)) == (["abc", "mno"], ["bcd", "nop"])
    assert letters(loader.next_batch(1)[0]) == ["def", "pqr"]  # each row continues where it stopped
    assert letters(loader.next_batch(1)[0]) == ["abc", "mno"]  # the split wraps around
    assert letters(loader.next_batch(2)[0]) == ["ghi", "stu"]
    x, y = loader.next_batch(3)
    assert letters(x) == ["jkl", "vwx"]
    assert letters(y) == ["klm", "wxa"]  # the last target is the first character of the text
    loader.next_batch(1)
    loader.reset_batch_pointer(1)
    assert letters(loader.next_batch(1)[0]) == ["abc", "mno"]


def test_going_to_a_batch(tmp_path):
    """Batches of a split count from 0, and the first follows the last."""
    loader = load(folder(tmp_path, bytes(range(60))), batch_size=1, train_frac=0.5, val_frac=0.25)
    assert loader.split_sizes == {1: 10, 2: 5, 3: 5}
    for split, first in ((1, 0), (2, 30), (3, 45)):
        for batch, begin in ((0, 0), (3, 9), (loader.split_sizes[split], 0), (loader.split_sizes[split] + 1, 3)):
            loader.reset_batch_pointer(split, batch)
            assert loader.next_start(split) == first + begin
    loader.reset_batch_pointer(2, 4)
    assert [loader.next_start(2) for _ in range(3)] == [42, 30, 33]


def test_each_row_is_a_run_of_the_text(tmp_path):
    loader = load(folder(tmp_path, bytes(range(60))), batch_size=4, train_frac=1, val_frac=0)
    batches = [loader.next_batch(1) for _ in range(5)]
    x, y = (np.concatenate(ids).T for ids in zip(*batches, strict=True))
    assert np.array_equal(x, np.arange(60).reshape(4, 15))
    assert np.array_equal(y, (x + 1) % 60)


def test_some_rows_of_the_batches(tmp_path):
    folder(tmp_path, bytes(range(65)))
    whole = load(tmp_path, batch_size=4, train_frac=1, val_frac=0)
    part = MinibatchLoader(tmp_path, 4, 3, 1, 0, lambda line: None, rows=slice(1, 3))
    assert part.places.shape == (4, 2)
    for _ in range(whole.ntrain):
        for some, every in zip(part.next_batch(1), whole.next_batch(1), strict=True):
            assert np.array_equal(some, every[:, 1:3])


PREPROCESSING = [
    "data.h5 does not exist. Running preprocessing...",
    "one-time setup: preprocessing input text file {text}...",
    "loading text file...",
    "creating vocabulary mapping...",
    "putting data into tensor...",
    "saving {cache}",
]
CUT_OFF = "cutting off end of data so that the batches/sequences divide evenly"
FEW = (
    "WARNING: less than 50 batches in the data in total? Looks like very small dataset. "
    "You probably want to use smaller batch_size and/or seq_length."
)


@pytest.mark.parametrize(("size", "nbatches"), [(6 * 49, 49), (6 * 49 + 5, 49), (6 * 50, 50), (6 * 50 + 1, 50)])
def test_what_is_said(tmp_path, size, nbatches):
    """The lines are the original's except for file names; those of preprocessing appear only if it is done."""
    folder(tmp_path, b"a" * size)
    names = {"text": tmp_path / "input.txt", "cache": tmp_path / "data.h5"}
    counts = {49: "train: 24, val: 12, test: 13", 50: "train: 25, val: 12, test: 13"}[nbatches]
    loading = ["loading data files...", *[CUT_OFF] * (size % 6 > 0), "reshaping tensor...", *[FEW] * (nbatches < 50)]
    loading.append(f"data load done. Number of data batches in {counts}")
    first, second = [], []
    loader = load(tmp_path, lines=first)
    load(tmp_path, lines=second)
    assert first == [line.format(**names) for line in PREPROCESSING] + loading
    assert second == loading
    assert len(loader.ids) == nbatches * 6


def test_a_text_of_one_batch_is_enough(tmp_path):
    x, y = load(folder(tmp_path, b"abcdef"), train_frac=1, val_frac=0).next_batch(1)
    assert (x.T.tolist(), y.T.tolist()) == ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 0]])
    (tmp_path / "input.txt").write_bytes(b"abcde")
    with pytest.raises(UserError, match=r"input\.txt holds 5 bytes, one batch needs batch_size \* seq_length = 6: "):
        load(tmp_path)


@pytest.mark.parametrize(
    ("nbatches", "fractions", "expected"),
    [
        (446, (0.95, 0.05), (423, 23, 0)),  # tinyshakespeare at the defaults
        (1000, (0.95, 0.05), (950, 50, 0)),
        (1000, (0.8, 0.1), (800, 100, 100)),
        (1000, (0.7, 0.2), (700, 200, 100)),
        (10, (1.0, 0.0), (10, 0, 0)),
        (10, (0.0, 1.0), (0, 10, 0)),
    ],
)
def test_split_sizes(nbatches, fractions, expected):
    assert split_sizes(nbatches, *fractions) == expected


def test_vocabulary_is_sorted_by_unsigned_byte_and_may_have_all_256(tmp_path):
    text = bytes(range(255, -1, -1)) * 8
    loader = load(folder(tmp_path, text))
    assert loader.vocab.symbols == bytes(range(256))
    assert loader.next_batch(1)[0][:, 0].tolist() == [255, 254, 253]


def test_preprocessing_works_across_chunks(tmp_path):
    text = np.random.RandomState(1).randint(30, 200, 2 * CHUNK + 5, np.uint8)
    preprocess(folder(tmp_path, text.tobytes()) / "input.txt", tmp_path / "data.h5", lambda line: None)
    cache = open_cache(tmp_path / "data.h5")
    assert np.array_equal(np.frombuffer(cache.vocab.symbols, np.uint8)[cache.ids], text)


def test_cache_is_used_again(tmp_path):
    folder(tmp_path, b"hello world. " * 10)
    load(tmp_path)
    lines = []
    load(tmp_path, lines=lines)
    assert lines[0] == "loading data files..."


def rewrite_in_place(tmp_path):
    """Another text of the same size and the same modification time."""
    text = tmp_path / "input.txt"
    stat = text.stat()
    text.write_bytes(b"HELLO WORLD. " * 10)
    os.utime(text, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def set_back_the_clock(tmp_path):
    """A newer text with an older date."""
    (tmp_path / "input.txt").write_bytes(b"HELLO WORLD! " * 10)
    os.utime(tmp_path / "input.txt", (1, 1))


def truncate_cache(tmp_path):
    """A cache cut short, as a full disk leaves one."""
    cache = tmp_path / "data.h5"
    cache.write_bytes(cache.read_bytes()[:1000])


def replace_cache(tmp_path):
    """Another HDF5 file under the cache's name."""
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["something"] = 1


def other_sizes(tmp_path):
    """A cache whose data is shorter than its text."""
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        del file["data"]
        file["data"] = np.zeros(7, np.uint8)


def other_types(tmp_path):
    """A cache whose data are numbers of another type."""
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        size = len(file["data"])
        del file["data"]
        file["data"] = np.zeros(size, np.float64)


def change_vocabulary(tmp_path, change):
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        vocab = change(file["vocab"][()])
        del file["vocab"]
        file["vocab"] = vocab


def disorder_vocabulary(tmp_path):
    """A cache whose characters are not in order."""
    change_vocabulary(tmp_path, lambda vocab: vocab[::-1])


def repeat_character(tmp_path):
    """A cache that has one character twice."""
    change_vocabulary(tmp_path, lambda vocab: vocab[[0, *range(len(vocab))]])


def other_characters(tmp_path):
    """A cache whose characters are numbers of another type."""
    change_vocabulary(tmp_path, lambda vocab: vocab.astype(np.int64))


def pack(tmp_path, name):
    """Compress a dataset of the cache: a small file can then claim any size."""
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        values = file[name][()]
        del file[name]
        file.create_dataset(name, data=values, chunks=True, compression="gzip")


def packed_vocabulary(tmp_path):
    """A cache whose characters are compressed."""
    pack(tmp_path, "vocab")


def packed_ids(tmp_path):
    """A cache whose ids are compressed."""
    pack(tmp_path, "data")


def endless_vocabulary(tmp_path):
    """A cache that claims more characters than memory holds."""
    change_dataset(tmp_path, "vocab", shape=(10**15,), dtype=np.uint8, chunks=(2**30,), compression="gzip")


def endless_ids(tmp_path):
    """A cache that claims more ids than memory holds."""
    change_dataset(tmp_path, "data", shape=(10**15,), dtype=np.uint8)


def ids_in_rows(tmp_path):
    """A cache with the right number of ids in rows of two."""
    change_dataset(tmp_path, "data", data=np.zeros(((tmp_path / "input.txt").stat().st_size, 2), np.uint8))


def ids_elsewhere(tmp_path):
    """A cache whose ids are in another file."""
    size = (tmp_path / "input.txt").stat().st_size
    change_dataset(tmp_path, "data", shape=(size,), dtype=np.uint8, external=[("/dev/zero", 0, size)])


def virtual_ids(tmp_path):
    """A cache whose ids come from other datasets (a virtual dataset)."""
    size = (tmp_path / "input.txt").stat().st_size
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        layout = h5py.VirtualLayout((size,), np.uint8)
        layout[:] = h5py.VirtualSource(file["data"])
        file.move("data", "other")
        file.create_virtual_dataset("data", layout)


def linked_ids(tmp_path):
    """A cache whose ids are linked from another file."""
    (tmp_path / "data.h5").rename(tmp_path.parent / "other.h5")
    with h5py.File(tmp_path / "data.h5", "w") as file, h5py.File(tmp_path.parent / "other.h5") as other:
        file.attrs["text_fingerprint"] = other.attrs["text_fingerprint"]
        other.copy("vocab", file)
        file["data"] = h5py.ExternalLink(tmp_path.parent / "other.h5", "data")


def groups(tmp_path):
    """A cache with groups instead of datasets."""
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        del file["data"]
        file.create_group("data")


def change_dataset(tmp_path, name, **changed):
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        del file[name]
        file.create_dataset(name, **changed)


CHANGES = [
    rewrite_in_place, set_back_the_clock, truncate_cache, replace_cache, other_sizes, other_types,
    disorder_vocabulary, repeat_character, other_characters, packed_vocabulary, packed_ids, endless_vocabulary,
    endless_ids, ids_in_rows, ids_elsewhere, virtual_ids, linked_ids, groups,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_cache_is_rebuilt(tmp_path, change):
    folder(tmp_path, b"hello world. " * 10)
    load(tmp_path)
    change(tmp_path)
    lines = []
    loader = load(tmp_path, lines=lines)
    assert lines[0] == "data.h5 detected as stale. Re-running preprocessing..."
    assert loader.vocab.symbols == bytes(sorted(set((tmp_path / "input.txt").read_bytes())))
    assert sorted(os.listdir(tmp_path)) == ["data.h5", "input.txt"]


def test_only_lists_that_lie_in_one_piece_are_mapped(tmp_path):
    """Otherwise other parts of the file might be mapped."""
    folder(tmp_path, b"hello world. " * 10)
    for change in (packed_vocabulary, packed_ids, endless_vocabulary, ids_in_rows, virtual_ids, linked_ids, groups):
        load(tmp_path)
        change(tmp_path)
        with pytest.raises(OSError, match="is not a cache of a text"):
            open_cache(tmp_path / "data.h5")


def test_data_of_torch_rnn_are_not_overwritten(tmp_path):
    folder(tmp_path, b"hello world. " * 10)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for split in ("train", "val", "test"):
            file[split] = np.zeros(3, np.uint8)
    before = (tmp_path / "data.h5").read_bytes()
    with pytest.raises(UserError, match=r"data\.h5 is torch-rnn's preprocessed text, .*: move it, or copy input\.txt"):
        load(tmp_path)
    assert (tmp_path / "data.h5").read_bytes() == before
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        del file["val"]
    assert load(tmp_path).nbatches


def test_a_text_that_was_not_fetched(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0\nsize 12345\n"
    folder(tmp_path, pointer)
    with pytest.raises(UserError, match=r"input\.txt is a Git LFS pointer .*: download the file itself: git lfs pull$"):
        load(tmp_path)
    assert os.listdir(tmp_path) == ["input.txt"]
    folder(tmp_path, b"about " + pointer)
    assert load(tmp_path).nbatches


@pytest.mark.parametrize("beyond", [1, 200])
def test_ids_outside_the_vocabulary_are_refused(tmp_path, beyond):
    folder(tmp_path, b"hello world. " * 10)
    last = load(tmp_path).vocab_size - 1
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        file["data"][:] = last
    assert load(tmp_path).next_batch(1)[0].tolist() == [[last, last]] * 3
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        file["data"][:] = last + beyond
    with pytest.raises(UserError, match=r"data\.h5 is corrupt"):
        load(tmp_path).next_batch(1)


def test_mutated_caches(tmp_path):
    """With random bytes anywhere, a cache is rebuilt, refused or read; there is never another error."""
    folder(tmp_path, b"hello world. " * 10)
    load(tmp_path)
    whole = (tmp_path / "data.h5").read_bytes()
    generator = np.random.RandomState(1)
    for _ in range(100):
        changed = bytearray(whole)
        for place in generator.randint(0, len(whole), generator.randint(1, 20)):
            changed[place] = generator.randint(256)
        (tmp_path / "data.h5").write_bytes(changed)
        with suppress(UserError):
            load(tmp_path).next_batch(1)


def test_a_failed_preprocessing_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="is empty"):
        load(folder(tmp_path, b""))
    assert os.listdir(tmp_path) == ["input.txt"]


@pytest.mark.parametrize("encoding", ["bytes", "utf-8"])
def test_a_text_that_grows_while_it_is_read(tmp_path, monkeypatch, encoding):
    """The text changes between the two passes over it."""
    text = folder(tmp_path, b"hello world. " * 10) / "input.txt"
    lengths = iter([1, 2])
    monkeypatch.setattr(text_cache, "chunks", lambda path, label: [path.read_bytes()] * next(lengths))

    def write_more(line: str) -> None:
        if line == "putting data into tensor...":
            text.write_bytes(b"hello world. " * 11)

    with pytest.raises(UserError, match=r"input\.txt changed while it was being read: run the command again"):
        preprocess(text, tmp_path / "data.h5", write_more, encoding=Encoding(encoding))
    assert os.listdir(tmp_path) == ["input.txt"]


def test_a_text_that_changes_while_it_is_read(tmp_path, monkeypatch):
    """A change in the second pass is detected, too, so that no cache mixes two texts."""
    text = folder(tmp_path, b"hello world. " * 10) / "input.txt"

    def chunks_then_a_change(path, label):
        yield path.read_bytes()
        rewrite_in_place(tmp_path)

    monkeypatch.setattr(text_cache, "chunks", chunks_then_a_change)
    with pytest.raises(UserError, match=r"input\.txt changed while it was being read: run the command again"):
        load(tmp_path)
    assert text.read_bytes() == b"HELLO WORLD. " * 10
    assert os.listdir(tmp_path) == ["input.txt"]


def test_a_text_that_cannot_be_read(tmp_path, monkeypatch):
    def broken_disk(path, label):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(text_cache, "chunks", broken_disk)
    with pytest.raises(UserError, match=r"^cannot make .*data\.h5 from .*input\.txt: Input/output error$"):
        load(folder(tmp_path, b"hello world. " * 10))


def test_nobody_reads_what_is_said(tmp_path):
    """If the reader of stdout (`| head`) has ended, the exception is left to the program."""

    def echo(line):
        if line.startswith("loading text"):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        MinibatchLoader(folder(tmp_path, b"hello world. " * 10), 2, 3, 0.5, 0.25, echo)


def test_a_folder_that_cannot_be_written_has_its_cache_in_the_users(tmp_path, monkeypatch):
    text = tmp_path / "data"
    text.mkdir()
    folder(text, b"hello world. " * 10)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    first, second = [], []
    load(text, lines=first)
    (cache,) = (tmp_path / "home" / "charrnn_port").iterdir()
    load(text, lines=second)
    assert first[:2] == [
        f"{text} cannot be written: the cache is {cache}",
        f"{cache.name} does not exist. Running preprocessing...",
    ]
    assert second[:2] == [first[0], "loading data files..."]
    assert os.listdir(text) == ["input.txt"]


def test_a_user_without_a_home(tmp_path, monkeypatch):
    def user_cache(name):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(text_cache, "user_cache", user_cache)
    with pytest.raises(UserError, match=r"nor to the user's cache folder \(Could not determine home directory\.\)"):
        load(folder(tmp_path, b"hello world. " * 10))


@pytest.mark.parametrize(("typed", "shown"), [("./data", "./data/"), ("data/", "data/"), ("data", "data/")])
def test_the_folder_is_printed_as_it_was_typed(typed, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(b"abcdefghij" * 20)
    lines = []
    MinibatchLoader(typed, 1, 2, 1, 0, lines.append)
    assert f"one-time setup: preprocessing input text file {shown}input.txt..." in lines
    assert f"saving {shown}data.h5" in lines


def test_digest_is_the_text_s(tmp_path):
    """The digest is the text's SHA-256, also when it is read from the cache."""
    (tmp_path / "input.txt").write_bytes(b"abc" * 100)
    digests = [MinibatchLoader(tmp_path, 1, 2, 1, 0, lambda line: None).digest for _ in range(2)]
    assert digests == [hashlib.sha256(b"abc" * 100).hexdigest()] * 2


def letters_of(loader, split):
    """Return the rows of all batches of a split as texts, each followed by its last target."""
    batches = [loader.next_batch(split) for _ in range(loader.split_sizes[split])]
    x, last = np.concatenate([x for x, _ in batches]), batches[-1][1][-1:]
    return [loader.vocab.decode(row).decode() for row in np.concatenate([x, last]).T]


def test_the_end_of_the_text_validates_and_tests(tmp_path):
    """Each split is laid out in rows of its own. As in the original, the very last target is the first character."""
    text = bytes(range(97, 97 + 26))
    loader = MinibatchLoader(folder(tmp_path, text), 2, 3, 0.5, 0.25, lambda line: None, split_by="end")
    assert (loader.ntrain, loader.nval, loader.ntest, loader.left_out) == (2, 1, 1, 2)
    assert letters_of(loader, 1) == ["abcdefg", "ghijklm"]
    assert letters_of(loader, 2) == ["mnop", "pqrs"]
    assert letters_of(loader, 3) == ["stuv", "vwxa"]
    half = MinibatchLoader(tmp_path, 2, 3, 0.5, 0.25, lambda line: None, rows=slice(1, 2), split_by="end")
    assert letters_of(half, 2) == ["pqrs"]


def test_files_validate_and_test(tmp_path):
    """Then the whole text trains. No target is in another file; the vocabulary is that of the text."""
    folder(tmp_path, bytes(range(97, 97 + 26)))
    val, test = tmp_path / "val.txt", tmp_path / "test.txt"
    val.write_bytes(b"the quick fox")
    test.write_bytes(b"jumped")
    (tmp_path / "input.txt").write_bytes(bytes(range(97, 97 + 25)) + b" z")
    how = {"val_file": str(val), "test_file": str(test)}
    loader = MinibatchLoader(tmp_path, 1, 5, 0.95, 0.05, lambda line: None, **how)
    assert letters_of(loader, 1) == ["abcdefghijklmnopqrstuvwxy "]
    assert letters_of(loader, 2) == ["the quick f"]
    assert letters_of(loader, 3) == ["jumped"]
    assert (loader.size, loader.left_out, loader.nbatches) == (27, 2, 5)
    alone = MinibatchLoader(tmp_path, 1, 5, 1, 0, lambda line: None)
    assert loader.digest != alone.digest
    test.write_bytes(b"jumper")
    assert MinibatchLoader(tmp_path, 1, 5, 1, 0, lambda line: None, **how).digest != loader.digest
    only_val = MinibatchLoader(tmp_path, 1, 5, 1, 0, lambda line: None, val_file=str(val))
    assert only_val.split_sizes == {1: 5, 2: 2, 3: 0}


@pytest.mark.parametrize(("content", "problem"), [
    (None, "cannot read"), (b"", "is empty"), (b"abcde", "holds 4 bytes"), (b"abcdefGhi", "has 'G'"),
])  # fmt: skip
def test_a_file_that_cannot_validate(tmp_path, content, problem):
    val = tmp_path / "val.txt"
    if content is not None:
        val.write_bytes(content)
    with pytest.raises(UserError, match=problem) as error:
        MinibatchLoader(folder(tmp_path, b"abcdefghi" * 3), 1, 5, 1, 0, lambda line: None, val_file=str(val))
    assert str(val) in str(error.value)


def test_unknown_characters_of_a_file_are_the_unknown_symbol(tmp_path):
    (tmp_path / "val.txt").write_bytes(b"aGa")
    folder(tmp_path, b"aaaabbbbc")
    loader = MinibatchLoader(
        tmp_path, 1, 2, 1, 0, lambda line: None, encoding=Encoding("utf-8", 2), val_file=str(tmp_path / "val.txt")
    )
    assert loader.next_batch(2)[0].T.tolist() == [[0, loader.vocab.unknown]]

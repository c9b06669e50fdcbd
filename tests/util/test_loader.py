"""Batches are the original's; the cache is rebuilt whenever it does not belong to the text."""

import os
from contextlib import suppress

import h5py
import numpy as np
import pytest

from util.errors import UserError
from util.minibatch_loader import CHUNK, MinibatchLoader, open_cache, preprocess, split_sizes


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
        return [bytes(loader.vocab[id_] for id_ in row).decode() for row in ids.T]

    x, y = loader.next_batch(1)
    assert x.shape == y.shape == (3, 2)
    assert x.dtype == np.int64
    assert (letters(x), letters(y)) == (["abc", "mno"], ["bcd", "nop"])
    assert letters(loader.next_batch(1)[0]) == ["def", "pqr"]  # each row goes on where it stopped
    assert letters(loader.next_batch(1)[0]) == ["abc", "mno"]  # and wraps around
    assert letters(loader.next_batch(2)[0]) == ["ghi", "stu"]
    x, y = loader.next_batch(3)
    assert letters(x) == ["jkl", "vwx"]
    assert letters(y) == ["klm", "wxa"]  # the last target is the first character
    loader.next_batch(1)
    loader.reset_batch_pointer(1)
    assert letters(loader.next_batch(1)[0]) == ["abc", "mno"]


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
    assert loader.vocab == bytes(range(256))
    assert loader.next_batch(1)[0][:, 0].tolist() == [255, 254, 253]


def test_preprocessing_works_across_chunks(tmp_path):
    text = np.random.RandomState(1).randint(30, 200, 2 * CHUNK + 5, np.uint8)
    preprocess(folder(tmp_path, text.tobytes()) / "input.txt", tmp_path / "data.h5", lambda line: None)
    vocab, data = open_cache(tmp_path / "data.h5")
    assert np.array_equal(np.frombuffer(vocab, np.uint8)[data], text)


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
    """A cache whose data is shorter than the text it claims to be of."""
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        del file["data"]
        file["data"] = np.zeros(7, np.uint8)


def other_types(tmp_path):
    """A cache whose data are numbers of another type."""
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        size = len(file["data"])
        del file["data"]
        file["data"] = np.zeros(size, np.float64)


CHANGES = [rewrite_in_place, set_back_the_clock, truncate_cache, replace_cache, other_sizes, other_types]


@pytest.mark.parametrize("change", CHANGES)
def test_cache_is_rebuilt(tmp_path, change):
    folder(tmp_path, b"hello world. " * 10)
    load(tmp_path)
    change(tmp_path)
    lines = []
    loader = load(tmp_path, lines=lines)
    assert lines[0] == "data.h5 detected as stale. Re-running preprocessing..."
    assert loader.vocab == bytes(sorted(set((tmp_path / "input.txt").read_bytes())))
    assert sorted(os.listdir(tmp_path)) == ["data.h5", "input.txt"]


def test_ids_outside_the_vocabulary_are_refused(tmp_path):
    folder(tmp_path, b"hello world. " * 10)
    load(tmp_path)
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        file["data"][:] = 200
    with pytest.raises(UserError, match=r"data\.h5 is damaged"):
        load(tmp_path).next_batch(1)


def test_mutated_caches(tmp_path):
    """Random bytes anywhere in the cache: rebuilt, refused, or read; never another error."""
    folder(tmp_path, b"hello world. " * 10)
    load(tmp_path)
    whole = (tmp_path / "data.h5").read_bytes()
    generator = np.random.RandomState(1)
    for _ in range(300):
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

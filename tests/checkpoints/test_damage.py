"""Tests that a checkpoint with a flipped bit is refused, unless the bit has no effect."""

import random
import zipfile

import pytest
from conftest import assert_one_line_error, run_sample, run_train
from runs import SMALL, TEXT, assert_same, saved

import charrnn_port
from charrnn_port.util.errors import UserError

FLIPS = 500


@pytest.fixture
def checkpoint(tmp_path):
    """Return the path and the contents of a small checkpoint."""
    (tmp_path / "input.txt").write_bytes(TEXT)
    run_train(*SMALL, "-eval_val_every", 20, "-data_dir", tmp_path, "-checkpoint_dir", tmp_path, "-max_epochs", 0.5)
    return saved(tmp_path)[20]


def test_flipped_bits(checkpoint):
    """Bits anywhere, and often outside of the records: in the first header, the zip directory and its end."""
    path, content = checkpoint
    whole = path.read_bytes()
    directory = whole.index(b"PK\1\2")
    bits = random.Random(1).sample(range(8 * len(whole)), FLIPS)
    bits += [8 * place + place % 8 for place in (*range(64), *range(directory, len(whole), 3))]
    refused = []
    for bit in bits:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert_same(charrnn_port.load_checkpoint(path), content)
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > FLIPS / 2
    assert all("corrupt" in message and "\n" not in message for message in refused)


def test_the_checksum_detects_a_flipped_bit_in_the_parameters(checkpoint):
    path, content = checkpoint
    values = content.params.numpy().tobytes()
    path.write_bytes(path.read_bytes().replace(values, bytes([values[0] ^ 1]) + values[1:]))
    assert_one_line_error(run_sample(path), 1, path.name, "is corrupt or not", "data/", "in it is corrupt")


def test_a_record_marked_as_a_folder_is_refused(checkpoint):
    """PyTorch would use uninitialized memory as the parameters."""
    path, _ = checkpoint
    damaged = bytearray(path.read_bytes())
    place = damaged.rindex(b"PK\1\2", 0, damaged.rindex(b"data/0")) + 38
    damaged[place] |= 0x10
    path.write_bytes(damaged)
    assert_one_line_error(run_sample(path), 1, path.name, "corrupt", "data/0")


def test_checksums_are_true(checkpoint):
    with zipfile.ZipFile(checkpoint[0]) as archive:
        assert archive.testzip() is None
        assert all(entry.CRC for entry in archive.infolist() if entry.file_size)

"""Tests that files which people mistake for checkpoints are identified, wherever a checkpoint is read."""

import errno
import os
import zipfile

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import RECORDINGS, REFERENCE, assert_one_line_error, run_sample, run_train
from test_lua_checkpoint import made

import charrnn_port
from charrnn_port.__main__ import convert, inspect
from charrnn_port.checkpoints.files import reason
from charrnn_port.checkpoints.lua import to_lua
from charrnn_port.torch7 import t7
from charrnn_port.torch7.t7 import Table, TorchObject
from charrnn_port.util.errors import UserError

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0\nsize 12345\n"


@pytest.mark.parametrize("reads", ["sample", "inspect", "convert", "init_from", "resume"])
def test_wherever_a_checkpoint_is_read(reads, tmp_path):
    path = tmp_path / "lm.t7.pt"
    path.write_bytes(LFS)
    (tmp_path / "input.txt").write_bytes(b"the quick brown fox\n" * 100)
    small = ["-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv", "-batch_size", 2, "-seq_length", 5]
    runs = {
        "sample": lambda: run_sample(path),
        "inspect": lambda: CliRunner().invoke(inspect, [str(path)]),
        "convert": lambda: CliRunner().invoke(convert, [str(path), str(tmp_path / "lm.t7")]),
        "init_from": lambda: run_train(*small, "-init_from", path),
        "resume": lambda: run_train("-resume", path),
    }
    words = f"{path} is a Git LFS pointer", "not a checkpoint", "git lfs pull"
    assert_one_line_error(runs[reads](), 1, *words)


def test_resume_latest_tells_what_is_wrong_with_the_newest(tmp_path):
    (tmp_path / "lm.t7.pt").write_bytes(LFS)
    result = run_train("-resume", "latest", "-checkpoint_dir", tmp_path)
    assert_one_line_error(result, 1, "no checkpoint to resume in", "lm.t7.pt is a Git LFS pointer")
    (tmp_path / "lm.t7.pt").unlink()
    assert run_train("-resume", "latest", "-checkpoint_dir", tmp_path).stderr.endswith(f" in {tmp_path}\n")


def refusal(path) -> str:
    """Return the error for a file that is not a checkpoint, without its path."""
    with pytest.raises(UserError) as caught:
        charrnn_port.load_checkpoint(path)
    return str(caught.value).removeprefix(f"{path} is ")


def test_hdf5(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["train"] = np.zeros(3, np.uint8)
    assert refusal(tmp_path / "data.h5").startswith("a data file (HDF5)")
    assert ", not a checkpoint: name a checkpoint, of train.py (.t7.pt) or" in refusal(tmp_path / "data.h5")


def test_no_file(tmp_path):
    assert refusal(tmp_path).startswith("a folder, not a checkpoint")
    assert refusal("/dev/null").startswith("a pipe or a device, not a checkpoint")
    (tmp_path / "empty").touch()
    assert refusal(tmp_path / "empty").startswith("empty, not a checkpoint")


@pytest.mark.parametrize("text", [b"A dark night.\n", b"1984\n", b"3 men in a boat\n", b"9\nlives\n", "文\n".encode()])
def test_text(text, tmp_path):
    """An ASCII file of Torch7 begins with a single digit."""
    (tmp_path / "input.txt").write_bytes(text * 100)
    assert refusal(tmp_path / "input.txt").startswith("corrupt or not a checkpoint: plain text; name a")
    (tmp_path / "input.txt").write_bytes(b"3\n" + text * 100)
    assert "text" not in refusal(tmp_path / "input.txt")


def test_zip_archives_that_are_not_of_pytorch(tmp_path):
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    assert refusal(tmp_path / "arrays.npz").startswith("an archive of NumPy arrays (.npz), not a checkpoint")
    with zipfile.ZipFile(tmp_path / "cv.zip", "w") as archive:
        archive.writestr("cv/lm.t7.pt", b"")
        archive.writestr("a/b/data.pkl", b"")
    assert "a zip archive, but not a PyTorch file; unpack it" in refusal(tmp_path / "cv.zip")


def test_other_files_of_pytorch(tmp_path):
    path = tmp_path / "other.pt"
    parameters = torch.nn.Linear(2, 2)
    for value in ({"format": 1}, [1], (1, 2), {(1, 2): 3}, parameters.state_dict(), list(parameters.parameters())):
        torch.save(value, path)
        assert "a file of PyTorch, but not one that train.py wrote" in refusal(path)
    torch.save(torch.zeros(2, dtype=torch.complex64), path)
    assert "not one that train.py wrote: it has torch ComplexFloatStorage" in refusal(path)
    torch.save(parameters, path)
    assert "but not one that train.py wrote" in refusal(path)
    torch.save(np.float64(1), path)
    assert "a pickle that wants to run numpy" in refusal(path)


# Other files of Torch7


def saved(value, tmp_path):
    """Write a Torch7 file with this object and return its path."""
    t7.save(tmp_path / "saved.t7", value)
    return tmp_path / "saved.t7"


@pytest.mark.parametrize("name", [b"embed", b"softmax"])
def test_a_checkpoint_of_may_2015(name, tmp_path):
    """Its `protos` were embed, rnn, softmax and criterion."""
    value = to_lua(made())
    assert charrnn_port.load_checkpoint(saved(value, tmp_path)).i == 3
    value[b"protos"][name] = TorchObject("nn.Sequential")
    message = refusal(saved(value, tmp_path))
    assert message.startswith("a checkpoint that char-rnn wrote before 3 June 2015, in an older layout, which a later")
    assert "corrupt" not in message


def test_the_originals_cache_of_a_text(tmp_path):
    assert refusal(RECORDINGS / "t7/vocab.t7").startswith("a vocabulary in the format of the Lua original (vocab.t7)")
    text = torch.zeros(9, dtype=torch.uint8)
    assert refusal(saved(text, tmp_path)).startswith("a text in the format of the Lua original")
    for value in (Table(), Table({b"a": b"b"}), Table({1: 2}), torch.zeros(3)):
        assert refusal(saved(value, tmp_path)).startswith("corrupt or not a checkpoint")


# Files that cannot be read or written


def test_a_vocabulary_of_another_kind(tmp_path):
    values = torch.load(REFERENCE / "checkpoints/charrnn_port_0.1.t7.pt", weights_only=True)
    kinds = (([1], "vocab is a list of neither words nor merges"), ({}, "vocab is a dict"), (1, "vocab is a int"))
    for vocab, message in kinds:
        torch.save(values | {"vocab": vocab}, tmp_path / "changed.pt")
        assert refusal(tmp_path / "changed.pt") == f"corrupt or not a checkpoint: {message}"


def test_a_disk_that_fails(tmp_path, monkeypatch):
    def fail(path: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(t7, "load", fail)
    path = RECORDINGS / "lua_checkpoints/rnn.t7"
    with pytest.raises(UserError, match=f"^cannot read {path}: Input/output error$"):
        charrnn_port.load_checkpoint(path)


def test_why_saving_fails(tmp_path):
    saved = charrnn_port.load_checkpoint(RECORDINGS / "lua_checkpoints/rnn.t7")
    with pytest.raises(UserError, match=r"^cannot save .*lm\.t7: No such file or directory; earlier checkpoints are"):
        charrnn_port.save_checkpoint(saved, tmp_path / "none/lm.t7")
    full = OSError(errno.ENOSPC, "No space left on device")
    assert reason(full) == "No space left on device"
    assert reason(OSError("some words")) == "some words"
    error = RuntimeError("a line\nanother")
    assert reason(error) == "a line"
    error.__context__ = full
    assert reason(error) == "No space left on device"

"""Tests a checkpoint's fingerprint: the SHA-256 of its parameters as little-endian numbers, on every machine."""

import hashlib
import json
import struct

import pytest
import torch
from click.testing import CliRunner
from conftest import RECORDINGS, REFERENCE

import charrnn_port
from charrnn_port.__main__ import convert, inspect
from charrnn_port.checkpoints import fingerprint

LUA = sorted((RECORDINGS / "lua_checkpoints").glob("*.t7"))
# 1, -2 and 0.1, written out: the lowest byte comes first.
KNOWN = {
    torch.float64: "000000000000f03f 00000000000000c0 9a9999999999b93f",
    torch.float32: "0000803f 000000c0 cdcccc3d",
}


@pytest.mark.parametrize(("dtype", "written"), KNOWN.items(), ids=["float64", "float32"])
def test_known_bytes(dtype, written):
    expected = hashlib.sha256(bytes.fromhex(written)).hexdigest()
    params = torch.tensor([1, -2, 0.1], dtype=dtype)
    assert fingerprint(params) == expected
    assert fingerprint(torch.stack([params, params]).T[:, 0]) == expected  # not contiguous
    assert fingerprint(params.clone().requires_grad_()) == expected


def test_one_bit_shows():
    params = torch.ones(1000, dtype=torch.float64)
    other = params.clone()
    other[500] += 2.0**-52
    assert fingerprint(params) != fingerprint(other)
    assert fingerprint(torch.zeros(1)) != fingerprint(-torch.zeros(1))


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.stem)
def test_checkpoints_of_torch7(path, tmp_path):
    """The fingerprint is that of the numbers in the file, and stays the same in every format."""
    saved = charrnn_port.load_checkpoint(path)
    numbers = saved.params.tolist()
    assert saved.fingerprint == hashlib.sha256(struct.pack(f"<{len(numbers)}d", *numbers)).hexdigest()
    for name in ("ours.t7.pt", "back.t7", "shared.safetensors"):
        assert CliRunner().invoke(convert, [str(path), str(tmp_path / name)]).exit_code == 0
        assert charrnn_port.load_checkpoint(tmp_path / name).fingerprint == saved.fingerprint


def test_inspect_shows_it():
    path = str(REFERENCE / "2015/lm_lstm_epoch2.36_1.7753.t7.pt")
    expected = "11b5edddd4696dc7a5c01babb1f4f08831785c94306a752a2feb9b917a9d82ef"
    assert f"  fingerprint : {expected}\n" in CliRunner().invoke(inspect, [path]).stdout
    assert json.loads(CliRunner().invoke(inspect, [path, "-json"]).stdout)["fingerprint"] == expected

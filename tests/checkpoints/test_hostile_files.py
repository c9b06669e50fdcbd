"""Tests that a small file cannot take much memory or time: it is refused unless its claims are bounded by its size."""

import errno
import io
import math
import os
import pickle
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, assert_one_line_error, run_train
from runs import SMALL, TEXT
from runs import saved as saved_by_iteration
from t7_helpers import header, integers, longs, storage, string, table_of, tensor

import charrnn_port
from charrnn_port.checkpoints import archive
from charrnn_port.checkpoints.checkpoint import Checkpoint
from charrnn_port.model.char_rnn import CELLS, CharRNN
from charrnn_port.model.memory import parameter_count
from charrnn_port.torch7 import t7
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

TERA = 10**12
VERSION = {"archive/version": b"3\n"}  # torch.load wants it
RECORDED = ROOT / "tests/reference/checkpoints/charrnn_port_0.1.t7.pt"


def zipped(records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return out.getvalue()


def pickled(instructions: bytes, elements: bytes = bytes(8)) -> bytes:
    """Return a file of torch.save with this pickle and one storage."""
    return zipped({"archive/data.pkl": b"\x80\x02" + instructions + b".", "archive/data/0": elements, **VERSION})


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def long(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def storage_of(size: int) -> bytes:
    """Return the instructions for a storage of `size` doubles."""
    return b"(" + text("storage") + b"ctorch\nDoubleStorage\n" + text("0") + text("cpu") + long(size) + b"tQ"


def tensor_of(elements: int, sizes: list[int], strides: list[int], offset: int = 0) -> bytes:
    """Return the instructions for a tensor."""
    layout = b"".join(b"(" + b"".join(map(long, numbers)) + b"t" for numbers in (sizes, strides))
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage_of(elements) + long(offset) + layout + hooks + b"tR"


def overlapping(count: int) -> bytes:
    """Return a zip archive whose records all overlap."""
    whole = zipped({"archive/data.pkl": bytes(10**5)})
    begin, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    final = bytearray(whole[end:])
    final[8:12] = struct.pack("<HH", count, count)
    final[12:16] = struct.pack("<I", count * (end - begin))
    return whole[:begin] + count * whole[begin:end] + final


def longer_than_itself() -> bytes:
    """Return a zip archive with a record of a few bytes that claims two gigabytes."""
    whole = bytearray(saved([1]))
    place = whole.index(b"PK\1\2") + 20
    whole[place : place + 4] = struct.pack("<I", 2**31 - 1)
    return bytes(whole)


def saved(value: object) -> bytes:
    """Return a file of torch.save."""
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


# Nested tuples of two, each with the previous one twice: 2 ** 100 elements to visit. The last is at place 100.
REPEATED = b")q\0" + b"".join(b"h%ch%c\x86q%c" % (place, place, place + 1) for place in range(100))


SMALL_T7 = {
    "storage": header(1, "torch.DoubleStorage") + longs(TERA),
    "storage of bytes": header(1, "torch.ByteStorage") + longs(TERA) + bytes(900),
    "tensor": tensor("Double", [TERA], [1], 1, storage("Double", TERA, bytes(800))),
    "repeated": tensor("Double", [TERA], [0], 1, storage("Double", 1, bytes(8))),
    "string": integers(2, 2**31 - 1) + bytes(900),
    "class name": integers(4, 1, 2**31 - 1) + bytes(900),
    "table": integers(3, 1, 2**31 - 1) + bytes(900),
    "ASCII storage": b"4\n1\n3\nV 1\n19\ntorch.DoubleStorage\n1000000000000\n1 2 3\n",
    "ASCII string": b"2\n2000000000\n" + bytes(900),
    "ASCII digits": b"2\n" + b"9" * 1000 + b"\n",
    "ASCII size": b"3\n1\n1000000000000000\n",
}
SMALL_PT = {
    "compressed": zipped({"archive/data.pkl": bytes(10**8), **VERSION}, zipfile.ZIP_DEFLATED),
    "overlapping": overlapping(30_000),
    "longer than itself": longer_than_itself(),
    "storage": pickled(storage_of(TERA)),
    "tensor": pickled(tensor_of(1, [TERA], [1])),
    "repeated": pickled(tensor_of(1, [TERA], [0])),
    "beyond": pickled(tensor_of(1, [1], [1], offset=TERA)),
    "below": pickled(tensor_of(1, [-1], [1])),
    "dimensions": pickled(tensor_of(1, [1] * 1000, [1] * 1000)),
    "bytearray": pickled(b"c__builtin__\nbytearray\n" + long(TERA) + b"\x85R"),
    "string": pickled(b"X\xff\xff\xff\xff"),
    "bytes": pickled(b"\x8e" + struct.pack("<Q", TERA)),
    "place": pickled(b"Nr\xff\xff\xff\xff0"),
    "frame": pickled(b"\x95" + struct.pack("<Q", TERA)),
    "tuples": pickled(REPEATED),
    "tuples for a key": pickled(REPEATED + b"}hdNs"),
    "tuples for a storage": pickled(REPEATED + b"(" + text("storage") + b"ctorch\nDoubleStorage\nhdNNtQ"),
    "deep": pickled(b"]" * 10**5 + b"a" * (10**5 - 1)),
    "deep tuples": pickled(b")" + b"\x85" * 10**5),
}


@pytest.mark.parametrize("content", [*SMALL_T7.values(), *SMALL_PT.values()], ids=[*SMALL_T7, *SMALL_PT])
def test_claims_are_refused_at_once(content, tmp_path):
    """They are refused by a check, not by running out of memory."""
    path = tmp_path / "hostile"
    path.write_bytes(content)
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        charrnn_port.load_checkpoint(path)
    assert time.process_time() - began < 3
    assert len(str(caught.value).removeprefix(str(path))) < 400
    error = caught.value
    while error:
        assert not isinstance(error, MemoryError | RecursionError)
        error = error.__cause__


MESSAGES = {
    "compressed": "archive/data.pkl in it is compressed", "longer than itself": "archive/data.pkl in it is compressed",
    "overlapping": "its records are larger than the file",
    "storage": "data/0 has 8 bytes, expected 1000000000000 elements", "below": "a tensor in it has invalid sizes",
    "repeated": "a tensor in it is larger than its storage", "beyond": "a tensor in it is larger than its storage",
    "dimensions": "a tensor in it has invalid sizes",
    "bytearray": "wants to run __builtin__.bytearray, which is refused",
    "tuples": "it has a tuple", "tuples for a key": "it has a tuple as the key of a dict",
    "tuples for a storage": "a storage in it has no name or size", "place": "it has the instruction POP",
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_why_claims_are_refused(name, tmp_path):
    with pytest.raises(archive.ArchiveError, match=f"{MESSAGES[name]}"):
        loaded(SMALL_PT[name], tmp_path)


def test_the_largest_tensors_that_are_read(tmp_path):
    """They reach the last element of their storage, and have as many dimensions as PyTorch supports."""
    storage = struct.pack("<3d", 1, 2, 3)
    for sizes, strides, offset, expected in (
        ([2], [2], 0, [1, 3]), ([3], [1], 0, [1, 2, 3]), ([1], [9], 2, [3]), ([2], [1], 1, [2, 3]),
        ([1] * 64, [1] * 64, 0, None), ([0, 2**40], [1, 1], 3, []),
    ):  # fmt: skip
        value = loaded(pickled(tensor_of(3, sizes, strides, offset), storage), tmp_path)
        assert value.shape == tuple(sizes)
        assert expected is None or value.tolist() == expected
    for sizes, strides, offset, message in (
        ([2], [2], 1, "larger"), ([2], [3], 0, "larger"), ([1], [1], 3, "larger"), ([4], [1], 0, "larger"),
        ([4], [0], 0, "larger"), ([1] * 65, [1] * 65, 0, "invalid sizes"),
        ([1], [-1], 0, "invalid sizes"), ([1], [1], -1, "invalid"),
    ):  # fmt: skip
        with pytest.raises(archive.ArchiveError, match=f"a tensor in it .*{message}"):
            loaded(pickled(tensor_of(3, sizes, strides, offset), storage), tmp_path)


@pytest.mark.parametrize(("key", "size"), [(text("0"), text("0")), (b"K\0", b"K\1"), (b"N", b"N")])
def test_storages_without_a_name_or_a_size(key, size, tmp_path):
    instructions = b"(" + text("storage") + b"ctorch\nDoubleStorage\n" + key + text("cpu") + size + b"tQ"
    with pytest.raises(archive.ArchiveError, match="a storage in it has no name or size"):
        loaded(pickled(instructions), tmp_path)


def test_long_names_are_shortened():
    assert archive.shortened("x" * 60) == "x" * 60
    assert archive.shortened("x" * 61) == "x" * 60 + "..."
    assert archive.shortened("x" * 10**6) == "x" * 60 + "..."


def test_records_may_have_any_attribute_except_folder(tmp_path):
    whole = saved([1, 2])
    place = whole.index(b"PK\1\2") + 38
    assert loaded(whole[:place] + b"\xef" + whole[place + 1 :], tmp_path) == [1, 2]
    with pytest.raises(archive.ArchiveError, match=r"archive/data\.pkl in it is corrupt"):
        loaded(whole[:place] + b"\x10" + whole[place + 1 :], tmp_path)


LOAD_IN_LITTLE_MEMORY = """
import re, resource, sys
from pathlib import Path
import charrnn_port
from charrnn_port.checkpoints import load_checkpoint
from charrnn_port.util.errors import UserError
kilobytes = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_DATA, [(kilobytes << 10) + (48 << 20)] * 2)
for path in sys.argv[1:]:
    try:
        load_checkpoint(path)
    except UserError as error:
        assert not isinstance(error.__cause__, MemoryError)
        assert not isinstance(error.__cause__.__cause__, MemoryError)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux how much memory is in use")
def test_all_of_them_in_little_memory(tmp_path):
    for number, content in enumerate([*SMALL_T7.values(), *SMALL_PT.values()]):
        (tmp_path / f"{number}.t7").write_bytes(content)
    command = [sys.executable, "-c", LOAD_IN_LITTLE_MEMORY, *sorted(tmp_path.iterdir())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_one_number_does_not_stand_for_all_parameters(tmp_path):
    """The sizes would fit the network, which is too large for any memory."""
    values = torch.load(RECORDED, weights_only=True)
    values["opt"]["rnn_size"], values["progress"] = 10**6, None
    count = parameter_count("lstm", len(values["vocab"]), 10**6, 1)
    values["params"] = torch.zeros(1, dtype=torch.float64).expand(count)
    torch.save(values, tmp_path / "expanded.t7.pt")
    with pytest.raises(UserError, match="a tensor in it is larger than its storage"):
        charrnn_port.load_checkpoint(tmp_path / "expanded.t7.pt")


@pytest.mark.long
def test_deep_objects_of_torch7(tmp_path):
    """Tables, objects and functions are nested a hundred thousand times."""
    path, depth = tmp_path / "deep.t7", 100_000
    one = integers(1) + struct.pack("<d", 1)
    tables = b"".join(integers(3, index + 1, 1) + one for index in range(depth)) + integers(0)
    objects = b"".join(header(index + 1, "nn.X") for index in range(depth)) + integers(0)
    functions = b"".join(integers(7, index + 1) + string(b"") for index in range(depth)) + integers(0)
    for content in (tables, objects, functions, table_of(tables)):
        path.write_bytes(content)
        with pytest.raises(UserError):
            charrnn_port.load_checkpoint(path)


def test_numbers_in_ascii_take_little_memory(tmp_path):
    """A digit and a space become a double, without larger temporary objects."""
    count = 10**6
    head = b"4\n1\n3\nV 1\n19\ntorch.DoubleStorage\n%d\n" % count
    (tmp_path / "ascii.t7").write_bytes(head + b"7 " * count + b"\n")
    tracemalloc.start()
    try:
        assert t7.load(tmp_path / "ascii.t7").values.sum() == 7 * count
        assert tracemalloc.get_traced_memory()[1] < 12 * count
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("line", [b"", b"1", b"1 2 3", b"1 x", b"1 2 x", b"1  ", b"1 1_0_"])
def test_a_line_in_ascii_has_as_many_numbers_as_it_should(line, tmp_path):
    head = b"4\n1\n3\nV 1\n19\ntorch.DoubleStorage\n2\n"
    (tmp_path / "ascii.t7").write_bytes(head + b"1 2\n")
    assert t7.load(tmp_path / "ascii.t7").values.tolist() == [1, 2]
    (tmp_path / "ascii.t7").write_bytes(head + b"1  2 \n")
    assert t7.load(tmp_path / "ascii.t7").values.tolist() == [1, 2]
    (tmp_path / "ascii.t7").write_bytes(head + line + b"\n")
    with pytest.raises(t7.T7Error, match="expected a line of 2 float64 values"):
        t7.load(tmp_path / "ascii.t7")


def test_messages_about_layouts_are_short(tmp_path):
    for sizes, strides in (([-1] * 64, [2**62] * 64), ([2**62] * 64, [2**62] * 64)):
        (tmp_path / "tensor.t7").write_bytes(tensor("Double", sizes, strides, 1, storage("Double", 1, bytes(8))))
        with pytest.raises(t7.T7Error) as caught:
            t7.load(tmp_path / "tensor.t7")
        assert "invalid tensor of sizes" in str(caught.value)
        assert len(str(caught.value)) < 400


# What torch.save writes is read as torch.load reads it


def loaded(content: bytes, tmp_path: Path) -> object:
    (tmp_path / "file.pt").write_bytes(content)
    return archive.load(tmp_path / "file.pt")


def test_the_same_as_torch_load(tmp_path):
    values = {
        "text": "é文\udcff", "bytes": bytes(range(256)), "none": None, "yes": True, "no": False, 1: -1, 2: 2**40,
        3: -(2**1000), 2.5: math.inf, "lists": [[], [1], [1, 2]], "dicts": {"a": {}, "b": {"c": 1}}, "long": [0] * 3000,
    }  # fmt: skip
    shared = values["lists"]
    again = loaded(saved(values | {"again": shared}), tmp_path)
    assert again.pop("again") is again["lists"]
    assert again == values
    assert list(again) == list(values)
    assert [type(value) for value in again.values()] == [type(value) for value in values.values()]


@pytest.mark.parametrize("dtype", archive.STORAGES.values(), ids=str)
def test_tensors(dtype, tmp_path):
    whole = torch.arange(24).reshape(4, 6).to(dtype)
    views = [whole, whole.t(), whole[1:3, ::2], whole[2], whole[:0], whole[3, 5], torch.zeros(2, 0, 3, dtype=dtype)]
    again = loaded(saved(views), tmp_path)
    for ours, theirs in zip(again, views, strict=True):
        assert torch.equal(ours, theirs)
        assert (ours.dtype, ours.stride()) == (theirs.dtype, theirs.stride())
    assert again[0].data_ptr() == again[1].data_ptr()
    again[0][0, 0] = 1  # it may be written to


def test_a_disk_that_fails_is_no_damaged_file(tmp_path, monkeypatch):
    """A file that makes zipfile seek before its beginning is not a disk error."""
    for number, error, message in (
        (errno.EIO, OSError, os.strerror(errno.EIO)),
        (errno.EINVAL, archive.ArchiveError, "PyTorch cannot read it"),
    ):

        def fail(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(zipfile.ZipFile, "read", fail)
        with pytest.raises(error, match=message):
            loaded(saved([1]), tmp_path)


def test_a_directory_that_makes_no_sense(tmp_path):
    whole = bytearray(saved([1]))
    place = whole.index(b"PK\1\2")
    whole[place + 6] = 0xFF  # the version needed to extract
    with pytest.raises(archive.ArchiveError, match="PyTorch cannot read it"):
        loaded(bytes(whole), tmp_path)


def test_from_a_big_endian_computer(tmp_path):
    with zipfile.ZipFile(io.BytesIO(saved(torch.arange(3.0)))) as whole:
        records = {info.filename: whole.read(info) for info in whole.infolist()}
    records["archive/byteorder"] = b"big"
    records["archive/data/0"] = np.arange(3, dtype=">f4").tobytes()
    assert loaded(zipped(records), tmp_path).tolist() == [0, 1, 2]


def test_a_recorded_checkpoint_is_what_torch_load_makes_of_it():
    ours, theirs = archive.load(RECORDED), torch.load(RECORDED, weights_only=True)
    assert ours.keys() == theirs.keys()
    assert torch.equal(ours["params"], theirs["params"])
    assert ours["progress"]["random"] == theirs["progress"]["random"]


def test_instructions_that_do_not_fit(tmp_path):
    """Each is refused with the error of this module."""
    wrong = {
        "": "cannot read", "a": "cannot read", "N)Ra": "cannot read", "h\5": "cannot read", "0": "it has the instr",
        "NNa": "not a list", "NNNs": "not a dict", "}(Nu": "cannot read", "}K\1": "", ")R": "cannot read",
        "NQ": "cannot",
        "}]Ns": "a list as the key of a dict", "cos\nsystem\n": "wants to run os.system", "K\1\x85": "it has a tuple",
        "ccollections\nOrderedDict\nK\1\x85R": "it has collections OrderedDict",
        "c_codecs\nencode\nX\1\0\0\0aX\5\0\0\0utf-8\x86R": "wants to run _codecs.encode",
    }  # fmt: skip
    for instructions, message in wrong.items():
        if message:
            with pytest.raises(archive.ArchiveError, match=message):
                loaded(pickled(instructions.encode("latin-1")), tmp_path)
        else:
            assert loaded(pickled(instructions.encode("latin-1")), tmp_path) == 1
    with pytest.raises(archive.ArchiveError, match="cannot read"):
        loaded(zipped({"archive/data.pkl": b"\x80\x02"}), tmp_path)
    with pytest.raises(archive.ArchiveError, match="data/0 has 8 bytes, expected 2 elements"):
        loaded(pickled(storage_of(2)), tmp_path)
    with pytest.raises(archive.ArchiveError, match=r"wants to run x{60}\.{3}\.y, which"):
        loaded(pickled(b"c" + b"x" * 1000 + b"\ny\n"), tmp_path)
    assert loaded(pickled(storage_of(1)), tmp_path).tolist() == [0]
    assert loaded(pickled(storage_of(0), b""), tmp_path).tolist() == []


def test_messages_have_nothing_that_a_terminal_obeys(tmp_path):
    for content in (pickled(b"cx\x1b[31m\ny\n"), zipped({"x\x1b[31m": bytes(9)}, zipfile.ZIP_DEFLATED)):
        with pytest.raises(archive.ArchiveError, match=r"x\?\[31m"):
            loaded(content, tmp_path)


def test_protocols_that_torch_save_may_be_asked_for(tmp_path):
    torch.save({"a": 1}, tmp_path / "four.pt", pickle_protocol=pickle.HIGHEST_PROTOCOL)
    with pytest.raises(archive.ArchiveError, match=r"^a file of PyTorch, but not one that train.py wrote"):
        archive.load(tmp_path / "four.pt")


# Values that no run could resume from


def checkpoint(**changed: object) -> Checkpoint:
    """Return a small checkpoint of an rnn, with training state."""
    size = parameter_count("rnn", 2, 3, 1)
    params = torch.zeros(size, dtype=torch.float64)
    values = {
        "opt": {"model": "rnn", "rnn_size": 3, "num_layers": 1, "dropout": 0, "batch_size": 2},
        "vocab": Vocabulary(b"ab"), "params": params, "i": 2, "epoch": 0.5, "train_losses": [1.0, 1.0],
        "val_losses": {2: 1.0}, "val_loss": 1.0,
        "progress": {
            "optimizer": {"learning_rate": 0.1, "mean_square": params}, "schedule": {},
            "state": [torch.zeros(2, 3, dtype=torch.float64)], "random": {"key": [0] * 624, "pos": 624},
        },
    }  # fmt: skip
    for name, value in changed.items():
        where, _, rest = name.partition("__")
        if rest:
            part = values[where]
            *path, last = rest.split("__")
            for each in path:
                part = part[each]
            part[last] = value
        else:
            values[where] = value
    return Checkpoint(**values)


def test_one_that_fits():
    checkpoint().require_consistent()
    checkpoint(opt__data_dir="not \udcff text", opt__seed=2**64, val_loss=math.nan).require_consistent()
    checkpoint(progress=None, i=7, val_losses={}, vocab=Vocabulary("é文")).require_consistent()
    checkpoint(i=0, train_losses=[], progress__random__pos=0).require_consistent()
    checkpoint(opt__seed=2**1023 - 1, progress__unfinished={"i": 2, "epoch": 0.5}).require_consistent()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"opt__rnn_size": 2**62}, "params are torch.float64"), ({"opt__rnn_size": 10**300}, "not more than 10"),
        ({"opt__seed": 2**1023}, "opt must have names"), ({"opt__rnn_size": "x"}, "opt has model 'rnn', rnn_size 'x'"),
        ({"opt__rnn_size": 0}, "rnn_size 0"), ({"opt__num_layers": 0}, "num_layers 0"),
        ({"opt__num_layers": 2**62}, "params are"), ({"opt": {1: 2}}, "opt must have names"),
        ({"opt__x": "\ud800"}, "opt must have names"), ({"opt__x": 10**400}, "opt must have names"),
        ({"opt__x": ()}, "opt must have names"), ({"opt__batch_size": 10**400}, "opt must have names"),
        ({"opt__model": "x" * 10**6}, "opt has model 'xx"), ({"opt__dropout": math.nan}, "opt has dropout nan"),
        ({"opt__dropout": "x" * 10**6}, "opt has dropout 'xx"),
        ({"vocab": Vocabulary("a\ud800")}, "unpaired surrogates"), ({"vocab": Vocabulary("a\udcff")}, "unpaired"),
        ({"i": -1}, "iterations a count"), ({"i": 10**400}, "iterations a count"),
        ({"train_losses": [10**400]}, "losses must be numbers"),
        ({"val_losses": {1.5: 1.0}}, "iterations as keys"), ({"val_losses": {math.nan: 1.0}}, "iterations as keys"),
        ({"val_losses": {10**400: 1.0}}, "iterations as keys"), ({"val_losses": {1: "1"}}, "losses must be numbers"),
        ({"params": torch.zeros(20, dtype=torch.int64)}, "params are torch.int64"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit(changed, message):
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint(**changed).require_consistent()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "changed",
    [
        {"i": 1}, {"opt__batch_size": "x"}, {"opt__batch_size": 3}, {"progress": {}},
        {"progress__random": torch.zeros(3)}, {"progress__random": []}, {"progress__random": {"key": [0] * 624}},
        {"progress__random__key": torch.zeros(624, 2)}, {"progress__random__key": [0.5] * 624},
        {"progress__random__key": [2**32] * 624}, {"progress__random__key": [-1] * 624},
        {"progress__random__key": [0] * 623}, {"progress__random__key": None},
        {"progress__random__pos": 625}, {"progress__random__pos": -1}, {"progress__random__pos": 0.5},
        {"progress__state": torch.zeros(1, 2, 3, dtype=torch.float64)}, {"progress__state": []},
        {"progress__state": None}, {"progress__state": [1]}, {"progress__state": [torch.zeros(2, 3)]},
        {"progress__state": [torch.zeros(3, 2, dtype=torch.float64)]},
        {"progress__optimizer": torch.zeros(3)}, {"progress__optimizer": {}},
        {"progress__optimizer__mean_square": torch.zeros(3, dtype=torch.float64)},
        {"progress__optimizer__mean_square": "x"}, {"progress__optimizer__learning_rate": 1},
        {"progress__schedule": {"x": "y"}}, {"progress__schedule": []}, {"progress__schedule": torch.zeros(3)},
        {"progress__schedule": {"x": 10**400}}, {"progress__text": 1}, {"progress__unfinished": 1},
        {"progress__unfinished": torch.zeros(3)}, {"progress__unfinished": {"i": "x"}},
    ],
)  # fmt: skip
def test_progress_that_does_not_fit(changed):
    with pytest.raises(ValueError, match=r"^progress does not fit the network$"):
        checkpoint(**changed).require_consistent()


@pytest.mark.parametrize("model", CELLS)
def test_parameters_are_counted_without_making_them(model):
    for num_layers in (1, 2, 5):
        assert parameter_count(model, 4, 3, num_layers) == len(CharRNN(model, 4, 3, num_layers).params)
    assert parameter_count(model, 2, 2**62, 2**62) > 2**180


@pytest.mark.parametrize("change", ["missing", "more", "keys"])
def test_names_of_values(change, tmp_path):
    values = torch.load(RECORDED, weights_only=True)
    if change == "missing":
        del values["train_losses"]
        message = "train_losses is missing"
    elif change == "more":
        values["x" * 10**6] = 1
        message = "unknown field 'xxxxxxxxxxxx...xxxxxxxxxxxxx'"
    else:
        values[7] = 1
        message = "unknown field 7"
    torch.save(values, tmp_path / "changed.pt")
    with pytest.raises(UserError, match=message):
        charrnn_port.load_checkpoint(tmp_path / "changed.pt")


def test_formats(tmp_path):
    values = torch.load(RECORDED, weights_only=True)
    for format_, message in (
        ("charrnn_port checkpoint 4", "charrnn_port checkpoint 4, which a newer charrnn_port wrote"),
        ("charrnn_port checkpointed", "not one that train.py wrote"), ("c", "not one that train.py wrote"),
        ("charrnn_port checkpoint " + "9" * 10**6, r"charrnn_port checkpoint 9{36}\.\.\., which a newer"),
    ):  # fmt: skip
        torch.save(values | {"format": format_}, tmp_path / "changed.pt")
        with pytest.raises(UserError, match=message):
            charrnn_port.load_checkpoint(tmp_path / "changed.pt")
    torch.save(values | {"progress": None}, tmp_path / "changed.pt")
    assert charrnn_port.load_checkpoint(tmp_path / "changed.pt").progress is None


@pytest.mark.parametrize("change", ["no mean_square", "unfinished"])
def test_a_state_of_another_optimizer_or_iteration_is_a_one_line_error(change, tmp_path):
    (tmp_path / "input.txt").write_bytes(TEXT)
    run_train(*SMALL, "-eval_val_every", 20, "-data_dir", tmp_path, "-checkpoint_dir", tmp_path, "-max_epochs", 0.5)
    path, _ = saved_by_iteration(tmp_path)[20]
    values = torch.load(path)
    if change == "unfinished":
        values["progress"]["unfinished"] = {"what": 1}
    else:
        del values["progress"]["optimizer"]["mean_square"]
    torch.save(values, path)
    assert_one_line_error(run_train("-resume", path), 1, str(path), "what" if change == "unfinished" else "mean_square")

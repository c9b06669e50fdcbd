"""Tests Torch7's serialization: its files are read correctly, our files equal Torch7's, and any other file is refused
with a one-line error.

The recordings in recordings/t7 were saved by Torch7; mixed_binary.t7 and mixed_ascii.t7 hold the same table.
"""

import math
import os
import random
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RECORDINGS
from t7_helpers import assert_same_graph, header, integers, longs, mutate, storage, string, table_of, tensor

from charrnn_port.reports.verify.files import ALL, SMALL, written_back
from charrnn_port.torch7.random import Generator
from charrnn_port.torch7.t7 import Function, Storage, T7Error, Table, TorchObject, load, save

MUTATIONS = int(os.environ.get("T7_MUTATIONS", "500"))


def recorded(name: str) -> object:
    return load(RECORDINGS / "t7" / f"{name}.t7")


@pytest.fixture(params=["mixed_binary", "mixed_ascii"])
def mixed(request: pytest.FixtureRequest) -> Table:
    return recorded(request.param)


@pytest.fixture
def loaded(tmp_path: Path):
    """Load a file with these bytes."""

    def load_bytes(content: bytes) -> object:
        path = tmp_path / "object.t7"
        path.write_bytes(content)
        return load(path)

    return load_bytes


@pytest.fixture
def saved_and_loaded(tmp_path: Path):
    def round_trip(value: object, ascii: bool = False) -> object:
        save(tmp_path / "object.t7", value, ascii)
        return load(tmp_path / "object.t7")

    return round_trip


# What Torch7 wrote


def test_plain_values(mixed: Table):
    assert [mixed[key] for key in (b"int", b"negative", b"real", b"huge")] == [42, -7, 0.1, 1e300]
    assert mixed[b"infinity"] == math.inf
    assert mixed[b"yes"] is True
    assert mixed[b"no"] is False
    assert [mixed[key] for key in (b"text", b"empty", b"binary")] == [b"hello", b"", b"a\x00b\xffc"]
    assert mixed[b"nested"][b"a"][b"b"][b"c"] == b"deep"
    assert all(type(mixed[key]) is float for key in (b"int", b"real"))


def test_tables(mixed: Table):
    assert dict(mixed[b"list"]) == {1: 10, 2: 20, 3: 30}
    assert mixed[b"list"].sequence() == [10, 20, 30]
    table = mixed[b"mixed"]
    assert [table[key] for key in (1, 2, 5, 2.5, True)] == [1, b"two", 5, b"half", b"bool key"]
    assert len(table) == 5
    assert table.sequence() == [1, b"two"]


def test_shared_and_cyclic_tables(mixed: Table):
    assert mixed[b"shared_a"] is mixed[b"shared_b"]
    assert mixed[b"shared_a"].sequence() == [1, 2, 3]
    assert mixed[b"self"] is mixed


def test_every_tensor_type(mixed: Table):
    expected = {
        b"double": torch.tensor([1.5, -2.5, 1 / 3], dtype=torch.float64),
        b"float": torch.tensor([[1, 2], [3, 4]], dtype=torch.float32),
        b"long": torch.tensor([1, -2, 9007199254740992], dtype=torch.int64),
        b"int_t": torch.tensor([2147483647, -2147483648], dtype=torch.int32),
        b"short": torch.tensor([-5, 5], dtype=torch.int16),
        b"byte": torch.tensor([0, 128, 255], dtype=torch.uint8),
        b"char": torch.tensor([-128, 127], dtype=torch.int8),
        b"empty_t": torch.tensor([], dtype=torch.float64),
    }
    for name, values in expected.items():
        assert mixed[name].dtype == values.dtype
        assert torch.equal(mixed[name], values)


def test_views_share_their_storage(mixed: Table):
    base = torch.arange(1.0, 25.0, dtype=torch.float64).view(4, 6)
    views = {b"transposed": base.t(), b"narrowed": base[:, 2:4]}
    views |= {b"shared_storage_1": base[0], b"shared_storage_2": base[1]}
    for name, view in views.items():
        assert torch.equal(mixed[name], view)
        assert mixed[name].stride() == view.stride()
        assert mixed[name].storage_offset() == view.storage_offset()
    mixed[b"shared_storage_1"][2] = -1
    assert mixed[b"transposed"][2, 0] == mixed[b"narrowed"][0, 0] == -1


def test_storage(mixed: Table):
    storage = mixed[b"storage"]
    assert isinstance(storage, Storage)
    assert storage.values.dtype == torch.float32
    assert storage.values.tolist() == [1, 2, 3]


def test_nothing_else_in_the_table(mixed: Table):
    assert len(mixed) == 29


def test_ascii_and_binary_hold_the_same():
    assert_same_graph(recorded("mixed_ascii"), recorded("mixed_binary"))


def test_objects_by_themselves():
    assert math.isnan(recorded("nan"))
    assert recorded("nil") is None
    assert recorded("number") == 3.25
    assert recorded("string") == b"just text"
    assert recorded("bool") is True
    assert dict(recorded("vocab")) == {b"a": 1, b"\n": 2, b"\xff": 3}


def test_function_is_bytecode_and_what_follows_is_read():
    table = recorded("function")
    assert table[b"after"] == b"still read"
    function = table[b"f"]
    assert isinstance(function, Function)
    assert function.code.startswith(b"\x1bLJ")  # LuaJIT's
    assert dict(function.upvalues[1]) == {b"name": b"up", b"id": 1, b"value": 5}


def test_module():
    # Made after torch.manualSeed(1): weight and bias are the first numbers of that stream.
    uniform = Generator(1).uniform(-1 / math.sqrt(3), 1 / math.sqrt(3), 16)
    for name, numbers, dtype in (("linear", uniform[:8], "float64"), ("linear_float", uniform[8:], "float32")):
        linear = recorded(name)
        assert linear.class_name == "nn.Linear"
        assert linear.fields[b"_type"] == {"float64": b"torch.DoubleTensor", "float32": b"torch.FloatTensor"}[dtype]
        assert np.array_equal(linear.fields[b"weight"].numpy(), numbers[:6].astype(dtype).reshape(2, 3))
        assert np.array_equal(linear.fields[b"bias"].numpy(), numbers[6:].astype(dtype))


# What we write


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_writes_what_torch7_wrote(path: Path):
    """Reading preserves the order of tables, so that the bytes are the same."""
    result = written_back(path)
    assert result.holds, result
    assert result.total == path.stat().st_size


@pytest.mark.parametrize("path", [*SMALL, RECORDINGS / "lua_checkpoints" / "rnn.t7"], ids=lambda path: path.stem)
def test_ascii_keeps_everything(path: Path, saved_and_loaded):
    value = load(path)
    assert_same_graph(saved_and_loaded(value, ascii=True), value)


DTYPES = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64]


@pytest.mark.parametrize("ascii", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_come_back(dtype: torch.dtype, ascii: bool, saved_and_loaded):
    numbers = torch.arange(24).to(dtype) / 3 if dtype.is_floating_point else torch.arange(24).to(dtype)
    table = Table({b"whole": numbers.view(4, 6), b"view": numbers.view(4, 6)[1:, ::2].t(), b"none": numbers[:0]})
    table[b"storage"], table[b"other"] = Storage(numbers), Storage(numbers.clone())
    table[b"scattered"] = torch.arange(3)[:, None].expand(3, 2)
    assert_same_graph(saved_and_loaded(table, ascii), table)


def test_arrays_of_megabytes_come_back(saved_and_loaded):
    """Reading releases the pages of such an array; the values before and after it are still read correctly."""
    numbers = torch.arange(300_000, dtype=torch.float64)
    table = Table({1.0: b"first", 2.0: numbers, 3.0: numbers.float(), 4.0: b"last"})
    assert_same_graph(saved_and_loaded(table), table)


def test_empty_storages_stay_apart(saved_and_loaded):
    first, second = Storage(torch.zeros(0)), Storage(torch.zeros(0))
    table = saved_and_loaded(Table({1: first, 2: second, 3: first}))
    assert table[1] is table[3]
    assert table[1] is not table[2]


@pytest.mark.parametrize("ascii", [False, True])
def test_objects_shared_in_many_ways_come_back(ascii: bool, saved_and_loaded):
    inner, function = Table({1.0: b""}), Function(8, b"\x1bLJ\n", Table())
    function.upvalues[1.0] = function
    old = TorchObject("nn.Old", Table({b"f": function, b"nan": math.nan}), version=0)
    outer = Table({inner: True, old: 2.0, 1.0: inner, b"self": None, b"legacy": Function(7, b"", Table())})
    outer[True], outer[False], outer[b"self"] = old, inner, outer
    outer[b"oldest"] = Function(6, b"code", Table({1.0: outer}))
    assert_same_graph(saved_and_loaded(outer, ascii), outer)


def test_objects_are_equal_only_to_themselves(saved_and_loaded):
    """As in Lua, objects are distinct keys."""
    for new in (Table, lambda: TorchObject("nn.Linear"), lambda: Storage(torch.ones(1)), lambda: Function(8, b"")):
        one, other = new(), new()
        assert one == one
        assert one != other
        table = Table({one: 1.0, other: 2.0})
        assert (table[one], table[other]) == (1, 2)
        assert sorted(saved_and_loaded(table).values()) == [1, 2]


def test_binary_unless_asked_for_ascii(tmp_path: Path):
    for name, options in (("number.t7", {}), ("number_ascii.t7", {"ascii": True})):
        save(tmp_path / name, 3.25, **options)
    assert (tmp_path / "number.t7").read_bytes() == integers(1) + struct.pack("<d", 3.25)
    assert (tmp_path / "number_ascii.t7").read_bytes() == b"1\n3.25\n"


def test_a_new_object_is_of_version_1(tmp_path: Path):
    save(tmp_path / "object.t7", TorchObject("nn.Identity"))
    assert (tmp_path / "object.t7").read_bytes() == header(1, "nn.Identity") + integers(3, 2, 0)


@pytest.mark.parametrize("ascii", [False, True])
def test_whole_numbers_are_numbers(ascii: bool, saved_and_loaded):
    assert saved_and_loaded(7, ascii) == 7.0
    assert type(saved_and_loaded(7, ascii)) is float


@pytest.mark.parametrize(
    "value",
    ["text", {}, [], 1j, torch.tensor(1.0), torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1, device="meta")],
)
def test_what_torch7_has_not_is_not_written(value: object, tmp_path: Path):
    with pytest.raises(TypeError, match="Torch7 files cannot hold a"):
        save(tmp_path / "object.t7", Table({1: value}))


# Files made by hand


@pytest.mark.parametrize("zeros", [0, 2], ids=["ones", "zeros"])
def test_longs_of_four_bytes(zeros: int, loaded):
    """As written by 32-bit systems. Zeros after a 4-byte long do not make it look like an 8-byte one."""
    doubles = struct.pack("<6d", *[0.0] * zeros, *range(1, 7 - zeros))
    table = loaded(
        table_of(
            tensor("Double", [3, 2], [2, 1], 1, storage("Double", 6, doubles, size=4), size=4),
            tensor("Double", [2], [2], 2, integers(4, 2), size=4, index=3),
            storage("Long", 3, longs(4, -5, 6, size=4), size=4, index=4),
            tensor("Float", [], [], 1, integers(0), size=4, index=5),
            integers(2) + string(b"end"),
        )
    )
    numbers = torch.tensor(struct.unpack("<6d", doubles), dtype=torch.float64)
    assert torch.equal(table[1], numbers.view(3, 2))
    assert torch.equal(table[2], numbers[1:5:2])
    assert table[3].values.tolist() == [4, -5, 6]
    assert table[3].values.dtype == torch.int64
    assert table[4].shape == (0,)
    assert table[5] == b"end"


@pytest.mark.parametrize("size", [4, 8])
def test_first_long_tells_its_size(size: int, loaded):
    sizes, number = longs(4, 32, size=size), integers(1) + struct.pack("<d", 7)
    assert loaded(storage("Long", 2, sizes, size=size)).values.tolist() == [4, 32]
    assert loaded(table_of(storage("Char", 0, b"", size=size), number))[2] == 7
    assert loaded(table_of(tensor("Float", [], [], 1, integers(0), size=size), number))[2] == 7
    empty_storage = storage("Float", 0, b"", size=size)
    assert loaded(table_of(tensor("Float", [], [], 1, empty_storage, size=size), number))[2] == 7


def test_headers_without_version(loaded):
    fields = integers(3, 2, 1) + integers(2) + string(b"p") + integers(5, 1)
    module = loaded(integers(4, 1) + string(b"nn.Dropout") + fields)
    assert (module.class_name, module.version, dict(module.fields)) == ("nn.Dropout", 0, {b"p": True})
    content = integers(1) + longs(2, 1, 1) + integers(4, 2) + string(b"torch.ByteStorage") + longs(2) + b"\x07\x08"
    assert loaded(integers(4, 1) + string(b"torch.ByteTensor") + content).tolist() == [7, 8]


@pytest.mark.parametrize(
    ("kind", "code", "dtype"),
    [
        ("Cuda", "f", torch.float32),
        ("CudaDouble", "d", torch.float64),
        ("CudaHalf", "e", torch.float16),
        ("CudaLong", "q", torch.int64),
        ("CudaInt", "i", torch.int32),
        ("CudaShort", "h", torch.int16),
        ("CudaChar", "b", torch.int8),
        ("CudaByte", "B", torch.uint8),
        ("Cl", "f", torch.float32),
        ("Half", "e", torch.float16),
    ],
)
def test_gpu_classes_become_cpu_tensors(kind: str, code: str, dtype: torch.dtype, loaded):
    values = loaded(tensor(kind, [2, 2], [1, 2], 2, storage(kind, 5, struct.pack(f"<5{code}", 0, 1, 2, 3, 4))))
    assert values.dtype == dtype
    assert values.tolist() == [[1, 3], [2, 4]]


def test_as_many_dimensions_as_pytorch_takes(loaded):
    values = loaded(tensor("Float", [1] * 63 + [2], [1] * 64, 1, storage("Float", 2, struct.pack("<2f", 5, 6))))
    assert values.shape == (1,) * 63 + (2,)
    assert values.flatten().tolist() == [5, 6]


def test_functions_of_all_times(loaded):
    def function(head: bytes, index_of_upvalues: int) -> bytes:
        upvalues = integers(3, index_of_upvalues, 1) + integers(1) + struct.pack("<d", 1) + integers(5, 1)
        return head + string(b"\x1bLJ code") + upvalues

    table = loaded(table_of(function(integers(6), 1), function(integers(7, 2), 3), function(integers(8, 4), 5)))
    assert [function.tag for function in table.values()] == [6, 7, 8]
    assert all(function.code == b"\x1bLJ code" and function.upvalues[1] is True for function in table.values())


def test_assigning_nil_leaves_no_entry(loaded):
    assert len(loaded(table_of(integers(0), integers(5, 1)))) == 1


# Corrupt and hostile files


@pytest.fixture
def little_memory():
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6


def outcome(path: Path) -> object:
    """Return the object in a file or the error, and assert that it is quick and that the message has the right form."""
    began = time.process_time()
    try:
        result = load(path)
    except T7Error as error:
        result = error
    assert time.process_time() - began < 1
    if isinstance(result, T7Error):
        assert "\n" not in str(result)
        assert "(at byte " in str(result)
    return result


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.long] if "ascii" in path.stem else []) for path in SMALL],
)
@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.long)])
def test_truncated_anywhere(path: Path, step: int, tmp_path: Path):
    content = path.read_bytes()
    truncated = tmp_path / "truncated.t7"
    for size in range(0, len(content), step):
        truncated.write_bytes(content[:size])
        assert isinstance(outcome(truncated), T7Error), size


@pytest.mark.usefixtures("little_memory")
def test_mutated_at_random(tmp_path: Path):
    """For more files: T7_MUTATIONS=100000 pytest tests/torch7/test_t7.py -k mutated."""
    contents = [path.read_bytes() for path in SMALL]
    path = tmp_path / "mutated.t7"
    outcomes = []
    for seed in range(MUTATIONS):
        path.write_bytes(mutate(random.Random(seed).choice(contents), random.Random(seed)))
        outcomes.append(isinstance(outcome(path), T7Error))
    assert 0 < sum(outcomes) < MUTATIONS


FLOATS = struct.pack("<4f", 1, 2, 3, 4)
HOSTILE = {
    "string of 2^31": integers(2, 2**31 - 1) + b"x",
    "string of -1": integers(2, -1) + b"x",
    "table of 2^31": integers(3, 1, 2**31 - 1),
    "table of -1": integers(3, 1, -1),
    "function of 2^31": integers(8, 1, 2**31 - 1),
    "no such type": integers(9, 1),
    "negative type": integers(-1, 1),
    "storage of 2^62": storage("Float", 2**62, FLOATS),
    "storage of 2^61 + 1": storage("Double", 2**61 + 1, FLOATS),
    "storage of -1": storage("Float", -1, FLOATS),
    "storage larger than the file": storage("Float", 5, FLOATS),
    "tensor of 2^31 dimensions": header(1, "torch.FloatTensor") + integers(2**31 - 1) + longs(1, 1),
    "tensor of -1 dimensions": header(1, "torch.FloatTensor") + integers(-1) + longs(1, 1),
    "tensor of 65 dimensions": tensor("Float", [1] * 65, [1] * 65, 1, storage("Float", 4, FLOATS)),
    "size of 2^62": tensor("Float", [2**62], [1], 1, storage("Float", 4, FLOATS)),
    "size of -1": tensor("Float", [-1], [1], 1, storage("Float", 4, FLOATS)),
    "sizes of 2^63 together": tensor("Float", [2**32, 2**31], [0, 0], 1, storage("Float", 4, FLOATS)),
    "second size of 2^62": tensor("Float", [2, 2**62], [1, 1], 1, storage("Float", 4, FLOATS)),
    "sizes of 2^31 and 2^32": tensor("Float", [2**31, 2**32], [0, 0], 1, storage("Float", 4, FLOATS)),
    "storage of 2^62 under a tensor": tensor("Float", [2], [1], 1, storage("Float", 2**62, FLOATS)),
    "stride of 2^62": tensor("Float", [2], [2**62], 1, storage("Float", 4, FLOATS)),
    "stride of -1": tensor("Float", [2], [-1], 2, storage("Float", 4, FLOATS)),
    "offset of 0": tensor("Float", [2], [1], 0, storage("Float", 4, FLOATS)),
    "offset of -2^63": tensor("Float", [2], [1], -(2**63), storage("Float", 4, FLOATS)),
    "view one too long": tensor("Float", [2, 2], [2, 1], 2, storage("Float", 4, FLOATS)),
    "view into nothing": tensor("Float", [1], [1], 1, integers(0)),
    "storage of another type": tensor("Float", [1], [1], 1, storage("Double", 2, FLOATS)),
    "table for a storage": tensor("Float", [1], [1], 1, integers(3, 2, 0)),
    "tensor for a storage": table_of(
        tensor("Float", [1], [1], 1, storage("Float", 4, FLOATS)), tensor("Float", [1], [1], 1, integers(4, 1), index=3)
    ),
    "its own storage": tensor("Float", [1], [1], 1, integers(4, 1)),
    "index of another type": table_of(storage("Float", 4, FLOATS), integers(3, 2)),
    "table as a function": integers(3, 1, 1) + integers(5, 1) + integers(8, 1),
    "nil as key": integers(3, 1, 1) + integers(0) + integers(5, 1),
    "NaN as key": integers(3, 1, 1) + integers(1) + struct.pack("<d", math.nan) + integers(5, 1),
    "fields that are no table": header(1, "nn.Linear") + integers(5, 1),
    "class name of 2^31": integers(4, 1) + string(b"V 1") + integers(2**31 - 1),
    "ascii string of 10^30": b"2\n1" + b"0" * 30 + b"\nx\n",
    "ascii storage of 10^18": b"4\n1\n3\nV 1\n19\ntorch.DoubleStorage\n1" + b"0" * 18 + b"\n1 2 3\n",
    "ascii table of 10^5000": b"3\n1\n1" + b"0" * 5000 + b"\n",
    "ascii number that is none": b"1\nx\n",
    "a zip file": b"PK\x03\x04" + bytes(100),
    "a pickle": b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.",
    "text": b"To be, or not to be\n",
    "a second object": integers(5, 1, 5, 1),
    "empty": b"",
}


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "hostile.t7"
    path.write_bytes(content)
    assert isinstance(outcome(path), T7Error)


@pytest.mark.parametrize("ascii", [False, True])
def test_ten_thousand_deep(ascii: bool, saved_and_loaded):
    deep = top = Table()
    for _ in range(2500):
        deep[b"module"] = TorchObject("nn.Nest", Table({b"f": Function(8, b"", Table())}))
        deep = deep[b"module"].fields[b"f"].upvalues
    assert_same_graph(saved_and_loaded(top, ascii), top)


def test_the_error_says_what_and_where(loaded):
    with pytest.raises(T7Error, match=r"^unexpected end of file: expected 8 more bytes \(at byte 8\)$") as caught:
        loaded(integers(2, 8) + b"short")
    assert caught.value.offset == 8
    with pytest.raises(T7Error, match=r"^the file is empty \(at byte 0\)$"):
        loaded(b"")
    with pytest.raises(T7Error, match=r"^invalid size of a storage: -1 \(at byte "):
        loaded(table_of(storage("Float", 0, b""), storage("Float", -1, FLOATS, index=3)))
    with pytest.raises(T7Error, match=r"^unknown type tag 9 \(at byte 16\)$"):
        loaded(integers(3, 1, 1) + integers(9))

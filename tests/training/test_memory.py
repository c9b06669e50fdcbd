"""A run that cannot fit into memory is refused before it allocates; running out of memory later is one line too."""

import gc
import re
import sys
from dataclasses import replace

import pytest
import torch
from conftest import CPU_BACKENDS, assert_one_line_error, run_train, train_options

from charrnn_port.device import free_memory
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.model.memory import COPIES, MORE, ON_DEVICE, buffer_bytes, parameter_count
from charrnn_port.training import optimizers, prepare
from charrnn_port.util import cgroup
from charrnn_port.util.errors import UserError

CPU = torch.device("cpu")
PREPARE = sys.modules[prepare.__module__]
FIFTY_ROWS = train_options("-batch_size", 50)


@pytest.fixture
def arguments(play, tmp_path):
    return ["-data_dir", play, "-checkpoint_dir", tmp_path / "cv", "-gpuid", -1, "-max_epochs", "1e-3"]


def in_use() -> int:
    """Return the bytes of all tensors. Other tensor types, such as those left by torch.export, have no storage."""
    gc.collect()
    tensors = [each for each in gc.get_objects() if type(each) in (torch.Tensor, torch.nn.Parameter)]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
    return sum(storages.values())


@pytest.mark.parametrize("dropout", [0, 0.5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("cell", [backend for backend in CPU_BACKENDS if backend.values[0] in ("fused", "compiled")])
@pytest.mark.parametrize("model", list(CELLS))
def test_the_bill(model, cell, dtype, dropout, arguments):
    """The estimate is within 3 % above and 1 % below of what is allocated."""
    sizes = ["-model", model, "-cell", cell, "-dropout", dropout, "-dtype", str(dtype).removeprefix("torch.")]
    options = train_options(*arguments, *sizes)
    before = in_use()
    training = prepare(options)
    training.iteration()
    taken = in_use() - before
    if dropout:  # the masks are freed again
        taken += options.seq_length * options.batch_size * options.num_layers * options.rnn_size * dtype.itemsize
    shape = model, training.loader.vocab_size, options.rnn_size, options.num_layers
    bill = ON_DEVICE * parameter_count(*shape) * dtype.itemsize
    bill += buffer_bytes(cell, *shape, options.seq_length, options.batch_size, dropout > 0, dtype)
    assert parameter_count(*shape) == training.network.params.numel()
    assert 0.97 * taken < bill < 1.01 * taken


@pytest.mark.parametrize(
    "size", [("rnn_size", "1e6"), ("rnn_size", "1e18"), ("rnn_size", "1e300"), ("num_layers", "1e9")]
)
def test_sizes_that_cannot_be(size, arguments):
    if free_memory(CPU) is None:
        pytest.skip("this system does not report its free memory")
    result = run_train(*arguments, f"-{size[0]}", size[1])
    assert_one_line_error(result, 1, "out of memory", "GB of memory", "are free", "-rnn_size")


def test_it_is_the_memory_there_is_that_counts(arguments, monkeypatch):
    """A run of 50 MB, where there is more and where there is less."""
    monkeypatch.setattr(PREPARE, "free_memory", lambda device: 70 * 10**6)
    assert run_train(*arguments).exit_code == 0
    monkeypatch.setattr(PREPARE, "free_memory", lambda device: 30 * 10**6)
    assert_one_line_error(run_train(*arguments), 1, "0.1 GB of memory, and 0.0 GB are free")


def test_without_a_count_of_free_memory(arguments, monkeypatch):
    """PyTorch fails to allocate more than a process can address."""
    monkeypatch.setattr(PREPARE, "free_memory", lambda device: None)
    assert_one_line_error(run_train(*arguments, "-rnn_size", "4e6"), 1, "out of memory: cannot allocate 1", "bytes; ")


class OutOfMemoryError(RuntimeError):
    """Stands in for torch.OutOfMemoryError."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory: use smaller sizes"),
        (MemoryError("Unable to allocate 7.28 TiB for an array with shape (10,)"), "memory: cannot allocate 7.28 TiB"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0"), "cannot allocate 20.00 GiB"),
        (RuntimeError("CUDA error: out of memory"), "out of memory: use smaller sizes"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."),
            "cannot allocate 99 bytes",
        ),
    ],
)
def test_memory_that_runs_out_on_the_way(error, words, arguments, monkeypatch):
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(PREPARE, "initialize", fail)
    assert_one_line_error(run_train(*arguments), 1, words)


def test_other_errors_are_not_hidden(arguments, monkeypatch):
    def fail(*given: object) -> None:
        raise RuntimeError("a fault in this program")

    monkeypatch.setattr(PREPARE, "initialize", fail)
    assert isinstance(run_train(*arguments).exception, RuntimeError)


def test_how_much_is_free():
    free = free_memory(CPU)
    assert free is None or 10**6 < free < 10**15
    assert free_memory(torch.device("mps")) is None


@pytest.mark.skipif(free_memory(CPU) is None, reason="this system does not report its free memory")
def test_a_container_with_a_limit(arguments, monkeypatch):
    """Dry runs are refused too, since they allocate all of it."""
    monkeypatch.setattr(cgroup, "free_memory", lambda: 300 * 10**6)
    sizes = ["-rnn_size", 1200, "-num_layers", 3, "-dry_run", 1]
    assert_one_line_error(run_train(*arguments, *sizes), 1, "out of memory", "0.3 GB are free")


@pytest.mark.parametrize("optimizer", MORE)
def test_the_bill_of_an_optimizer(optimizer):
    """rmsprop has one vector of its own, as in the bill above; the others have MORE of them."""
    before = in_use()
    params = torch.zeros(1000, dtype=torch.float64)
    made = optimizers.create(train_options("-optimizer", optimizer), params)
    made.step(params.clone())
    assert in_use() - before - 8000 == 8000 * (1 + MORE[optimizer])


def test_the_largest_batch_that_fits_is_named(arguments, monkeypatch):
    """It fits, and one more does not. If not even one row fits, no batch size is suggested.

    Which number that is depends on the processor, whose vectors the buffers are padded to.
    """
    monkeypatch.setattr(PREPARE, "free_memory", lambda device: 30 * 10**6)
    refused = run_train(*arguments)
    words = "use -batch_size ", " at most, or a smaller -rnn_size, -num_layers or -seq_length"
    assert_one_line_error(refused, 1, *words)
    largest = int(re.search("-batch_size (\\d+)", refused.stderr)[1])
    assert 15 < largest < 25
    assert run_train(*arguments, "-batch_size", largest).exit_code == 0
    assert_one_line_error(run_train(*arguments, "-batch_size", largest + 1), 1, f"-batch_size {largest} at most")
    monkeypatch.setattr(PREPARE, "free_memory", lambda device: 10**6)
    assert_one_line_error(run_train(*arguments), 1, "are free: use a smaller -rnn_size, -num_layers or -seq_length")


def refusal(
    place: str, free: int, vocab_size: int = 65, text: int = 0, rows: int = 50, optimizer: str = "rmsprop"
) -> str:
    """Return the error of a run on a GPU where only `place`, cuda or cpu, has as little as `free` bytes; "" if none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PREPARE, "free_memory", lambda device: free if device.type == place else 10**15)
        sizes = vocab_size, 128, 2
        try:
            options = replace(FIFTY_ROWS, optimizer=optimizer)
            PREPARE.require_memory(options, "plain", sizes, rows, text, torch.float32, torch.device("cuda"))
        except UserError as error:
            return str(error)
    return ""


def need(vocab_size: int = 65, rows: int = 50, optimizer: str = "rmsprop") -> dict[str, int]:
    """Return the bytes that a run on a GPU needs without its text."""
    shape, single = ("lstm", vocab_size, 128, 2), torch.float32
    one, two = (buffer_bytes("plain", *shape, FIFTY_ROWS.seq_length, count, False, single) for count in (1, 2))
    parameters, more = 4 * parameter_count(*shape), MORE[optimizer]
    return {
        "cuda": (ON_DEVICE + more) * parameters + one + (rows - 1) * (two - one),
        "cpu": (COPIES + more) * parameters,
    }


@pytest.mark.parametrize(("place", "name"), [("cuda", "GPU"), ("cpu", "CPU")])
def test_on_a_gpu_both_memories_count(place, name):
    """Buffers are on the GPU, copies on the CPU."""
    assert f" of memory on the {name}, and 0.0 GB are free: use a smaller" in refusal(place, 0)
    for optimizer in MORE:
        free = need(optimizer=optimizer)[place]
        assert refusal(place, free - 1, optimizer=optimizer)
        assert not refusal(place, free, optimizer=optimizer)


@pytest.mark.parametrize(("vocab_size", "size"), [(65, 1), (256, 1), (257, 4)])
def test_a_text_on_a_gpu(vocab_size, size):
    """One byte per id up to 256 characters, otherwise four."""
    free = need(vocab_size)["cuda"] + size * 10**9
    assert refusal("cuda", free - 1, vocab_size, 10**9)
    assert not refusal("cuda", free, vocab_size, 10**9)


def test_the_advised_batch_is_that_of_all_processes():
    """With half of the rows in this process, as many again are in the other one."""
    free = need(rows=20)["cuda"]
    assert "use -batch_size 20 at most" in refusal("cuda", free)
    assert "use -batch_size 40 at most" in refusal("cuda", free, rows=25)
    assert "use -batch_size 1 at most" in refusal("cuda", need(rows=1)["cuda"])


@pytest.mark.parametrize(
    ("size", "words"), [(10**9, "1.0 GB"), (1.5e12, "1,500.0 GB"), (10**15, "more than a million GB")]
)
def test_bytes_in_words(size, words):
    assert PREPARE.gigabytes(size) == words

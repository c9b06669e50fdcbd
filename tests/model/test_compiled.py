"""The cells in C: exact functions, the same bits on every processor, and the fallback without a compiler."""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import short_runs
import torch
from conftest import CPU_BACKENDS, NEEDS_COMPILER, ROOT, assert_one_line_error, run_train

from charrnn_port.model import build, fastest_backend
from charrnn_port.model.build import built
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.model.compiled import Workspace, run
from charrnn_port.model.compiled_char_rnn import CompiledCharRNN
from charrnn_port.model.sequence import LayerWeights, Sequence

CPU = torch.device("cpu")
DTYPES = [torch.float64, torch.float32]


# Compiler flags for other processors, which lack instructions of this one. "baseline" has what all have.
LACKING = ["avx512f", "avx2", "fma", "avx", "baseline"]
QUICKLY = ["nothing", "avx512f"]  # the others with `-m long`


@pytest.fixture(
    params=["nothing", *(pytest.param(name, marks=[] if name in QUICKLY else pytest.mark.long) for name in LACKING)]
)
def lacking(request, monkeypatch):
    """The cells compiled for this processor, and for one that lacks some of its instructions."""
    lacking = request.param
    if lacking in LACKING:
        flags = [] if lacking == "baseline" else [*build.FOR_THIS_MACHINE[0], f"-mno-{lacking}"]
        monkeypatch.setattr(build, "FOR_THIS_MACHINE", [flags])
        built.cache_clear()
        if not built(torch.float64).functions:
            built.cache_clear()
            pytest.skip(f"this compiler has no -mno-{lacking}")
    yield lacking
    monkeypatch.undo()
    if lacking in LACKING:
        built.cache_clear()


@pytest.fixture
def compiler(monkeypatch):
    """Function: set another compiler than the default."""

    def choose(command: str) -> None:
        built.cache_clear()
        monkeypatch.setenv("CC", command)

    yield choose
    monkeypatch.undo()
    built.cache_clear()


def one_step(model: str, x: torch.Tensor) -> Sequence:
    """Do a time step of a layer whose weights are zero, so that every gate's pre-activations are x `[H]`."""
    H = len(x)
    layer = CELLS[model].CompiledSequence(x.new_zeros, None, T=1, B=1, H=H)
    n = layer.pre_activations.shape[2]
    layer.pre_activations.copy_(x.repeat(n // H))
    layer.forward(LayerWeights(None, x.new_zeros(n, 1), x.new_zeros(n), x.new_zeros(n, H), x.new_zeros(n)))
    return layer


def tanh(x: torch.Tensor) -> torch.Tensor:
    """Compute tanh as the output of an rnn."""
    return one_step("rnn", x).h[1, 0]


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """Compute sigmoid as the input gate of an lstm."""
    return one_step("lstm", x).pre_activations[0, 0, : len(x)]


def in_pieces(function, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([function(piece) for piece in x.split(50)])


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_functions(name, dtype, lacking):
    """The error in units in the last place, also for small arguments; PyTorch's is 0.7 and 2.5.

    In float64 they are glibc's functions, whose bits tests/model/test_libm.py checks.
    """
    units = 1.4 if (name, dtype) == ("tanh", torch.float32) else 2.1
    if dtype == torch.float64 and np.finfo(np.longdouble).eps == np.finfo(np.float64).eps:
        pytest.skip("no longer type here to compare with")
    generator = torch.Generator().manual_seed(1)
    x = torch.cat([torch.linspace(-20, 20, 20001), torch.randn(20000, generator=generator)]).to(dtype)
    x = torch.cat([x, x * 1e-3, x * 1e-6])
    exact = x.numpy().astype(np.longdouble)
    exact = np.tanh(exact) if name == "tanh" else 1 / (1 + np.exp(-exact))
    unit = np.spacing(np.abs(exact.astype(x.numpy().dtype)))
    ours = in_pieces({"tanh": tanh, "sigmoid": sigmoid}[name], x).numpy()
    assert (np.abs(ours - exact) / unit).max() < units


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_at_the_ends(dtype, lacking):
    x = torch.tensor([0, 1e4, -1e4, torch.inf, -torch.inf, torch.nan], dtype=dtype)
    assert tanh(x)[:5].tolist() == [0, 1, -1, 1, -1]
    assert sigmoid(x)[:5].tolist() == pytest.approx([0.5, 1, 0, 1, 0], abs=1e-37)
    assert tanh(x)[5].isnan()
    assert sigmoid(x)[5].isnan()


@NEEDS_COMPILER
@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (64, 32), (100, 33)])
def test_transposed(shape):
    wider = torch.rand(shape[0], shape[1] + 5, dtype=torch.float64)
    for source in (wider[:, : shape[1]], wider[:, 5:]):
        target = torch.empty(*source.shape[::-1], dtype=torch.float64)
        CompiledCharRNN.copy_transposed(target, source)
        assert torch.equal(target, source.T)


@pytest.fixture
def set_threads():
    """Function: set the number of threads."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# Sizes below and above a product's tile, and not its multiple. At 200 units threads share columns, not rows.
SIZES = [(1, 1), (7, 5), (16, 12), (33, 13), (70, 30), (200, 13), (300, 3)]


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rnn_size", "batch_size"), SIZES)
@pytest.mark.parametrize("model", list(CELLS))
def test_any_size_and_number_of_threads(model, rnn_size, batch_size, dtype, set_threads):
    """Outputs and gradients of the cells as with PyTorch's operations, and the same bits for any number of threads."""
    assert_as_with_pytorch(model, rnn_size, batch_size, dtype, set_threads)


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", list(CELLS))
def test_any_size_on_other_processors(model, dtype, lacking, set_threads):
    """The results agree if vectors are shorter and products are rounded separately."""
    for rnn_size, batch_size in SIZES:
        assert_as_with_pytorch(model, rnn_size, batch_size, dtype, set_threads)


def assert_as_with_pytorch(
    model: str, rnn_size: int, batch_size: int, dtype: torch.dtype, set_threads: Callable[[int], None]
) -> None:
    T = 3
    options = {"ids": None, "T": T, "B": batch_size, "H": rnn_size}
    generator = torch.Generator().manual_seed(1)

    def new(*shape: int) -> torch.Tensor:
        return torch.rand(shape, dtype=dtype, generator=generator) - 0.5

    eager = CELLS[model].EagerSequence(new, **options)
    n = eager.pre_activations.shape[2]
    weights = LayerWeights(None, new(n, 1), new(n), new(n, rnn_size), new(n))
    before = [buffer[0].clone() for buffer in eager.state]
    pre_activations, grad_h = new(T, batch_size, n), new(T, batch_size, rnn_size)

    def outcome(layer) -> list[torch.Tensor]:
        """Return outputs, and the gradients by the pre-activations and by the bias."""
        for buffer, value in zip(layer.state, before, strict=True):
            buffer[0] = value
        layer.pre_activations.copy_(pre_activations)
        layer.grad_h.copy_(grad_h)
        layer.forward(weights)
        h, grad_rows = layer.h.clone(), new(1, n)
        if layer is eager:
            layer.backward(weights, grad_rows)
            return [h, layer.pre_activations, grad_rows[0]]
        layer.backward(weights)
        return [h, layer.pre_activations, layer.grad_bias]

    expected = outcome(eager)
    results = []
    for threads in (1, 2, 3):
        set_threads(threads)
        results.append(outcome(CELLS[model].CompiledSequence(new, **options)))
        for ours, first, theirs in zip(results[-1], results[0], expected, strict=True):
            assert torch.equal(ours, first)
            assert (ours - theirs).norm() < {torch.float64: 1e-13, torch.float32: 1e-5}[dtype] * theirs.norm()


# T, B, I, O: below and above a tile, a panel, a strip and a block, and not multiples of them; odd and even.
LINEARS = [(1, 1, 1, 1), (2, 3, 3, 5), (2, 9, 300, 33), (10, 10, 129, 70), (3, 271, 65, 18), (25, 10, 40, 160)]


def linear(x: torch.Tensor, weight: torch.Tensor, grad_y: torch.Tensor) -> list[torch.Tensor]:
    """Return y, and the gradients by x and the weight, of an nn.Linear without bias (model/linear.h)."""
    (T, B, I), O = x.shape, len(weight)  # noqa: E741
    y, grad_x, grad_weight = torch.full_like(grad_y, torch.nan), torch.empty_like(x), torch.empty_like(weight)
    workspace = Workspace(x.new_empty, max(I, O))
    run("linear_outputs", y, x, weight, T, B, I, O, workspace)
    run("grad_inputs", grad_x, grad_y, O, weight, T, B, I, O, workspace)
    run("grad_weights", grad_weight, grad_y, O, x, T, B, I, O, workspace)
    return [y, grad_x, grad_weight]


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", LINEARS)
def test_products_over_all_time_steps(shape, dtype, lacking, set_threads):
    """Results are close to double precision, with the same bits for any number of threads (test_odd_shapes.py)."""
    T, B, I, O = shape  # noqa: E741
    generator = torch.Generator().manual_seed(1)
    x, weight, grad_y = (
        torch.rand(*size, dtype=dtype, generator=generator) - 0.5 for size in ((T, B, I), (O, I), (T, B, O))
    )
    flat_x, flat_grad = x.flatten(0, 1).double(), grad_y.flatten(0, 1).double()
    factors = [(flat_x, weight.T.double()), (flat_grad, weight.double()), (flat_grad.T, flat_x)]
    results = []
    for threads in (1, 2, 3):
        set_threads(threads)
        results.append(linear(x, weight, grad_y))
        for ours, first, (left, right) in zip(results[-1], results[0], factors, strict=True):
            assert torch.equal(ours, first)
            # The error bound of a sum of n products (Higham 2002, eq. 3.5), plus that of the reference.
            error, bound = ours.view(len(left), -1) - left @ right, left.abs() @ right.abs()
            assert (error.abs() <= (left.shape[1] + 2) * torch.finfo(dtype).eps * bound).all()


@NEEDS_COMPILER
def test_products_with_more_threads_than_there_were(set_threads):
    """The workspace is allocated for the number of threads at that time."""
    set_threads(1)
    x, weight = torch.rand(3, 100, 200, dtype=torch.float64), torch.rand(100, 200, dtype=torch.float64)
    workspace, y = Workspace(x.new_empty, 200), torch.empty(3, 100, 100, dtype=torch.float64)
    set_threads(3)
    run("linear_outputs", y, x, weight, *x.shape, 100, workspace)
    assert torch.allclose(y, x @ weight.T, rtol=1e-13, atol=0)


# Compilers with flags, and numbers of threads. The flags allow at most AVX2, no FMA, or no vectors.
COMPILERS = [("cc -mno-avx512f", 1), ("cc -mno-avx512f -mno-avx2 -mno-fma", 1), ("cc -O1", 3)]
COMPILERS += [("gcc-11", 1), ("clang-14", 2), ("clang-19", 1), (f"{sys.executable} -m ziglang cc", 2)]


@pytest.fixture(scope="module")
def expected_digests(play) -> dict[str, str]:
    return short_runs.digests(play, 1)


@NEEDS_COMPILER
def test_the_same_bits_with_two_threads(play, expected_digests):
    """For all cells, both dtypes and all optimizers."""
    assert len(set(expected_digests.values())) == 18
    assert short_runs.digests(play, 2) == expected_digests


@NEEDS_COMPILER
def test_a_thread_goes_on_alone_in_the_middle_of_a_pass():
    """As where another program has the other thread's core (model/parts.h): here without patience, after two steps."""
    alone = short_runs.single_row(1)
    assert short_runs.single_row(2) == alone
    program = [sys.executable, "-c", "import short_runs; print(short_runs.single_row(2))"]
    folders = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"CC": "cc -DPATIENCE=-1000000000", "PYTHONPATH": folders}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == (f"{alone}\n", "")


@pytest.mark.long
@NEEDS_COMPILER
@pytest.mark.parametrize(("command", "threads"), COMPILERS)
def test_the_same_bits_on_every_processor(command, threads, play, expected_digests):
    """The bits do not depend on vectors or compilers."""
    environment = os.environ | {"CC": command, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, short_runs.__file__, play, str(threads)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    if "UserError: -cell compiled: " in done.stderr:
        pytest.skip(f"{command} cannot compile the cells here")
    assert json.loads(done.stdout) == expected_digests


OWN_THREADS = """
import hashlib, os, threading
import torch
from charrnn_port.model.compiled import Workspace, run
from charrnn_port.model.compiled_char_rnn import CompiledCharRNN

x, weight = torch.linspace(-1, 1, 6 * 51 * 130).view(6, 51, 130), torch.linspace(-1, 1, 170 * 130).view(170, 130)

# For a single row threads share the units, with barriers. PyTorch's own threads, which fill these, hang after fork.
networks = [CompiledCharRNN("gru", 20, 130, 2) for _ in range(8)]
for network in networks:
    torch.linspace(-0.3, 0.3, len(network.params), out=network.params)

def product(threads):
    torch.set_num_threads(threads)
    workspace, y = Workspace(x.new_empty, 170), torch.empty(6, 51, 170)
    for _ in range(30):
        run("linear_outputs", y, x, weight, 6, 51, 130, 170, workspace)
    network = networks.pop()
    log_probs, state = network.log_probs(torch.arange(200)[:, None] % 20, network.zero_state(1))
    return b"".join(result.numpy().tobytes() for result in (y, log_probs, *state))

results = [product(1), product(2), product(5)]
others = [threading.Thread(target=lambda: results.append(product(3))) for _ in range(4)]
for thread in others:
    thread.start()
for thread in others:
    thread.join()
child = os.fork()
if not child:
    os._exit(int(product(3) != results[0]))
print(len(results), len(set(results)), os.waitpid(child, 0)[1])
"""


def test_threads_without_an_openmp_library():
    """model/threads.c: several Python threads at once, and a process after fork, compute the same bits."""
    clang = next(filter(shutil.which, ("clang", "clang-14", "clang-19")), None)
    if find_spec("ziglang"):
        clang = f"{sys.executable} -m ziglang cc"
    if not clang:
        pytest.skip("no clang")
    environment = os.environ | {"CC": clang, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", OWN_THREADS], env=environment, capture_output=True, text=True, timeout=100
    )
    assert (done.stdout, done.stderr) == ("7 1 0\n", "")


@pytest.mark.long
@NEEDS_COMPILER
def test_a_compiler_that_knows_little(compiler, tmp_path):
    """Without the special instructions of this processor the results are the same."""
    x = torch.linspace(-3, 3, 50, dtype=torch.float64)
    expected = tanh(x)
    knows_little = tmp_path / "cc.py"
    knows_little.write_text(
        "import subprocess, sys\n"
        "refused = [word for word in sys.argv if word.startswith(('-march', '-mprefer'))]\n"
        "sys.exit(1 if refused else subprocess.call(['cc', *sys.argv[1:]]))\n"
    )
    compiler(shlex.join([sys.executable, str(knows_little)]))
    assert torch.equal(tanh(x), expected)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors all have it")
@NEEDS_COMPILER
def test_without_fused_multiply_add(compiler, play, tmp_path):
    """Without fused multiply-add the fused backend is chosen, and train.py warns that digits agree up to rounding."""
    compiler("cc -mno-avx512f -mno-avx2 -mno-fma")
    assert fastest_backend("lstm", torch.float64, CPU) == "fused"
    options = ["-data_dir", play, "-checkpoint_dir", tmp_path, "-gpuid", "-1", "-rnn_size", "8", "-max_epochs", "1e-3"]
    (line,) = cell_lines(run_train(*options))
    assert "because this processor has no fused multiply-add" in line
    assert "results agree to rounding only" in line


@pytest.mark.parametrize("command", ["false", "/no/such/compiler", ""])
def test_without_a_compiler(compiler, command, play, tmp_path):
    compiler(command)
    assert fastest_backend("lstm", torch.float64, CPU) == "fused"
    options = ["-data_dir", play, "-checkpoint_dir", tmp_path, "-gpuid", "-1", "-rnn_size", "8", "-max_epochs", "1e-3"]
    result = run_train(*options)
    assert result.exit_code == 0
    (line,) = cell_lines(result)
    assert line.startswith(f"cell: fused, float64, 1 thread, because {built(torch.float64).how}; ")
    assert_one_line_error(run_train(*options, "-cell", "compiled"), 1, "-cell compiled", "C compiler", "use fused")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cell", [None, *CPU_BACKENDS])
def test_train_says_how_the_cells_run(cell, dtype, play, tmp_path, set_threads):
    """The note is printed once, on stderr."""
    options = ["-data_dir", play, "-checkpoint_dir", tmp_path, "-gpuid", "-1", "-rnn_size", "8", "-max_epochs", "1e-3"]
    if cell:
        options += ["-cell", cell]
    set_threads(2)
    backend = cell or fastest_backend("lstm", torch.float64, CPU)
    if backend == "compiled":
        backend = f"compiled ({built(torch.float64).how})"
    (line,) = cell_lines(run_train(*options, "-dtype", dtype))
    assert line.startswith(f"cell: {backend}, {dtype}, 2 threads")
    assert ("because" in line) == (cell is None and backend == "fused")


def cell_lines(result) -> list[str]:
    assert "cell: " not in result.stdout
    return [line for line in result.stderr.splitlines() if line.startswith("cell: ")]

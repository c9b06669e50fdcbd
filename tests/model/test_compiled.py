"""The cells in C: their functions are as exact as PyTorch's, and where there is no compiler all goes on without."""

import itertools
import shlex
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import NEEDS_COMPILER, WAYS, assert_one_line_error, run_train

from charrnn_port.model import build, fastest
from charrnn_port.model.build import built
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.model.compiled import CompiledDense
from charrnn_port.model.sequence import LayerWeights, Sequence

CPU = torch.device("cpu")
DTYPES = [torch.float64, torch.float32]


# The cells for other processors of this kind: what this one has and they lack. "baseline" has what all have.
LACKING = ["avx512f", "avx2", "fma", "avx", "baseline"]
# Where nothing multiplies and adds in one, sigmoid does not divide in double precision either: in float32 it is a bit
# less exact then, though still more than PyTorch's.
WITHOUT_FMA = ("fma", "avx", "baseline")


@pytest.fixture(params=["nothing", *LACKING])
def lacking(request, monkeypatch):
    """The cells as the compiler makes them for this processor, and for one that lacks some of its instructions."""
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
    """Function: name another compiler than the usual one."""

    def choose(command: str) -> None:
        built.cache_clear()
        monkeypatch.setenv("CC", command)

    yield choose
    monkeypatch.undo()
    built.cache_clear()


def one_step(model: str, x: torch.Tensor) -> Sequence:
    """After a time step of a layer whose weights are zero, so that every gate's pre-activations are x `[H]`."""
    H = len(x)
    layer = CELLS[model].CompiledSequence(x.new_zeros, None, T=1, B=1, H=H)
    n = layer.pre_activations.shape[2]
    layer.pre_activations.copy_(x.repeat(n // H))
    layer.forward(LayerWeights(None, x.new_zeros(n, 1), x.new_zeros(n), x.new_zeros(n, H), x.new_zeros(n)))
    return layer


def tanh(x: torch.Tensor) -> torch.Tensor:
    """An rnn's output."""
    return one_step("rnn", x).h[1, 0]


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """An lstm's input gate."""
    return one_step("lstm", x).pre_activations[0, 0, : len(x)]


def in_pieces(function, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([function(piece) for piece in x.split(50)])


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "units"), [("tanh", 1.4), ("sigmoid", 2.1)])
def test_functions(name, units, dtype, lacking):
    """So near to the true value, in units in the last place, small arguments included; PyTorch's: 0.7 and 2.5."""
    if dtype == torch.float64 and np.finfo(np.longdouble).eps == np.finfo(np.float64).eps:
        pytest.skip("no longer type here to compare with")
    generator = torch.Generator().manual_seed(1)
    x = torch.cat([torch.linspace(-20, 20, 20001), torch.randn(20000, generator=generator)]).to(dtype)
    x = torch.cat([x, x * 1e-3, x * 1e-6])
    exact = x.numpy().astype(np.longdouble)
    exact = np.tanh(exact) if name == "tanh" else 1 / (1 + np.exp(-exact))
    unit = np.spacing(np.abs(exact.astype(x.numpy().dtype)))
    ours = in_pieces({"tanh": tanh, "sigmoid": sigmoid}[name], x).numpy()
    if (name, dtype) == ("sigmoid", torch.float32) and lacking in WITHOUT_FMA:
        units = 2.3
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
        CompiledDense.copy_transposed(target, source)
        assert torch.equal(target, source.T)


@pytest.fixture
def set_threads():
    """Function: go on with so many threads."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# Less and more than a tile of a product, and not a multiple of it; at 200 units threads share columns, not rows.
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
    """The same where vectors are shorter and products are rounded twice."""
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
        for buffer, value in zip(layer.state, before, strict=True):
            buffer[0] = value
        layer.pre_activations.copy_(pre_activations)
        layer.grad_h.copy_(grad_h)
        layer.forward(weights)
        h, grad_rows = layer.h.clone(), new(1, n)
        layer.backward(weights, grad_rows)
        return [h, layer.pre_activations, grad_rows]

    expected = outcome(eager)
    results = []
    for threads in (1, 2, 3):
        set_threads(threads)
        results.append(outcome(CELLS[model].CompiledSequence(new, **options)))
        for ours, first, theirs in zip(results[-1], results[0], expected, strict=True):
            assert torch.equal(ours, first)
            assert (ours - theirs).norm() < {torch.float64: 1e-13, torch.float32: 1e-5}[dtype] * theirs.norm()


# Less and more than a tile, a panel, a strip and a block, and not a multiple of them.
PRODUCTS = [(1, 1, 1), (5, 3, 7), (13, 300, 33), (100, 129, 70), (203, 257, 65), (250, 40, 160)]


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_over_all_time_steps(dtype, lacking, set_threads):
    """Of matrices in every layout, next to sums in double precision; the same bits for any number of threads."""
    generator = torch.Generator().manual_seed(1)

    def matrix(rows: int, columns: int, layout: str) -> torch.Tensor:
        wide = torch.rand(rows + 1, columns + 1, dtype=dtype, generator=generator) - 0.5
        return {"rows": wide[1:, 1:], "columns": wide.T.contiguous().T[:rows, :columns]}[layout]

    for rows, inner, columns in PRODUCTS:
        for layouts in itertools.product(["rows", "columns"], repeat=2):
            left, right = matrix(rows, inner, layouts[0]), matrix(inner, columns, layouts[1])
            exact, bound = left.double() @ right.double(), left.double().abs() @ right.double().abs()
            results = []
            for threads in (1, 2, 3):
                set_threads(threads)
                target = torch.full((rows, columns + 3), torch.nan, dtype=dtype)
                CompiledDense(left.new_empty, inner, columns).product(target[:, :columns], left, right)
                assert target[:, columns:].isnan().all()
                results.append(target[:, :columns])
                assert torch.equal(results[-1], results[0])
            # The bound of a sum of n products (Higham 2002, eq. 3.5), and here that of the exact one beside it.
            assert ((results[0] - exact).abs() <= (inner + 2) * torch.finfo(dtype).eps * bound).all()


@NEEDS_COMPILER
def test_products_with_more_threads_than_there_were(set_threads):
    """Space is for as many threads as there are when it is made."""
    set_threads(1)
    left, right = torch.rand(300, 200, dtype=torch.float64), torch.rand(200, 100, dtype=torch.float64)
    dense, target = CompiledDense(left.new_empty, 200, 100), torch.empty(300, 100, dtype=torch.float64)
    set_threads(3)
    dense.product(target, left, right)
    assert torch.allclose(target, left @ right, rtol=1e-13, atol=0)


@NEEDS_COMPILER
def test_a_compiler_that_knows_little(compiler, tmp_path):
    """No instructions of this processor: the same numbers to rounding."""
    x = torch.linspace(-3, 3, 50, dtype=torch.float64)
    expected = tanh(x)
    knows_little = tmp_path / "cc.py"
    knows_little.write_text(
        "import subprocess, sys\n"
        "refused = [word for word in sys.argv if word.startswith(('-march', '-mprefer'))]\n"
        "sys.exit(1 if refused else subprocess.call(['cc', *sys.argv[1:]]))\n"
    )
    compiler(shlex.join([sys.executable, str(knows_little)]))
    assert torch.allclose(tanh(x), expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("command", ["false", "/no/such/compiler", ""])
def test_without_a_compiler(compiler, command, play, tmp_path):
    compiler(command)
    assert fastest("lstm", torch.float64, CPU) == "fused"
    options = ["-data_dir", play, "-checkpoint_dir", tmp_path, "-gpuid", "-1", "-rnn_size", "8", "-max_epochs", "1e-3"]
    result = run_train(*options)
    assert result.exit_code == 0
    (line,) = cell_lines(result)
    assert line.startswith(f"cell: fused, float64, 1 thread, because {built(torch.float64).how}; ")
    assert_one_line_error(run_train(*options, "-cell", "compiled"), 1, "-cell compiled", "C compiler", "take fused")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cell", [None, *WAYS])
def test_train_says_how_the_cells_run(cell, dtype, play, tmp_path, set_threads):
    """Once, on stderr."""
    options = ["-data_dir", play, "-checkpoint_dir", tmp_path, "-gpuid", "-1", "-rnn_size", "8", "-max_epochs", "1e-3"]
    if cell:
        options += ["-cell", cell]
    set_threads(2)
    way = cell or fastest("lstm", torch.float64, CPU)
    if way == "compiled":
        way = f"compiled ({built(torch.float64).how})"
    (line,) = cell_lines(run_train(*options, "-dtype", dtype))
    assert line.startswith(f"cell: {way}, {dtype}, 2 threads")
    assert ("because" in line) == (cell is None and way == "fused")


def cell_lines(result) -> list[str]:
    assert "cell: " not in result.stdout
    return [line for line in result.stderr.splitlines() if line.startswith("cell: ")]

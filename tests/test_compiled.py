"""The cells in C: their functions are as exact as PyTorch's, and where there is no compiler all goes on without."""

import shlex
import sys

import numpy as np
import pytest
import torch
from conftest import NEEDS_COMPILER, assert_one_line_error, run_train

from model import fastest
from model.compiled import copy_transposed, library, run

CPU = torch.device("cpu")
DTYPES = [torch.float64, torch.float32]


@pytest.fixture
def compiler(monkeypatch):
    """Function: name another compiler than the usual one."""

    def choose(command: str) -> None:
        library.cache_clear()
        monkeypatch.setenv("CC", command)

    yield choose
    monkeypatch.undo()
    library.cache_clear()


def tanh(x: torch.Tensor) -> torch.Tensor:
    """By one step of an rnn whose weights are zero: h = tanh(i2h(x))."""
    H = len(x)
    zeros, h = x.new_zeros(H), x.new_zeros(2, 1, H)
    weights = x.new_zeros(H, H)
    run("rnn_forward", None, None, zeros, weights, zeros, zeros.clone(), x.clone(), h, 1, 1, H)
    return h[1, 0]


def in_pieces(function, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([function(piece) for piece in x.split(50)])


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """By one step of an lstm whose weights are zero: its input gate."""
    H = len(x)
    zeros, sums = x.new_zeros(4 * H), x.repeat(4)
    state = [x.new_zeros(2, 1, H) for _ in range(2)]
    weights = x.new_zeros(H, 4 * H)
    run("lstm_forward", None, None, zeros, weights, zeros, zeros.clone(), sums, *state, x.clone(), 1, 1, H)
    return sums[:H]


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "units"), [("tanh", 1.4), ("sigmoid", 2.1)])
def test_functions(name, units, dtype):
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
    assert (np.abs(ours - exact) / unit).max() < units


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_at_the_ends(dtype):
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
        copy_transposed(target, source)
        assert torch.equal(target, source.T)


@NEEDS_COMPILER
def test_a_compiler_that_knows_little(compiler, tmp_path):
    """No threads, no instructions of this processor: the same numbers to rounding."""
    x = torch.linspace(-3, 3, 50, dtype=torch.float64)
    expected = tanh(x)
    knows_little = tmp_path / "cc.py"
    knows_little.write_text(
        "import subprocess, sys\n"
        "refused = [word for word in sys.argv if word.startswith(('-fopenmp', '-march', '-mprefer'))]\n"
        "sys.exit(1 if refused else subprocess.call(['cc', *sys.argv[1:]]))\n"
    )
    compiler(shlex.join([sys.executable, str(knows_little)]))
    assert torch.allclose(tanh(x), expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("command", ["false", "/no/such/compiler", ""])
def test_without_a_compiler(compiler, command, play, tmp_path):
    compiler(command)
    assert fastest(torch.float64, CPU) == "fused"
    options = ["-data_dir", play, "-checkpoint_dir", tmp_path, "-gpuid", "-1", "-rnn_size", "8", "-max_epochs", "1e-3"]
    assert run_train(*options).exit_code == 0
    assert_one_line_error(run_train(*options, "-cell", "compiled"), 1, "-cell compiled", "C compiler", "take fused")

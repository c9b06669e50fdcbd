"""model/lstm_grid.cu, run thread by thread on the CPU (cuda_on_cpu.h), agrees with PyTorch's operations.

This is for CI, which has no GPU. With a GPU, tests/model/test_cuda_lstm.py tests all kernels.
"""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from charrnn_port.model import kernels
from charrnn_port.model.cuda_lstm import REALS, GridPlan, grid_plan
from charrnn_port.model.lstm import EagerSequence
from charrnn_port.model.sequence import LayerWeights

COMPILER = shutil.which("g++") if sys.platform == "linux" else None  # cuda_on_cpu.h needs ucontext
PASSES = """
#include "cuda_on_cpu.h"
#define ON_CPU
%s
extern "C" void forward(int blocks, int shared, real *h2h, real *sums, real *c, real *h, real *tanh_c,
                        unsigned *counters, int T, int B) {
  launch(blocks, THREADS, shared, [&] { lstm_forward(h2h, sums, c, h, tanh_c, counters, T, B); });
}
extern "C" void backward(int blocks, int shared, real *h2h, real *gates, real *c, real *tanh_c, real *grad_h,
                         unsigned *counters, int T, int B) {
  launch(blocks, THREADS, shared, [&] { lstm_backward(h2h, gates, c, tanh_c, grad_h, counters, T, B); });
}
"""


def built(folder: Path, dtype: torch.dtype, rnn_size: int, plan: GridPlan) -> ctypes.CDLL:
    """Compile both passes for one size as C functions."""
    kernel = (kernels.FOLDER / "lstm_grid.cu").read_text()
    shared = "extern __shared__ Vector smem_in[];"
    assert kernel.count(shared) == 2
    kernel = kernel.replace(shared, "Vector *smem_in = (Vector *)memory[blockIdx.x].data();")
    macros = {"REAL": REALS[dtype], "H": rnn_size, **plan._asdict()}
    library = folder / "passes.so"
    options = "-x c++ -std=c++20 -O1 -w -shared -fPIC".split()
    command = [COMPILER, *(f"-D{name}={value}" for name, value in macros.items()), *options]
    command += ["-I", kernels.FOLDER, "-I", Path(__file__).parent, "-o", library, "-"]
    subprocess.run(command, input=PASSES % kernel, text=True, check=True)
    return ctypes.CDLL(str(library))


@pytest.mark.skipif(COMPILER is None, reason="needs g++ on Linux")
@pytest.mark.parametrize(
    ("dtype", "rnn_size", "batch_size", "seq_length"),
    [
        pytest.param(torch.float32, 128, 1, 1, marks=pytest.mark.long),
        (torch.float32, 128, 5, 4),  # two groups, the second with fewer rows
        pytest.param(torch.float32, 256, 31, 3, marks=pytest.mark.long),  # two chunks
        pytest.param(torch.float64, 96, 7, 3, marks=pytest.mark.long),  # an odd number of vectors
        pytest.param(torch.float64, 128, 17, 2, marks=pytest.mark.long),
    ],
)
def test_passes(tmp_path, dtype, rnn_size, batch_size, seq_length):
    T, B, H = seq_length, batch_size, rnn_size
    plan = grid_plan(dtype, H, B, 2 * H // 16)  # enough multiprocessors for two groups
    library = built(tmp_path, dtype, H, plan)
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    def missing(*shape: int) -> Tensor:
        return torch.full(shape, torch.nan, dtype=dtype)

    h2h, zero = drawn(4 * H, H) / H**0.5, torch.zeros(4 * H, dtype=dtype)
    sums, grad_h, c, h = drawn(T, B, 4 * H), drawn(T, B, H), drawn(B, H), drawn(B, H).tanh()
    ours, theirs = [EagerSequence(missing, None, T, B, H) for _ in range(2)]
    for sequence in (ours, theirs):
        sequence.pre_activations.copy_(sums)
        sequence.grad_h.copy_(grad_h)
        sequence.c[0], sequence.h[0] = c, h
    weights = LayerWeights(None, zero, zero, h2h, zero)

    def run(name: str, gates: int, *tensors: Tensor) -> None:
        counters = torch.zeros(plan.groups(B), dtype=torch.int32)
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (h2h, *tensors, counters)]
        blocks, shared_memory = plan.BLOCKS * len(counters), plan.shared_memory(dtype, H, gates)
        getattr(library, name)(blocks, shared_memory, *pointers, T, B)

    tolerance = {torch.float32: 1e-6, torch.float64: 1e-14}[dtype]  # of the largest difference
    run("forward", 1, ours.pre_activations, ours.c, ours.h, ours.tanh_c)
    theirs.forward(weights)
    for name in ("pre_activations", "c", "h", "tanh_c"):
        assert torch.allclose(getattr(ours, name), getattr(theirs, name), rtol=0, atol=tolerance), name
    run("backward", 4, ours.pre_activations, ours.c, ours.tanh_c, ours.grad_h)
    theirs.backward(weights, missing(1, 4 * H))
    assert torch.allclose(ours.pre_activations, theirs.pre_activations, rtol=0, atol=10 * tolerance)

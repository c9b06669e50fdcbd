"""The lstm's CUDA kernels agree with PyTorch's operations for all sizes, also in a graph; otherwise fused is used."""

import ctypes
from pathlib import Path

import pytest
import torch
from conftest import assert_one_line_error, run_train
from runs import recorded
from torch import Tensor

from charrnn_port.device import record
from charrnn_port.model import BACKENDS, fastest_backend, kernels
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.model.cuda_lstm import (
    REALS,
    SHARED_MEMORY,
    ClusterKernels,
    ClusterPlan,
    GridKernels,
    GridPlan,
    PerStepKernels,
    cluster_plan,
    grid_plan,
)
from charrnn_port.model.lstm import CudaSequence, EagerSequence
from charrnn_port.model.sequence import LayerWeights, Sequence
from charrnn_port.reports.verify import runs, vectors
from charrnn_port.training import graphed

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NEEDS_HOPPER = pytest.mark.skipif(
    not kernels.available(CUDA), reason="needs NVRTC and an NVIDIA GPU of compute capability 9.0"
)
LARGEST = {torch.float32: 256, torch.float64: 160}  # sizes whose weights fit into a cluster's registers
DTYPES = list(LARGEST)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}  # relative, of norms


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Return the relative difference by norm; NaN if any number is NaN."""
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("multiprocessors", [132, 78])
@pytest.mark.parametrize("batch_size", [1, 7, 50, 100])
@pytest.mark.parametrize("dtype", DTYPES)
def test_plans(dtype, batch_size, multiprocessors):
    """Kernels can be launched with the plans for all supported sizes."""
    largest = LARGEST[dtype]
    for rnn_size in range(1, largest + 1):
        made = cluster_plan(dtype, rnn_size, batch_size, multiprocessors)
        blocks, rows, lanes, padded = made
        assert padded >= rnn_size
        assert padded % blocks == 0
        assert made.threads % 32 == 0
        assert made.threads <= 512
        assert padded // (4 * lanes) * dtype.itemsize % 16 == 0  # a thread's weights of a gate: whole vectors
        assert padded // blocks % 4 == 0  # units done together in the backward pass
        assert 2 * rows * 4 * padded * dtype.itemsize + 64 <= 48 * 1024  # shared memory
        assert made.clusters(batch_size) * rows >= batch_size
    assert cluster_plan(dtype, largest + 1, batch_size, multiprocessors) is None
    assert cluster_plan(dtype, 1024, batch_size, multiprocessors) is None


def test_plans_for_an_h200():
    assert cluster_plan(torch.float32, 128, 50, 132) == ClusterPlan(BLOCKS=2, ROWS=1, LANES=1, PADDED=128)
    assert cluster_plan(torch.float32, 64, 50, 132) == ClusterPlan(BLOCKS=2, ROWS=1, LANES=1, PADDED=64)
    assert cluster_plan(torch.float32, 64, 100, 132) == ClusterPlan(BLOCKS=1, ROWS=1, LANES=1, PADDED=64)
    assert cluster_plan(torch.float32, 200, 50, 132) == ClusterPlan(BLOCKS=8, ROWS=4, LANES=2, PADDED=224)
    assert cluster_plan(torch.float64, 128, 50, 132) == ClusterPlan(BLOCKS=4, ROWS=2, LANES=2, PADDED=128)
    assert cluster_plan(torch.float32, 256, 240, 132) == ClusterPlan(BLOCKS=8, ROWS=4, LANES=2, PADDED=256)
    assert cluster_plan(torch.float32, 256, 241, 132) is None


@pytest.mark.parametrize("multiprocessors", [132, 78])
@pytest.mark.parametrize("batch_size", [1, 7, 50, 100, 500])
@pytest.mark.parametrize("dtype", DTYPES)
def test_grid_plans(dtype, batch_size, multiprocessors):
    """lstm_grid.cu can be compiled and launched with the plans."""
    for rnn_size in range(1, 1100):
        made = grid_plan(dtype, rnn_size, batch_size, multiprocessors)
        if made is None:
            continue
        blocks, rows, chunk, lanes = made
        team, own, vector = 4 * lanes, rnn_size // blocks, 16 // dtype.itemsize
        assert rnn_size % (team * vector) == 0  # whole vectors for every thread
        assert rnn_size % blocks == 0
        assert own % 4 == 0  # units done together in the backward pass
        assert own // 4 * team % 32 == 0  # all threads of a warp have the same gate
        assert made.threads(rnn_size) == own * team <= 256
        assert rnn_size // lanes * dtype.itemsize // 4 <= 128  # registers for weights
        assert 4 * chunk * dtype.itemsize // 4 <= 56  # registers for sums
        assert blocks * made.groups(batch_size) <= multiprocessors  # all blocks run at the same time
        assert made.groups(batch_size) * rows >= batch_size
        assert rows % chunk == 0
        assert made.shared_memory(dtype, rnn_size, 4) <= SHARED_MEMORY


def test_grid_plans_for_an_h100():
    assert grid_plan(torch.float32, 512, 1, 132) == GridPlan(BLOCKS=32, ROWS=1, CHUNK=1, LANES=4)
    assert grid_plan(torch.float32, 512, 50, 132) == GridPlan(BLOCKS=32, ROWS=13, CHUNK=13, LANES=4)
    assert grid_plan(torch.float32, 512, 100, 132) == GridPlan(BLOCKS=32, ROWS=26, CHUNK=13, LANES=4)
    assert grid_plan(torch.float64, 256, 50, 132) == GridPlan(BLOCKS=16, ROWS=7, CHUNK=7, LANES=4)
    assert grid_plan(torch.float32, 512, 200, 132) is None
    assert grid_plan(torch.float32, 576, 50, 132) is None
    assert grid_plan(torch.float32, 300, 50, 132) is None


def test_elsewhere(monkeypatch, play, tmp_path):
    """-cell persistent is an error of one line; -cell auto chooses another backend."""
    options = ["-data_dir", play, "-checkpoint_dir", tmp_path, "-rnn_size", "8", "-max_epochs", "1e-3"]
    result = run_train(*options, "-gpuid", "-1", "-cell", "persistent")
    assert_one_line_error(result, 1, "-cell persistent", "9.0", "use fused")
    kernels.available.cache_clear()
    monkeypatch.setattr(kernels, "libraries", lambda: None)
    assert fastest_backend("lstm", torch.float32, CUDA) == "fused"
    kernels.available.cache_clear()


class Layer:
    """Random input, weights and output gradient of a layer, and the results of a Sequence for them."""

    def __init__(self, dtype: torch.dtype, T: int, B: int, H: int, V: int | None = None) -> None:
        """V: vocab_size in the first layer."""
        self.options = {"dtype": dtype, "device": CUDA}
        self.sizes = T, B, H
        generator = torch.Generator(CUDA).manual_seed(1)

        def new(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, **self.options)

        self.ids = None if V is None else torch.randint(V, (T, B), generator=generator, device=CUDA)
        rows = None if V is None else new(V, 4 * H)
        self.weights = LayerWeights(rows, new(4 * H, 1), new(4 * H), new(4 * H, H) / H**0.5, new(4 * H))
        self.pre_activations, self.grad_h = new(T, B, 4 * H), new(T, B, H)
        self.before, self.after = (new(B, H), new(B, H).tanh()), (new(B, H), new(B, H).tanh())

    def make(self, kind: type[Sequence]) -> Sequence:
        """Return the layer with buffers full of NaN."""

        def new(*shape: int) -> Tensor:
            return torch.full(shape, torch.nan, **self.options)

        return kind(new, self.ids, *self.sizes)

    def outcome(self, sequence: Sequence) -> dict[str, Tensor]:
        """Return states and gates, and gradients after backward with another first state, as with alias."""
        found = {}
        for buffer, value in zip(sequence.state, self.before, strict=True):
            buffer[0].copy_(value)
        if self.ids is None:
            sequence.pre_activations.copy_(self.pre_activations)
        sequence.grad_h.copy_(self.grad_h)
        sequence.forward(self.weights)
        found |= {"c": sequence.c.clone(), "h": sequence.h.clone(), "gates": sequence.pre_activations.clone()}
        for buffer, value in zip(sequence.state, self.after, strict=True):
            buffer[0].copy_(value)
        rows = 1 if self.ids is None else len(self.weights.rows)
        grad_rows = torch.full((rows, 4 * self.sizes[2]), torch.nan, **self.options)
        sequence.backward(self.weights, grad_rows)
        return found | {"gradient": sequence.pre_activations.clone(), "grad_rows": grad_rows}


@NEEDS_HOPPER
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("T", [1, 2, 50])
@pytest.mark.parametrize("B", [1, 7, 50, 100])
@pytest.mark.parametrize("H", [1, 33, 64, 100, 128, 200, 256, 300, 512])
def test_any_size(H, B, T, dtype):
    """States, gates and gradients agree in a first layer and in a second one."""
    if H == 512 or (H == 256 and (dtype == torch.float64 or B == 100)):
        passes = GridKernels
    else:
        passes = PerStepKernels if LARGEST[dtype] < H else ClusterKernels
    for V in (None, 11):
        compare(Layer(dtype, T, B, H, V), passes)


@NEEDS_HOPPER
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("B", [250, 550, 10_000])
@pytest.mark.parametrize("H", [40, 120])
def test_large_batches(H, B, dtype):
    """A batch with clusters that run one after another, and one that is too large for clusters."""
    many = 500 if H == 120 and dtype == torch.float64 else 1000
    compare(Layer(dtype, 3, B, H), PerStepKernels if many < B else ClusterKernels)


def compare(layer: Layer, passes: type) -> None:
    """Results agree with PyTorch's operations, and the expected kernels are chosen."""
    sequence = layer.make(CudaSequence)
    assert isinstance(sequence._passes, passes)
    ours, theirs = layer.outcome(sequence), layer.outcome(layer.make(EagerSequence))
    for name, expected in theirs.items():
        assert distance(ours[name], expected) < TOLERANCE[layer.options["dtype"]], name


@NEEDS_HOPPER
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("H", [33, 128, 256, 300, 512])
def test_the_same_bits_each_time(H, dtype):
    """A hundred runs agree, also in a graph: numbers are not read too early, or after they are overwritten."""
    layer = Layer(dtype, 50, 50, H, 11)
    sequence = layer.make(CudaSequence)
    expected = layer.outcome(sequence)
    found = {}
    replay = record(lambda: found.update(layer.outcome(sequence)), CUDA)
    for _ in range(100):
        for tensor in found.values():
            tensor.fill_(torch.nan)
        replay()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


T, B, V, LAYERS = 12, 9, 11, 3


def network(cell: str, H: int, dtype: torch.dtype) -> CharRNN:
    built = BACKENDS[cell]("lstm", V, H, LAYERS, dtype=dtype, device=CUDA)
    generator = torch.Generator().manual_seed(5)
    built.params.copy_((torch.rand(built.params.shape, generator=generator, dtype=torch.float64) - 0.5) * 3 / H**0.5)
    return built


@NEEDS_HOPPER
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("alias", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("H", [6, 40, 128, 300, 512])
def test_equals_the_plain_cells(H, dtype, alias, dropout):
    """Losses, gradients and states agree over three batches, each of which starts from the previous state.

    With these parameters every gate is nonlinear, and rounding differences do not grow from step to step.
    """
    generator = torch.Generator().manual_seed(6)
    masks = torch.bernoulli(torch.full((T, LAYERS, B, H), 0.5), generator=generator).to(CUDA, dtype) / 0.5
    plain, ours = network("plain", H, dtype), network("persistent", H, dtype)
    states = [[tensor.fill_(0.1) for tensor in each.zero_state(B)] for each in (plain, ours)]
    tolerance = TOLERANCE[dtype]
    for _ in range(3):
        ids = torch.randint(V, (T + 1, B), generator=generator).to(CUDA)
        expected, loss = [
            each.training_pass(ids[:-1], ids[1:], state, masks if dropout else None, alias)
            for each, state in zip((plain, ours), states, strict=True)
        ]
        assert abs(loss - expected) < tolerance * expected
        assert distance(ours.grad_params, plain.grad_params) < tolerance
        assert all(distance(b, a) < tolerance for a, b in zip(*states, strict=True))
        for each in (plain, ours):
            each.params.sub_(each.grad_params, alpha=0.001)
    expected, loss = [
        each.evaluation_pass(ids[:-1], ids[1:], state) for each, state in zip((plain, ours), states, strict=True)
    ]
    assert abs(loss - expected) < tolerance * expected


ON_GPU = runs.Backend("persistent", "float64", 0)


@NEEDS_HOPPER
@pytest.mark.parametrize("name", ["lstm", "lstm_1layer", "lstm_dropout", "decay", "clip"])
def test_recorded_runs_print_the_same_lines(play, name):
    """Recorded runs of the original on Torch7 are reproduced in CUDA graphs."""
    run = recorded(name)
    output, checkpoint_dir = runs.repeat(run, ON_GPU, play.parent)
    lines = runs.compare(run, output, {file.name for file in checkpoint_dir.glob("*")})
    assert not lines.other, lines
    assert lines.equal > 80


@NEEDS_HOPPER
@pytest.mark.parametrize("name", ["lstm", "lstm_dropout"])
def test_recorded_parameters_and_gradients(play, name):
    run = recorded(name)
    assert isinstance(runs.prepared(run, ON_GPU, play.parent), graphed.GraphedTraining)
    for each in vectors.vectors(run, ON_GPU, play.parent):
        assert each.holds, each


@NEEDS_HOPPER
def test_chosen_by_itself_for_the_lstm_alone(play, tmp_path):
    assert [fastest_backend(model, torch.float32, CUDA) for model in ("lstm", "gru", "rnn")] == [
        "persistent",
        "fused",
        "fused",
    ]
    options = ["-data_dir", play, "-checkpoint_dir", tmp_path, "-rnn_size", "8", "-max_epochs", "1e-3"]
    result = run_train(*options, "-model", "gru", "-cell", "persistent")
    assert_one_line_error(result, 1, "-cell persistent", "-model lstm", "use fused")


@pytest.fixture
def nvrtc(monkeypatch):
    """Load NVRTC where there is no GPU: it is part of PyTorch for CUDA, and a package of its own."""
    if kernels.libraries() is None:
        found = sorted(Path(torch.__file__).parents[1].glob("nvidia/*/lib/libnvrtc.so.*"))
        if not found:
            pytest.skip("needs NVRTC: pip install nvidia-cuda-nvrtc")
        monkeypatch.setattr(kernels, "libraries", lambda: (ctypes.CDLL(str(found[0])), None))


PLANS = {
    "lstm_cluster.cu": {"H": 30, **ClusterPlan(BLOCKS=2, ROWS=1, LANES=1, PADDED=32)._asdict()},
    "lstm_grid.cu": {"H": 64, **GridPlan(BLOCKS=4, ROWS=1, CHUNK=1, LANES=4)._asdict()},
    "lstm_step.cu": {},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("file", PLANS)
def test_compiles_without_a_gpu(nvrtc, file, dtype):
    code = kernels.compiled(file, "sm_90", REAL=REALS[dtype], **PLANS[file])
    assert code.startswith(b"\x7fELF")


def test_what_the_compiler_says(nvrtc):
    with pytest.raises(RuntimeError, match='identifier "half" is undefined'):
        kernels.compiled("lstm_step.cu", "sm_90", REAL="half")


def test_all_types_have_a_name():
    assert set(REALS) == set(DTYPES)
    assert set(PLANS) == {path.name for path in kernels.FOLDER.glob("*.cu")}

"""Run the passes of an lstm on a CUDA device in custom kernels: one kernel for all time steps if the weights fit.

Launching a kernel takes longer than the arithmetic of a small time step, even in a CUDA graph. So a whole pass is one
kernel if the weights fit into registers: into those of a few multiprocessors with up to 256 units in float32 or 160 in
float64 (lstm_cluster.cu), into those of many with up to 512 or 256 (lstm_grid.cu). With more units, a time step is a
matrix product and one kernel for the rest (lstm_step.cu).

This needs NVRTC, which comes with PyTorch, and a GPU with thread block clusters: compute capability 9.0 (Hopper).
"""

from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from charrnn_port.model.kernels import available, kernels
from charrnn_port.model.sequence import LayerWeights, Sequence, add_biases, steps, sum_rows, transposed
from charrnn_port.util.errors import UserError

REALS = {torch.float32: "float", torch.float64: "double"}
THREADS = 128  # threads of a block in lstm_step.cu, one for each unit
SHARED_MEMORY = 227 * 1024  # bytes available to a block with compute capability 9.0 or more


class ClusterPlan(NamedTuple):
    """How the blocks of a GPU share the work of a pass: the macros that lstm_cluster.cu is compiled with."""

    BLOCKS: int  # blocks of a cluster, which share the units
    ROWS: int  # rows of the batch that a cluster computes
    LANES: int  # threads that share the products of one gate of a unit
    PADDED: int  # rnn_size rounded up, so that units and products can be divided evenly

    @property
    def threads(self) -> int:
        """The number of threads of a block."""
        return 4 * self.LANES * self.PADDED // self.BLOCKS

    def clusters(self, batch_size: int) -> int:
        """Return the number of clusters for a batch."""
        return -(-batch_size // self.ROWS)


@lru_cache
def cluster_plan(dtype: torch.dtype, rnn_size: int, batch_size: int, multiprocessors: int) -> ClusterPlan | None:
    """Choose the smallest clusters whose registers hold the weights; None if there are none, or the batch is large.

    With enough multiprocessors a cluster has at least two blocks. It gets as many rows as are needed for all clusters
    to run at the same time, but at most four: with more rows, some clusters run after others. If too many would have
    to, matrix products are large enough to be faster.
    """
    words = dtype.itemsize // 4  # registers for one number
    for blocks in (2, 4, 8) if 2 * batch_size <= multiprocessors else (1, 2, 4, 8):
        # Few threads with many weights each use a number from shared memory more often.
        for lanes in (1, 2):
            padded = -(-rnn_size // granularity(dtype, blocks, lanes)) * granularity(dtype, blocks, lanes)
            registers = padded // lanes * words
            threads = ClusterPlan(blocks, 1, lanes, padded).threads
            if registers > 160 or threads * registers > 36 * 1024 or threads > 512:
                continue
            # A cluster must lie within a group of 16 or 18 multiprocessors, some of which are disabled.
            at_once = multiprocessors // blocks if blocks < 4 else multiprocessors * 15 // 16 // blocks
            rows = next((rows for rows in (1, 2) if -(-batch_size // rows) <= at_once), 4)
            made = ClusterPlan(blocks, rows, lanes, padded)
            return made if made.clusters(batch_size) <= 4 * max(at_once, 1) else None
    return None


def granularity(dtype: torch.dtype, blocks: int, lanes: int) -> int:
    """Return the number that PADDED of lstm_cluster.cu must be a multiple of, for whole vectors and whole warps."""
    vector = 16 // dtype.itemsize
    return max(4 * lanes * vector, blocks * 8 // lanes, blocks * 4)


class GridPlan(NamedTuple):
    """How all blocks of a GPU share the work of a pass: the macros that lstm_grid.cu is compiled with."""

    BLOCKS: int  # blocks of a group, which share the units
    ROWS: int  # rows of the batch that a group computes
    CHUNK: int  # rows that it computes at a time
    LANES: int  # a quarter of the threads that share four rows of weights

    def groups(self, batch_size: int) -> int:
        """Return the number of groups for a batch."""
        return -(-batch_size // self.ROWS)

    def threads(self, rnn_size: int) -> int:
        """Return the number of threads of a block."""
        return rnn_size // self.BLOCKS * 4 * self.LANES

    def shared_memory(self, dtype: torch.dtype, rnn_size: int, gates: int) -> int:
        """Shared memory of a block in bytes. gates: 4 in the backward pass; 1 in the forward pass, which reads h."""
        return self.ROWS * (gates * rnn_size + 4 * rnn_size // self.BLOCKS) * dtype.itemsize


@lru_cache
def grid_plan(dtype: torch.dtype, rnn_size: int, batch_size: int, multiprocessors: int) -> GridPlan | None:
    """Choose groups that all run at the same time; None if registers or shared memory are too small for them."""
    units_per_block, lanes = 16, 4  # 16 units of 4 * 4 threads each make blocks of 256 threads
    words = dtype.itemsize // 4  # registers for one number
    if rnn_size % (4 * lanes * 16 // dtype.itemsize) or rnn_size // lanes * words > 128:
        return None  # a thread needs whole vectors of weights, and at most 128 registers for them
    blocks = rnn_size // units_per_block
    if blocks > multiprocessors:
        return None
    rows = -(-batch_size // (multiprocessors // blocks))
    chunk = -(-rows // -(-rows // (14 // words)))  # as many rows as there are registers for their sums
    made = GridPlan(blocks, -(-rows // chunk) * chunk, chunk, lanes)
    return made if made.shared_memory(dtype, rnn_size, 4) <= SHARED_MEMORY else None


def require_kernels(cell: ModuleType, device: torch.device) -> None:
    """Raise UserError if no kernels are available for a cell on this device."""
    if not available(device):
        raise UserError(
            "-cell persistent: this backend needs NVRTC and an NVIDIA GPU of compute capability 9.0 or more; use fused"
        )
    if not hasattr(cell, "CudaSequence"):
        raise UserError("-cell persistent: this backend supports -model lstm only; use fused")


class CudaPasses(Sequence):
    """A Sequence whose passes are CUDA kernels. The lstm derives its CudaSequence from this and Buffers."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        _, B, H = self.grad_h.shape
        multiprocessors = torch.cuda.get_device_properties(self.h.device).multi_processor_count
        sizes = self.h.dtype, H, B, multiprocessors
        cluster, grid = cluster_plan(*sizes), grid_plan(*sizes)
        # Only few large clusters run at the same time. If others would have to wait, a grid is faster.
        if cluster and (grid is None or cluster.BLOCKS < 8 or 8 * cluster.clusters(B) <= multiprocessors):
            self._passes = ClusterKernels(self, cluster)
        else:
            self._passes = GridKernels(self, grid) if grid else PerStepKernels(self)

    def forward(self, weights: LayerWeights) -> None:
        """See `Sequence.forward`."""
        add_biases(self.pre_activations, weights, self.ids)
        self._passes.forward(self, weights.h2h)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """See `Sequence.backward`."""
        self._passes.backward(self, weights.h2h)
        sum_rows(self.pre_activations, grad_rows, self.ids)


class ClusterKernels:
    """The passes as one kernel each: lstm_forward and lstm_backward of lstm_cluster.cu."""

    def __init__(self, layer: CudaPasses, plan: ClusterPlan) -> None:
        T, B, H = layer.grad_h.shape
        self._sizes = T, B
        self._blocks, self._threads = plan.BLOCKS * plan.clusters(B), plan.threads
        macros = {"REAL": REALS[layer.h.dtype], "H": H, **plan._asdict()}
        self._kernels = kernels("lstm_cluster.cu", layer.h.device, **macros)

    def forward(self, layer: CudaPasses, h2h: Tensor) -> None:
        """Compute the states from the pre-activations, which lack h2h(h), and h2h `[4 * H, H]`."""
        self._launch("lstm_forward", h2h, layer.pre_activations, layer.c, layer.h, layer.tanh_c)

    def backward(self, layer: CudaPasses, h2h: Tensor) -> None:
        """Compute the gradient by the pre-activations from `grad_h`."""
        self._launch("lstm_backward", h2h, layer.pre_activations, layer.c, layer.tanh_c, layer.grad_h)

    def _launch(self, name: str, *tensors: Tensor) -> None:
        self._kernels.launch(name, self._blocks, self._threads, *tensors, *self._sizes)


class GridKernels:
    """The passes as one kernel each: lstm_forward and lstm_backward of lstm_grid.cu."""

    def __init__(self, layer: CudaPasses, plan: GridPlan) -> None:
        T, B, H = layer.grad_h.shape
        dtype = layer.h.dtype
        self._sizes = T, B
        self._counters = torch.zeros(plan.groups(B), dtype=torch.int32, device=layer.h.device)
        self._blocks, self._threads = plan.BLOCKS * len(self._counters), plan.threads(H)
        self._shared_memory = {gates: plan.shared_memory(dtype, H, gates) for gates in (1, 4)}
        self._kernels = kernels("lstm_grid.cu", layer.h.device, REAL=REALS[dtype], H=H, **plan._asdict())

    def forward(self, layer: CudaPasses, h2h: Tensor) -> None:
        """See `ClusterKernels.forward`."""
        self._launch("lstm_forward", 1, h2h, layer.pre_activations, layer.c, layer.h, layer.tanh_c)

    def backward(self, layer: CudaPasses, h2h: Tensor) -> None:
        """See `ClusterKernels.backward`."""
        self._launch("lstm_backward", 4, h2h, layer.pre_activations, layer.c, layer.tanh_c, layer.grad_h)

    def _launch(self, name: str, gates: int, *tensors: Tensor) -> None:
        self._counters.zero_()
        self._kernels.launch(
            name, self._blocks, self._threads, *tensors, self._counters, *self._sizes,
            shared_memory=self._shared_memory[gates], at_once=True,
        )  # fmt: skip


class PerStepKernels:
    """The passes with a matrix product and a kernel of lstm_step.cu for each time step."""

    def __init__(self, layer: CudaPasses) -> None:
        _, B, H = layer.grad_h.shape
        self._sizes = B, H
        self._kernels = kernels("lstm_step.cu", layer.h.device, REAL=REALS[layer.h.dtype])
        c, h, gates = layer.c, layer.h, layer.pre_activations
        self._steps = steps(gates, c[:-1], c[1:], h[:-1], h[1:], layer.tanh_c)
        self._steps_back = steps(gates, c[:-1], layer.tanh_c, layer.grad_h)[::-1]

    def forward(self, layer: CudaPasses, h2h: Tensor) -> None:
        """See `ClusterKernels.forward`."""
        h2h_transposed = transposed(h2h)
        for pre_activations, c, next_c, h, next_h, tanh_c in self._steps:
            pre_activations.addmm_(h, h2h_transposed)
            self._launch("lstm_step", pre_activations, c, next_c, next_h, tanh_c)

    def backward(self, layer: CudaPasses, h2h: Tensor) -> None:
        """See `ClusterKernels.backward`."""
        layer.grad_c.zero_()
        later = None  # gradient by the pre-activations of the next time step
        for grad_pre_activations, c, tanh_c, grad_h in self._steps_back:
            if later is not None:
                grad_h.addmm_(later, h2h)
            self._launch("lstm_step_back", grad_pre_activations, c, tanh_c, grad_h, layer.grad_c)
            later = grad_pre_activations

    def _launch(self, name: str, *tensors: Tensor) -> None:
        B, H = self._sizes
        self._kernels.launch(name, -(-B * H // THREADS), THREADS, *tensors, B, H)

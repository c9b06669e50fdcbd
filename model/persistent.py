"""The passes of an lstm on a CUDA device in kernels of our own: where the weights fit, one for all time steps.

Launching a kernel takes longer than a small step's arithmetic, in a CUDA graph too. So as much as possible is one
kernel: with up to 256 units in float32 or 160 in float64 a whole pass (lstm_persistent.cu, which keeps the weights in
registers), with more of them what a time step does beside its matrix product (lstm_step.cu).

It needs NVRTC, which comes with PyTorch, and a GPU with clusters of thread blocks: compute capability 9.0, Hopper.
"""

from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from model.kernels import available, kernels
from model.sequence import LayerWeights, Sequence, add_biases, steps, sum_rows, transposed
from util.errors import UserError

REALS = {torch.float32: "float", torch.float64: "double"}
THREADS = 128  # of a block that does a time step's units one by one


class Plan(NamedTuple):
    """How the blocks of a GPU share the work of a pass: what lstm_persistent.cu gets as macros of these names."""

    BLOCKS: int  # of a cluster, which shares the units
    ROWS: int  # of the batch, that a cluster does
    LANES: int  # threads that share the products of a gate of a unit
    PADDED: int  # rnn_size rounded up, so that units and their products can be shared evenly

    @property
    def threads(self) -> int:
        """Of a block."""
        return 4 * self.LANES * self.PADDED // self.BLOCKS

    def clusters(self, batch_size: int) -> int:
        """So many it takes."""
        return -(-batch_size // self.ROWS)


@lru_cache
def plan(dtype: torch.dtype, rnn_size: int, batch_size: int, multiprocessors: int) -> Plan | None:
    """The smallest clusters whose registers hold the weights; None where none do.

    Two blocks rather than one, though, where there are enough multiprocessors. A cluster gets as many rows as it takes
    for all clusters to run at once; four at most: one after another, then.
    """
    words = dtype.itemsize // 4  # registers of a number
    for blocks in (2, 4, 8) if 2 * batch_size <= multiprocessors else (1, 2, 4, 8):
        # Few threads with many weights each: a number that is read from shared memory is used more often.
        for lanes in (1, 2):
            padded = -(-rnn_size // granularity(dtype, blocks, lanes)) * granularity(dtype, blocks, lanes)
            registers = padded // lanes * words
            threads = Plan(blocks, 1, lanes, padded).threads
            if registers > 160 or threads * registers > 36 * 1024 or threads > 512:
                continue
            # They lie within a group of 16 or 18 multiprocessors each, some of which are out of order.
            at_once = multiprocessors // blocks if blocks < 4 else multiprocessors * 15 // 16 // blocks
            rows = next((rows for rows in (1, 2) if -(-batch_size // rows) <= at_once), 4)
            return Plan(blocks, rows, lanes, padded)
    return None


def granularity(dtype: torch.dtype, blocks: int, lanes: int) -> int:
    """What lstm_persistent.cu's PADDED must be a multiple of: whole vectors for every thread, whole warps."""
    vector = 16 // dtype.itemsize
    return max(4 * lanes * vector, blocks * 8 // lanes, blocks * 4)


def sequence_for(cell: ModuleType, rnn_size: int, dtype: torch.dtype, device: torch.device) -> type[Sequence]:
    """The class whose passes are kernels. Raises UserError where there are none."""
    if not available(device):
        raise UserError(
            "-cell persistent: this needs NVRTC and an NVIDIA GPU of compute capability 9.0 or more; take fused"
        )
    if not hasattr(cell, "PersistentSequence"):
        raise UserError("-cell persistent: there are kernels for -model lstm alone; take fused")
    return cell.PersistentSequence if plan(dtype, rnn_size, 1, 1) else cell.SteppedSequence


class PersistentPasses(Sequence):
    """A Sequence whose passes are the kernels lstm_forward and lstm_backward of lstm_persistent.cu.

    The lstm derives its PersistentSequence from this and from its Buffers.
    """

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        _, B, H = self.grad_h.shape
        device = self.h.device
        multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
        self._plan = plan(self.h.dtype, H, B, multiprocessors)
        self._kernels = kernels("lstm_persistent.cu", device, REAL=REALS[self.h.dtype], H=H, **self._plan._asdict())

    def forward(self, weights: LayerWeights) -> None:
        """As Sequence's."""
        add_biases(self.pre_activations, weights, self.ids)
        self._launch("lstm_forward", weights.h2h, self.pre_activations, self.c, self.h, self.tanh_c)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """As Sequence's."""
        self._launch("lstm_backward", weights.h2h, self.pre_activations, self.c, self.tanh_c, self.grad_h)
        sum_rows(self.pre_activations, grad_rows, self.ids)

    def _launch(self, name: str, *tensors: Tensor) -> None:
        T, B, _ = self.grad_h.shape
        blocks = self._plan.BLOCKS * self._plan.clusters(B)
        self._kernels.launch(name, blocks, self._plan.threads, *tensors, T, B)


class SteppedPasses(Sequence):
    """A Sequence that does a time step by a matrix product and a kernel of lstm_step.cu.

    The lstm derives its SteppedSequence from this and from its Buffers.
    """

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self._kernels = kernels("lstm_step.cu", self.h.device, REAL=REALS[self.h.dtype])
        self._steps = steps(self.pre_activations, self.c[:-1], self.c[1:], self.h[:-1], self.h[1:], self.tanh_c)
        self._steps_back = steps(self.pre_activations, self.c[:-1], self.tanh_c, self.grad_h)[::-1]

    def forward(self, weights: LayerWeights) -> None:
        """As Sequence's."""
        add_biases(self.pre_activations, weights, self.ids)
        h2h_transposed = transposed(weights.h2h)
        for pre_activations, c, next_c, h, next_h, tanh_c in self._steps:
            pre_activations.addmm_(h, h2h_transposed)
            self._launch("lstm_step", pre_activations, c, next_c, next_h, tanh_c)

    def backward(self, weights: LayerWeights, grad_rows: Tensor) -> None:
        """As Sequence's."""
        self.grad_c.zero_()
        later = None  # gradient by the pre-activations of the next time step
        for grad_pre_activations, c, tanh_c, grad_h in self._steps_back:
            if later is not None:
                grad_h.addmm_(later, weights.h2h)
            self._launch("lstm_step_back", grad_pre_activations, c, tanh_c, grad_h, self.grad_c)
            later = grad_pre_activations
        sum_rows(self.pre_activations, grad_rows, self.ids)

    def _launch(self, name: str, *tensors: Tensor) -> None:
        _, B, H = self.grad_h.shape
        self._kernels.launch(name, -(-B * H // THREADS), THREADS, *tensors, B, H)

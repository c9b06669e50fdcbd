"""Training with CUDA graphs: forward and backward of an iteration are recorded once, then launched by a single call.

The few kernels of the optimizer are launched after the graph, while the GPU is still busy with it. The text is on the
GPU and batches are gathered there. Only the start of a batch comes from the host, and dropout masks, which are drawn
with Torch7's random numbers.
"""

from collections.abc import Callable
from typing import Any

import torch

from charrnn_port.device import record
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.model.fused import FusedCharRNN
from charrnn_port.options import TrainOptions
from charrnn_port.torch7.random import Generator
from charrnn_port.training.iteration import Training, mean_loss
from charrnn_port.training.parallel import Distributed, SingleProcess
from charrnn_port.util.minibatch_loader import MinibatchLoader
from charrnn_port.util.text_cache import CHUNK


def training_for(
    options: TrainOptions,
    network: CharRNN,
    loader: MinibatchLoader,
    random: Generator,
    processes: SingleProcess | None = None,
) -> Training:
    """Return the Training of a network: with CUDA graphs if a single process trains fused cells on a GPU."""
    alone = not isinstance(processes, Distributed)  # collective operations are not recorded in graphs
    alone = alone and not loader.padded  # the graph gathers its batches itself
    graphs = alone and network.params.device.type == "cuda" and isinstance(network, FusedCharRNN)
    return (GraphedTraining if graphs else Training)(options, network, loader, random, processes)


class GraphedTraining(Training):
    """Training of fused cells on one GPU with CUDA graphs; the results are the same, bit by bit."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        device = self.network.params.device
        kind = "uint8" if self.loader.ids.dtype == "uint8" else "int32"  # PyTorch can do little with uint16
        self._text = torch.empty(len(self.loader.ids), dtype=getattr(torch, kind), device=device)
        for start in range(0, len(self._text), CHUNK):
            ids = self.loader.ids[start : start + CHUNK].copy()
            self.loader.require_known(ids)
            self._text[start : start + CHUNK] = torch.from_numpy(ids.astype(kind, copy=False))
        self._places = torch.from_numpy(self.loader.places).to(device)
        self._batch_start = torch.zeros((), dtype=torch.int64, device=device)
        self._warm = False
        self._given_masks = None
        self._replay: Callable[[], None] | None = None

    def _iterate(self) -> float:
        if not self._warm:  # the first iteration of a process is not recorded: it allocates buffers and loads libraries
            self._warm = True
            return super()._iterate()
        self._batch_start.fill_(self.loader.next_start(1))
        masks = self._masks()
        if self._given_masks is None:
            self._given_masks = masks
        elif masks is not None:
            self._given_masks.copy_(masks)
        if self._replay is None:
            self._replay = record(self._recorded_pass, self.network.params.device)
        self._replay()
        self.optimizer.step(self.network.grad_params)
        return mean_loss(self._losses)

    def _recorded_pass(self) -> None:
        ids = self._text[(self._places + self._batch_start) % len(self._text)].long()
        self.network.params_changed()  # so that each replay recomputes what is derived from the parameters
        self._losses = self._pass(ids[:-1], ids[1:], self._given_masks, self.alias_state)
        self._clip()

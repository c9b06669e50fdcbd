"""Time by part: what an iteration of the compiled cells is made of.

PyTorch's operations are timed one by one as they are called, and so are the functions in C: on a CPU a call ends when
its work is done. What neither of them takes is Python's.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from charrnn_port.reports.benchmark.ours import our_training
from charrnn_port.reports.benchmark.timing import in_turn, types
from charrnn_port.training import Training
from model import fastest, library

STEPS, PRODUCTS, POINTWISE = "time steps", "large products", "pointwise"
OPTIMISER, SUMS, REST = "optimiser", "transposes, sums", "the rest"
# Where a function of model/sequence.c, or an operation of PyTorch, belongs: what is not here is in the rest.
PARTS = {
    **{f"{cell}_{direction}": STEPS for cell in ("lstm", "gru", "rnn") for direction in ("forward", "backward")},
    "multiply": PRODUCTS,
    "aten.mm": PRODUCTS,
    **dict.fromkeys(
        ("aten.add_", "aten.log_softmax", "aten.nll_loss_forward", "aten.exp_", "aten.mul_", "aten.scatter_add_"),
        POINTWISE,
    ),
    **dict.fromkeys(("aten.clamp_", "aten.addcmul_", "aten.sqrt", "aten.addcdiv_"), OPTIMISER),
    **dict.fromkeys(("sum_rows", "transpose", "aten.sum", "aten.copy_", "aten.cat", "aten.zero_"), SUMS),
}
COLUMNS = (*dict.fromkeys(PARTS.values()), REST)
BATCH_SIZE = 50


def time_parts(folder: str, sizes: list[tuple[int, int]], device: torch.device, repeats: int) -> list[dict]:
    """Milliseconds of each part. No table on a GPU, where calls end before their work, or without a C compiler."""
    if device.type != "cpu" or not library(torch.float32):
        return []
    print("\ntime by part, ms (median)")
    print(f"{'':35}{'iteration':>11}" + "".join(f"{column:>17}" for column in COLUMNS))
    rows = []
    for model, rnn_size, num_layers in [("lstm", *size) for size in sizes] + [(m, *sizes[0]) for m in ("gru", "rnn")]:
        for name, dtype in types(device).items():
            cell = fastest(model, dtype, device)
            training = our_training(folder, cell, model, rnn_size, num_layers, BATCH_SIZE, dtype, device)
            parts: list[dict[str, float]] = []  # a turn each
            kinds = {
                "iteration": training.iteration,
                "in parts": lambda training=training, parts=parts: parts.append(seconds_by_part(training)),
            }
            iterations = in_turn(kinds, repeats, device)["iteration"]
            parts = parts[-repeats:]
            seconds = {part: [turn[part] for turn in parts] for part in COLUMNS[:-1]}
            seconds[REST] = [whole - sum(turn.values()) for whole, turn in zip(iterations, parts, strict=True)]
            label = f"{model} {rnn_size}x{num_layers} batch {BATCH_SIZE} {name}"
            medians = {part: statistics.median(values) * 1e3 for part, values in seconds.items()}
            cells = "".join(f"{medians[part]:17.2f}" for part in COLUMNS)
            print(f"{label:35}{statistics.median(iterations) * 1e3:11.2f}{cells}", flush=True)
            rows.append({"what": f"parts {label}", "iteration": iterations, "seconds": seconds})
    return rows


def seconds_by_part(training: Training) -> dict[str, float]:
    """Those of the parts in one iteration: what is no part is in none."""
    timers = Timers()
    with timers, timers.of_functions(library(training.network.params.dtype)), timers.of_optimiser(training.optimizer):
        training.iteration()
    return dict(timers.seconds)


class Timers(TorchDispatchMode):
    """While it is entered, PyTorch's operations are timed; so are functions in C and an optimiser, where asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = Counter(dict.fromkeys(COLUMNS[:-1], 0.0))
        self._all_of: str | None = None  # the part that all operations are of, as long as that is so

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple = (), named: dict[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch in place of each operation."""
        return self._timed(str(operation.overloadpacket), operation, *arguments, **named or {})

    def _timed(self, name: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        result = call(*arguments, **named)
        part = self._all_of or PARTS.get(name)
        if part:
            self.seconds[part] += time.perf_counter() - start
        return result

    @contextmanager
    def of_functions(self, functions: Any) -> Iterator[None]:
        """Those of a library that have a part."""
        originals = {name: getattr(functions, name) for name in PARTS if hasattr(functions, name)}
        for name, function in originals.items():
            setattr(functions, name, partial(self._timed, name, function))
        try:
            yield
        finally:
            for name, function in originals.items():
                setattr(functions, name, function)

    @contextmanager
    def of_optimiser(self, optimizer: Any) -> Iterator[None]:
        """Whatever it calls is its own."""
        original = optimizer.step

        def step(gradients: torch.Tensor) -> None:
            self._all_of = OPTIMISER
            original(gradients)
            self._all_of = None

        optimizer.step = step
        try:
            yield
        finally:
            del optimizer.step

"""Measure the time of each part of a training iteration with compiled cells, and of a sampled character.

Each PyTorch operation and each C function is timed when it is called. On a CPU a call returns when its work is done.
The remaining time is spent in Python.
"""

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from charrnn_port.model import fastest_backend, library
from charrnn_port.reports.benchmark.subjects import our_model, our_training
from charrnn_port.reports.benchmark.timing import in_turn, types
from charrnn_port.sampling import Model, Session, samplers
from charrnn_port.torch7.random import Generator
from charrnn_port.training import Training

STEPS, PRODUCTS, POINTWISE = "time steps", "large products", "pointwise"
OPTIMIZER, SUMS, REST = "optimiser", "transposes, sums", "the rest"
# The part of each function of model/sequence.c and of each PyTorch operation; all others belong to the rest.
PARTS = {
    **{f"{cell}_{direction}": STEPS for cell in ("lstm", "gru", "rnn") for direction in ("forward", "backward")},
    **dict.fromkeys(("input_products", "linear_outputs", "grad_inputs", "grad_weights"), PRODUCTS),
    **dict.fromkeys(("log_softmax", "log_softmax_backward", "step_losses", "aten.mul"), POINTWISE),
    **dict.fromkeys(("clip", "scale"), OPTIMIZER),
    **dict.fromkeys(("sum_rows", "transpose", "aten.copy_", "aten.cat"), SUMS),
}
PARTS_OF_SAMPLING = {"lstm_advance": "time step", "draw": "draw"}  # the same for sampling
BATCH_SIZE = 50
LENGTH = 500  # characters of a text


def time_parts(folder: str, sizes: list[tuple[int, int]], device: torch.device, repeats: int) -> list[dict]:
    """Print both tables. Prints nothing on a GPU, where calls return before their work, or without a C compiler."""
    if device.type != "cpu" or not library(torch.float32):
        return []
    return time_training_parts(folder, sizes, device, repeats) + time_sampling_parts(sizes, device, repeats)


def time_training_parts(folder: str, sizes: list[tuple[int, int]], device: torch.device, repeats: int) -> list[dict]:
    """Print the milliseconds of each part of an iteration, and return the rows."""
    print("\ntime by part, ms (median)")
    print(f"{'':35}{'iteration':>11}" + "".join(f"{column:>17}" for column in columns(PARTS)))
    rows = []
    for model, rnn_size, num_layers in [("lstm", *size) for size in sizes] + [(m, *sizes[0]) for m in ("gru", "rnn")]:
        for name, dtype in types(device).items():
            cell = fastest_backend(model, dtype, device)
            training = our_training(folder, cell, model, rnn_size, num_layers, BATCH_SIZE, dtype, device)
            by_part = partial(seconds_of_training, training)
            iterations, seconds = whole_and_parts(training.iteration, by_part, repeats)
            label = f"{model} {rnn_size}x{num_layers} batch {BATCH_SIZE} {name}"
            cells = "".join(f"{statistics.median(values) * 1e3:17.2f}" for values in seconds.values())
            print(f"{label:35}{statistics.median(iterations) * 1e3:11.2f}{cells}", flush=True)
            rows.append({"what": f"parts {label}", "iteration": iterations, "seconds": seconds})
    return rows


def time_sampling_parts(sizes: list[tuple[int, int]], device: torch.device, repeats: int) -> list[dict]:
    """Print the microseconds per character of each part of sampling, and return the rows."""
    print("\nsampling by part, µs a character (median)")
    print(f"{'':35}{'character':>11}" + "".join(f"{column:>17}" for column in columns(PARTS_OF_SAMPLING)))
    rows = []
    for rnn_size, num_layers in sizes:
        for name, dtype in types(device).items():
            shape = (rnn_size, num_layers, dtype, device)
            wholes, seconds = whole_and_parts(partial(sample, our_model(*shape)), lambda s=shape: sampled(*s), repeats)
            label = f"lstm {rnn_size}x{num_layers} {name}"
            cells = "".join(f"{statistics.median(values) * 1e6 / LENGTH:17.2f}" for values in seconds.values())
            print(f"{label:35}{statistics.median(wholes) * 1e6 / LENGTH:11.2f}{cells}", flush=True)
            rows.append({"what": f"sampling parts {label}", "characters": LENGTH, "text": wholes, "seconds": seconds})
    return rows


def columns(parts: dict[str, str]) -> list[str]:
    """Return the names of all parts in order."""
    return [*dict.fromkeys(parts.values()), REST]


def whole_and_parts(
    whole: Callable[[], object], by_part: Callable[[], dict[str, float]], repeats: int
) -> tuple[list[float], dict[str, list[float]]]:
    """Return the seconds of a whole call for each turn, and of its parts, which `by_part` times in other calls."""
    turns: list[dict[str, float]] = []
    kinds = {"whole": whole, "in parts": lambda: turns.append(by_part())}
    wholes = in_turn(kinds, repeats, torch.device("cpu"))["whole"]
    turns = turns[-repeats:]
    seconds = {part: [turn[part] for turn in turns] for part in turns[0]}
    seconds[REST] = [all_of_it - sum(turn.values()) for all_of_it, turn in zip(wholes, turns, strict=True)]
    return wholes, seconds


def seconds_of_training(training: Training) -> dict[str, float]:
    """Return the seconds of each part of one iteration."""
    timers = Timers(PARTS)
    with timers, timers.of_functions(library(training.network.params.dtype)), timers.of_optimizer(training.optimizer):
        training.iteration()
    return dict(timers.seconds)


def sampled(rnn_size: int, num_layers: int, dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """Return the seconds of each part of sampling one text.

    The model is made here, since models and samplers keep references to the C functions that they find.
    """
    timers = Timers(PARTS_OF_SAMPLING)
    with timers.of_functions(library(dtype)):
        sample(our_model(rnn_size, num_layers, dtype, device))
    return dict(timers.seconds)


def sample(model: Model) -> None:
    """Sample one text."""
    deque(Session(model).sample(LENGTH, samplers.categorical(Generator(1))), maxlen=0)


class Timers(TorchDispatchMode):
    """Context manager that times PyTorch's operations, and on request C functions and an optimizer."""

    def __init__(self, parts: dict[str, str]) -> None:
        """`parts` maps each operation and function to its part."""
        super().__init__()
        self._parts = parts
        self.seconds = Counter(dict.fromkeys(parts.values(), 0.0))
        self._all_of: str | None = None  # if set, the part that all operations belong to

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple = (), named: dict[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch in place of each operation."""
        return self._timed(str(operation.overloadpacket), operation, *arguments, **named or {})

    def _timed(self, name: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        result = call(*arguments, **named)
        part = self._all_of or self._parts.get(name)
        if part:
            self.seconds[part] += time.perf_counter() - start
        return result

    @contextmanager
    def of_functions(self, functions: Any) -> Iterator[None]:
        """Time the functions of a library that have a part."""
        originals = {name: getattr(functions, name) for name in self._parts if hasattr(functions, name)}
        for name, function in originals.items():
            setattr(functions, name, partial(self._timed, name, function))
        try:
            yield
        finally:
            for name, function in originals.items():
                setattr(functions, name, function)

    @contextmanager
    def of_optimizer(self, optimizer: Any) -> Iterator[None]:
        """Count all operations in the optimizer's step as its part."""
        original = optimizer.step

        def step(gradients: torch.Tensor) -> None:
            self._all_of = OPTIMIZER
            original(gradients)
            self._all_of = None

        optimizer.step = step
        try:
            yield
        finally:
            del optimizer.step

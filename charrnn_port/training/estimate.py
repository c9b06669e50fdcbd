"""-dry_run: prints sizes, memory and time of a run before it begins. A few iterations are timed and discarded."""

import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np

from charrnn_port.device import synchronize
from charrnn_port.model.memory import bytes_in
from charrnn_port.training.iteration import Training
from charrnn_port.util.minibatch_loader import MinibatchLoader
from charrnn_port.util.text_cache import CHUNK
from charrnn_port.util.vocabulary import readable

TIMED = 5  # iterations, and batches of an evaluation
RAREST = 5  # characters shown
COPIES = 2  # of parameters and optimizer: the last good state, and the one that is being copied or saved
WORKING = 6 * 10**6  # bytes, about, of work buffers inside PyTorch and MKL


def dry_run(training: Training, echo: Callable[[str], None]) -> None:
    """Pass the lines of a table about the run to `echo`: sizes, memory, time."""
    done = training.i
    seconds = timed(training)
    for name, value in [*sizes(training), *bill(training), *times(training, done, *seconds)]:
        echo(f"{name:12}  {value}")


def sizes(training: Training) -> Iterator[tuple[str, str]]:
    """Yield the rows about text, vocabulary, batches and parameters."""
    loader, options = training.loader, training.options
    each = loader.batch_size * loader.seq_length
    yield "text", f"{loader.size:,} {loader.vocab.unit}"
    yield "vocabulary", f"{loader.vocab_size} characters; the rarest: {rarest(loader)}"
    for name, count in zip(("train", "validation", "test"), loader.split_sizes.values(), strict=True):
        yield name, f"{count:,} batches of {loader.batch_size} x {loader.seq_length} = {count * each:,} characters"
    yield "left out", f"{loader.left_out:,} characters at the end"
    yield "network", f"{options.model}, {options.num_layers} layers of {options.rnn_size}"
    yield "parameters", f"{training.network.params.numel():,}"


def rarest(loader: MinibatchLoader) -> str:
    """Return the rarest characters in the batches with their counts, in words."""
    counts = np.zeros(loader.vocab_size, np.int64)
    for start in range(0, len(loader.ids), CHUNK):
        counts += np.bincount(loader.ids[start : start + CHUNK], minlength=loader.vocab_size)
    symbols = loader.vocab.symbols
    some = counts[: len(symbols)].argsort(kind="stable")[:RAREST]  # without the unknown symbol
    return ", ".join(f"{readable([symbols[id_]], 0)} {counts[id_]}" for id_ in some)


def bill(training: Training) -> Iterator[tuple[str, str]]:
    """Yield the rows about memory, measured on the tensors that exist after an iteration."""
    network, options = training.network, training.options
    parameters, item = network.params.nbytes, network.params.itemsize
    optimizer = bytes_in(training.optimizer) - parameters
    buffers = bytes_in([network, training.state]) - 2 * parameters
    if options.dropout:  # masks and their random numbers, which are freed again before this line is reached
        buffers += (9 + 3 * item) * options.seq_length * options.batch_size * options.num_layers * options.rnn_size
    copies = COPIES * bytes_in(vars(training.checkpoint()))
    parts = {
        "parameters": parameters,
        "gradients": parameters,
        "optimizer": optimizer,
        "buffers": buffers,
        "copies, for exploding losses and while saving": copies,
        "work buffers of PyTorch, about": WORKING,
    }
    yield "memory", f"{sum(parts.values()) / 1e6:,.1f} MB"
    for name, size in parts.items():
        yield "", f"{size / 1e6:9,.1f}  {name}"


def timed(training: Training) -> tuple[float, float]:
    """Return the median seconds of an iteration and of an evaluation's batch (0 without validation batches)."""
    device = training.network.params.device

    def seconds(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        synchronize(device)
        return time.perf_counter() - start

    for _ in range(2):  # warm up: buffers are allocated, and on CUDA a graph is recorded
        training.iteration()
    iteration = median(seconds(training.iteration) for _ in range(TIMED))
    evaluation = training.evaluate(2)
    next(evaluation)
    batches = [seconds(lambda: next(evaluation)) for _ in range(min(TIMED, training.loader.nval))]
    return iteration, median(batches) if batches else 0.0


def times(training: Training, done: int, iteration: float, batch: float) -> Iterator[tuple[str, str]]:
    """Yield the rows about the time of the rest of the run, after `done` iterations.

    `iteration` and `batch` are the seconds of an iteration and of an evaluation's batch.
    """
    options, loader = training.options, training.loader
    iterations = options.max_epochs * loader.ntrain
    every = options.eval_val_every
    evaluations = int(iterations) // every - done // every + (iterations == int(iterations) and iterations % every > 0)
    todo = max(0, int(iterations) - done)
    yield "iterations", f"{todo:,} of {iteration * 1000:.1f} ms"
    yield "evaluations", f"{evaluations:,} of {loader.nval * batch:.1f} s"
    yield "total", duration(todo * iteration + evaluations * loader.nval * batch)


def duration(seconds: float) -> str:
    """Return a time in words, in its two largest units."""
    for unit, length, smaller, factor in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            whole = int(seconds // length)
            return f"{whole} {unit} {int(seconds - whole * length) // factor} {smaller}"
    return f"{seconds:.1f} s"

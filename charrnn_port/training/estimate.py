"""What there is to know of a run before it: sizes, memory, time. A few iterations are done, timed and forgotten."""

import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np

from charrnn_port.device import synchronize
from charrnn_port.model.memory import bytes_in
from charrnn_port.training.iteration import Training
from charrnn_port.util.minibatch_loader import CHUNK, MinibatchLoader
from charrnn_port.util.vocabulary import readable

TIMED = 5  # iterations, and batches of an evaluation
RAREST = 5  # characters shown
COPIES = 2  # of parameters and optimiser: one for when the loss explodes, one while it is made anew or saved
WORKING = 6 * 10**6  # bytes, or so, that PyTorch's and MKL's functions keep for themselves


def dry_run(training: Training, echo: Callable[[str], None]) -> None:
    """Print a table of it, line by line."""
    done = training.i
    seconds = timed(training)
    for name, value in [*sizes(training), *bill(training), *times(training, done, *seconds)]:
        echo(f"{name:12}  {value}")


def sizes(training: Training) -> Iterator[tuple[str, str]]:
    """Text, vocabulary, batches, parameters."""
    loader, options = training.loader, training.options
    each = loader.batch_size * loader.seq_length
    yield "text", f"{len(loader.ids) + loader.left_out:,} {loader.vocab.unit}"
    yield "vocabulary", f"{loader.vocab_size} characters; the rarest: {rarest(loader)}"
    for name, count in zip(("train", "validation", "test"), loader.split_sizes.values(), strict=True):
        yield name, f"{count:,} batches of {loader.batch_size} x {loader.seq_length} = {count * each:,} characters"
    yield "left out", f"{loader.left_out:,} characters at the end"
    yield "network", f"{options.model}, {options.num_layers} layers of {options.rnn_size}"
    yield "parameters", f"{training.network.params.numel():,}"


def rarest(loader: MinibatchLoader) -> str:
    """The characters that occur least often in the batches, with how often they do."""
    counts = np.zeros(loader.vocab_size, np.int64)
    for start in range(0, len(loader.ids), CHUNK):
        counts += np.bincount(loader.ids[start : start + CHUNK], minlength=loader.vocab_size)
    symbols = loader.vocab.symbols
    some = counts[: len(symbols)].argsort(kind="stable")[:RAREST]  # without the unknown symbol
    return ", ".join(f"{readable([symbols[id_]], 0)} {counts[id_]}" for id_ in some)


def bill(training: Training) -> Iterator[tuple[str, str]]:
    """What takes memory, counted in the tensors that there are once an iteration is done."""
    network, options = training.network, training.options
    parameters, item = network.params.nbytes, network.params.itemsize
    optimizer = bytes_in(training.optimizer) - parameters
    buffers = bytes_in([network, training.state]) - 2 * parameters
    if options.dropout:  # masks, their words of random numbers, and what both are made by: gone when we come to count
        buffers += (9 + 3 * item) * options.seq_length * options.batch_size * options.num_layers * options.rnn_size
    copies = COPIES * bytes_in(vars(training.checkpoint()))
    parts = {
        "parameters": parameters,
        "gradients": parameters,
        "optimizer": optimizer,
        "buffers": buffers,
        "copies, for when the loss explodes and while saving": copies,
        "what PyTorch keeps for itself, about": WORKING,
    }
    yield "memory", f"{sum(parts.values()) / 1e6:,.1f} MB"
    for name, size in parts.items():
        yield "", f"{size / 1e6:9,.1f}  {name}"


def timed(training: Training) -> tuple[float, float]:
    """Seconds of an iteration and of a batch of an evaluation (0 where there is none): medians of a few."""
    device = training.network.params.device

    def seconds(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        synchronize(device)
        return time.perf_counter() - start

    for _ in range(2):  # buffers are made, and on CUDA a graph
        training.iteration()
    iteration = median(seconds(training.iteration) for _ in range(TIMED))
    evaluation = training.evaluate(2)
    next(evaluation)
    batches = [seconds(lambda: next(evaluation)) for _ in range(min(TIMED, training.loader.nval))]
    return iteration, median(batches) if batches else 0.0


def times(training: Training, done: int, iteration: float, batch: float) -> Iterator[tuple[str, str]]:
    """What the rest of the run takes, `done` iterations being done, with so many seconds for each and for a batch."""
    options, loader = training.options, training.loader
    iterations = options.max_epochs * loader.ntrain
    every = options.eval_val_every
    evaluations = int(iterations) // every - done // every + (iterations == int(iterations) and iterations % every > 0)
    todo = max(0, int(iterations) - done)
    yield "iterations", f"{todo:,} of {iteration * 1000:.1f} ms"
    yield "evaluations", f"{evaluations:,} of {loader.nval * batch:.1f} s"
    yield "in all", duration(todo * iteration + evaluations * loader.nval * batch)


def duration(seconds: float) -> str:
    """A time in words: its two largest units."""
    for unit, length, smaller, factor in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            whole = int(seconds // length)
            return f"{whole} {unit} {int(seconds - whole * length) // factor} {smaller}"
    return f"{seconds:.1f} s"

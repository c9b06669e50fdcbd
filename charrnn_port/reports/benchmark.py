"""`charrnn benchmark`: how fast, next to nn.LSTM and to the matrix products alone.

Everything is timed in one process, in turn (ours, theirs, floor, ours, …), so that a machine that slows down
slows all of them; what counts is the median of the ratios. The figures of one training iteration hold all of
it: fetching the batch, forward, backward, clipping, RMSprop, reading the loss.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from charrnn_port.device import DTYPES, record, synchronize
from charrnn_port.options import BenchmarkOptions, TrainOptions
from charrnn_port.reports.machine import describe_machine
from charrnn_port.sampling import Model, Session, choices
from charrnn_port.torch7.random import Generator
from charrnn_port.training import Training, initialize, training_for
from model import NETWORKS, fastest
from util.errors import UserError
from util.minibatch_loader import MinibatchLoader, preprocess
from util.vocabulary import Vocabulary

VOCAB = bytes(range(32, 97))  # 65 characters, as tinyshakespeare has
SEQ_LENGTH = 50
TEXT_MB = 64  # for the preprocessing
TORCH_LAYERS = {"lstm": nn.LSTM, "rnn": nn.RNN}  # nn.GRU computes another function
THEIRS = "nn.*"
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
NOT_ON = {"cuda": {"compiled"}, "cpu": {"persistent"}, "mps": {"compiled", "persistent"}}  # ways to run the cells


def benchmark(options: BenchmarkOptions) -> None:
    """Print all tables, and write all figures to a file if asked to. Raises UserError for sizes that are none."""
    if options.json:
        Path(options.json).open("a").close()  # fails now rather than after minutes
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    torch.backends.cudnn.allow_tf32 = False  # PyTorch's default is that nn.LSTM rounds to 3 digits
    sizes = [parse_size(size) for size in options.sizes.split(",")]
    print(describe_machine(device))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "input.txt").write_bytes(random_text(1_000_000))
        rows = time_training(folder, sizes, device, options.repeats)
        rows += time_sampling(sizes[0], device, options.repeats)
        rows += time_preprocessing(folder, options.repeats)
    write_json(options, device, rows)


def write_json(options: BenchmarkOptions, device: torch.device, rows: list[dict]) -> None:
    """All figures, into the file that -json names, if it does."""
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": describe_machine(device), "rows": rows}, indent=1))


def parse_size(text: str) -> tuple[int, int]:
    """`128x2` → (128, 2)."""
    try:
        rnn_size, num_layers = text.split("x")
        return int(rnn_size), int(num_layers)
    except ValueError as error:
        raise UserError(f"-sizes: {text!r} is not of the form 128x2") from error


def random_text(size: int) -> bytes:
    """Characters of VOCAB, all equally likely."""
    return bytes(np.random.RandomState(1).choice(np.frombuffer(VOCAB, np.uint8), size))


def in_turn(kinds: dict[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each call, the kinds taking turns; the first two rounds are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(repeats + 2):
        for name, call in kinds.items():
            synchronize(device)
            start = time.perf_counter()
            call()
            synchronize(device)
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(a: list[float], b: list[float]) -> str:
    """The median of the ratios turn by turn, and their quartiles."""
    low, median, high = statistics.quantiles([x / y for x, y in zip(a, b, strict=True)], n=4)
    return f"{median:.2f} ({low:.2f}-{high:.2f})"


def time_training(folder: str, sizes: list[tuple[int, int]], device: torch.device, repeats: int) -> list[dict]:
    """One iteration of each way to run the cells, of PyTorch's own layer, and of the products alone."""
    print("\none training iteration, ms (median); ratios: median (quartiles)")
    columns = [*(way for way in reversed(NETWORKS) if way not in NOT_ON[device.type]), THEIRS, "floor"]
    print(f"{'':35}" + "".join(f"{column:>11}" for column in columns) + f"  {f'ours / {THEIRS}':20}ours / floor")
    runs = [("lstm", *size, 50) for size in sizes]
    runs += [("lstm", *size, 100) for size in sizes if size[0] >= 512]
    runs += [(model, *sizes[0], 50) for model in ("gru", "rnn")]
    rows = []
    for model, rnn_size, num_layers, batch_size in runs:
        for name, dtype in DTYPES.items():
            if device.type == "mps" and dtype == torch.float64:
                continue
            kinds: dict[str, Callable[[], object]] = {}
            shape = (rnn_size, num_layers, batch_size, dtype, device)
            ours = fastest(model, dtype, device)
            for cell in NETWORKS:
                if cell not in ("compiled", "persistent") or cell == ours:
                    kinds[cell] = our_training(folder, cell, model, *shape).iteration
            if model in TORCH_LAYERS:
                kinds[THEIRS] = torch_training(model, *shape)
            floor = matrix_products(model, *shape)
            if device.type == "cuda":  # as our iteration is; launching them one by one takes longer than doing them
                floor()
                floor = record(floor, device)
            kinds["floor"] = floor
            seconds = in_turn(kinds, repeats, device)
            label = f"{model} {rnn_size}x{num_layers} batch {batch_size} {name}"
            medians = {kind: statistics.median(values) * 1e3 for kind, values in seconds.items()}
            cells = "".join(f"{medians[kind]:11.1f}" if kind in medians else f"{'':11}" for kind in columns)
            against = ratio(seconds[ours], seconds[THEIRS]) if THEIRS in seconds else ""
            print(f"{label:35}{cells}  {against:20}{ratio(seconds[ours], seconds['floor'])}", flush=True)
            rows.append({"what": label, "seconds": seconds})
    return rows


def our_training(
    folder: str,
    cell: str,
    model: str,
    rnn_size: int,
    num_layers: int,
    batch_size: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Training:
    """What train.py makes."""
    loader = MinibatchLoader(folder, batch_size, SEQ_LENGTH, 0.95, 0.05, echo=lambda line: None)
    network = NETWORKS[cell](model, len(VOCAB), rnn_size, num_layers, dtype=dtype, device=device)
    random = Generator(1)
    initialize(network, random)
    return training_for(TrainOptions(batch_size=batch_size), network, loader, random)


def torch_training(
    model: str, rnn_size: int, num_layers: int, batch_size: int, dtype: torch.dtype, device: torch.device
) -> Callable[[], float]:
    """The same with PyTorch's layer, written as its users would, with the settings that make it fastest."""
    options = {"dtype": dtype, "device": device}
    layers = TORCH_LAYERS[model](len(VOCAB), rnn_size, num_layers, **options)
    decoder = nn.Linear(rnn_size, len(VOCAB), **options)
    parameters = [*layers.parameters(), *decoder.parameters()]
    optimizer = torch.optim.RMSprop(parameters, lr=2e-3, alpha=0.95, foreach=True)
    one_hot = torch.eye(len(VOCAB), **options)
    ids = torch.randint(len(VOCAB), (SEQ_LENGTH + 1, batch_size), device=device)
    state = None

    def iteration() -> float:
        nonlocal state
        optimizer.zero_grad()
        output, state = layers(one_hot[ids[:-1]], state)
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        loss = nn.functional.cross_entropy(decoder(output).flatten(0, 1), ids[1:].flatten())
        (loss * SEQ_LENGTH).backward()
        nn.utils.clip_grad_value_(parameters, 5.0, foreach=True)
        optimizer.step()
        return loss.item()

    return iteration


def matrix_products(
    model: str, rnn_size: int, num_layers: int, batch_size: int, dtype: torch.dtype, device: torch.device
) -> Callable[[], None]:
    """The products that an iteration can't do without, at their sizes, into preallocated outputs: PyTorch's floor.

    Each in the layout that is fastest here. One-hot products are no matrix products (rows are gathered), and
    products over all time steps at once are single ones.
    """
    T, B, H, V = SEQ_LENGTH, batch_size, rnn_size, len(VOCAB)

    def new(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=dtype, device=device)

    # gru: two gates before the reset product, the candidate after it
    parts = [2 * H, H] if model == "gru" else [GATES[model] * H]
    n = sum(parts)
    x, grad_x, sums = new(T, B, H), new(T, B, H), new(T, B, n)
    weight, transposed = new(n, H), new(H, n)
    decoder, scores = new(V, H), new(T * B, V)
    grad_weight, grad_decoder = new(H, n), new(H, V)
    steps = []
    for t in range(T):
        for w, w_transposed, s in zip(
            weight.split(parts), transposed.split(parts, 1), sums[t].split(parts, 1), strict=True
        ):
            steps.append((x[t], w, w_transposed, s, grad_x[t]))
    rows, grad_rows, sums = x.flatten(0, 1), grad_x.flatten(0, 1), sums.flatten(0, 1)

    def products() -> None:
        for layer in range(num_layers):
            if layer:
                torch.mm(rows, weight.T, out=sums)
            for h, _, w_transposed, s, _ in steps:
                torch.mm(h, w_transposed, out=s)
        torch.mm(rows, decoder.T, out=scores)
        torch.mm(scores, decoder, out=grad_rows)
        torch.mm(rows.T, scores, out=grad_decoder)
        for layer in range(num_layers):
            for _, w, _, s, grad_h in steps:
                torch.mm(s, w, out=grad_h)
            torch.mm(rows.T, sums, out=grad_weight)
            if layer:
                torch.mm(sums, weight, out=grad_rows)
                torch.mm(rows.T, sums, out=grad_weight)

    return products


def time_sampling(size: tuple[int, int], device: torch.device, repeats: int) -> list[dict]:
    """Microseconds a character, and those of the products of matrix and vector in it."""
    print("\nsampling, µs a character (median); ratio: median (quartiles)")
    rnn_size, num_layers = size
    length, rows = 500, []
    for name, dtype in DTYPES.items():
        if device.type == "mps" and dtype == torch.float64:
            continue
        network = NETWORKS["fused"]("lstm", len(VOCAB), rnn_size, num_layers, dtype=dtype, device=device)
        initialize(network, Generator(1))
        h = torch.randn(1, rnn_size, dtype=dtype, device=device)
        shapes = [4 * rnn_size] * (2 * num_layers - 1) + [len(VOCAB)]
        products = [(torch.randn(n, rnn_size).to(h).T, torch.empty(1, n).to(h)) for n in shapes]

        model = Model(network, Vocabulary(VOCAB))

        def characters(model=model) -> None:
            session = Session(model)
            for _ in session.sample(length, choices.drawn(Generator(1))):
                pass

        def floor(h=h, products=products) -> None:
            for _ in range(length):
                for weight, result in products:
                    torch.mm(h, weight, out=result)

        seconds = in_turn({"ours": characters, "floor": floor}, repeats, device)
        medians = {kind: statistics.median(values) / length * 1e6 for kind, values in seconds.items()}
        label = f"lstm {rnn_size}x{num_layers} {name}"
        against = ratio(seconds["ours"], seconds["floor"])
        print(f"{label:26}{medians['ours']:8.1f}   floor {medians['floor']:8.1f}   ours / floor {against}")
        rows.append({"what": f"sampling {label}", "characters": length, "seconds": seconds})
    return rows


def time_preprocessing(folder: str, repeats: int) -> list[dict]:
    """Megabytes of text a second, into the cache on disk."""
    text, cache = Path(folder, "large.txt"), Path(folder, "large.h5")
    text.write_bytes(random_text(1_000_000) * TEXT_MB)

    def run() -> None:
        preprocess(text, cache, echo=lambda line: None)

    seconds = in_turn({"ours": run}, repeats, torch.device("cpu"))
    os.remove(text)
    print(f"\npreprocessing: {TEXT_MB / statistics.median(seconds['ours']):.0f} MB/s")
    return [{"what": "preprocessing", "megabytes": TEXT_MB, "seconds": seconds}]

"""Measure the speed of sampling one text, and of many texts in a batch."""

import statistics
from collections import deque

import torch

from charrnn_port.reports.benchmark import limits
from charrnn_port.reports.benchmark.subjects import VOCAB, our_model
from charrnn_port.reports.benchmark.timing import in_turn, ratio, share, types
from charrnn_port.reports.benchmark.work import weight_count
from charrnn_port.sampling import BatchedSession, Session, samplers
from charrnn_port.torch7.random import Generator

TEXTS = 32
LENGTH = 500  # characters of a text, at small sizes


def time_sampling(sizes: list[tuple[int, int]], device: torch.device, repeats: int) -> list[dict]:
    """Print the table, and return its rows.

    Columns: microseconds per character, those of the matrix-vector products alone, and the share of the memory
    bandwidth. The share is left out if the weights fit in a cache, since they are not read from memory then.
    """
    print("\nsampling, µs a character; characters a second (medians); ratios: median (quartiles)")
    print(f"{'':24}{'ours':>9}{'floor':>9}  {'ours / floor':18}{'MB':>6} of bandwidth", end="")
    print(f"{'one text':>11}{f'{TEXTS} at once':>12}  {TEXTS} / one")
    memory = limits.memory(device)
    rows = []
    for rnn_size, num_layers in sizes:
        weights = weight_count("lstm", rnn_size, num_layers, len(VOCAB))
        length = max(LENGTH // 5, min(LENGTH, 100_000_000 // weights))
        for name, dtype in types(device).items():
            model = our_model(rnn_size, num_layers, dtype, device)
            h = torch.randn(1, rnn_size, dtype=dtype, device=device)
            shapes = [4 * rnn_size] * (2 * num_layers - 1) + [len(VOCAB)]
            products = [(torch.randn(n, rnn_size).to(h).T, torch.empty(1, n).to(h)) for n in shapes]

            def one(model=model, length=length) -> None:
                exhaust(Session(model).sample(length, samplers.categorical(Generator(1))))

            def many(model=model, length=length) -> None:
                sessions, draw = BatchedSession(model, TEXTS), samplers.BatchedCategorical("float32")
                randoms = [Generator(seed) for seed in range(TEXTS)]
                for _ in range(length):
                    sessions.feed(draw(randoms, [1.0] * TEXTS, sessions.scores.T))

            def floor(h=h, products=products, length=length) -> None:
                for _ in range(length):
                    for weight, result in products:
                        torch.mm(h, weight, out=result)

            kinds = {"ours": one, "floor": floor, "many": many}
            if memory:
                kinds["memory"] = memory.call
            seconds = in_turn(kinds, repeats, device)
            a_character = {"ours": length, "floor": length, "many": TEXTS * length}
            medians = {kind: statistics.median(seconds[kind]) / count for kind, count in a_character.items()}
            size = weights * dtype.itemsize
            bandwidth = ""
            if memory:
                bandwidth = share(size * length, seconds["ours"], memory.amount, seconds["memory"])
                if size <= limits.cache_size():
                    bandwidth = "in cache"
            label = f"lstm {rnn_size}x{num_layers} {name}"
            print(
                f"{label:24}{medians['ours'] * 1e6:9.1f}{medians['floor'] * 1e6:9.1f}  "
                f"{ratio(seconds['ours'], seconds['floor']):18}{size / 1e6:6.1f} {bandwidth:12}"
                f"{1 / medians['ours']:11.0f}{1 / medians['many']:12.0f}  {medians['ours'] / medians['many']:.2f}",
                flush=True,
            )
            rows.append({"what": f"sampling {label}", "characters": a_character, "bytes": size, "seconds": seconds})
    return rows


def exhaust(iterator: object) -> None:
    """Consume an iterator."""
    deque(iterator, maxlen=0)

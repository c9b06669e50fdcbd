"""Measure training: each backend, PyTorch's own layer, the matrix products alone, and the share of peak arithmetic."""

import statistics
from collections.abc import Callable

import torch

from charrnn_port.device import record
from charrnn_port.model import BACKENDS, fastest_backend
from charrnn_port.reports.benchmark import limits
from charrnn_port.reports.benchmark.baselines import LAYERS, matrix_products, torch_training
from charrnn_port.reports.benchmark.subjects import SEQ_LENGTH, VOCAB, our_training
from charrnn_port.reports.benchmark.timing import in_turn, ratio, share, types
from charrnn_port.reports.benchmark.work import training_flops

BASELINE, IN_GRAPH = "nn.*", "in a graph"  # IN_GRAPH: on a GPU, recorded as one CUDA graph
NOT_ON = {"cuda": {"compiled"}, "cpu": {"persistent"}, "mps": {"compiled", "persistent"}}  # backends


def time_training(folder: str, sizes: list[tuple[int, int]], device: torch.device, repeats: int) -> list[dict]:
    """Print the milliseconds of one iteration with each backend and baseline, and return the rows."""
    print("\none training iteration, ms (median); ratios: median (quartiles)")
    against = [BASELINE, IN_GRAPH] if device.type == "cuda" else [BASELINE]
    columns = [*(backend for backend in reversed(BACKENDS) if backend not in NOT_ON[device.type]), *against, "floor"]
    print(f"{'':35}" + "".join(f"{column:>11}" for column in columns), end="")
    print("".join(f"  {f'ours / {name}':18}" for name in [*against, "floor"]) + "  share of peak")
    runs = [("lstm", *size, 50) for size in sizes]
    runs += [("lstm", *size, 100) for size in sizes if size[0] >= 512]
    runs += [(model, *sizes[0], 50) for model in ("gru", "rnn")]
    rows = []
    for model, rnn_size, num_layers, batch_size in runs:
        for name, dtype in types(device).items():
            kinds: dict[str, Callable[[], object]] = {}
            shape = (rnn_size, num_layers, batch_size, dtype, device)
            ours = fastest_backend(model, dtype, device)
            for cell in BACKENDS:
                if cell not in ("compiled", "persistent") or cell == ours:
                    kinds[cell] = our_training(folder, cell, model, *shape).iteration
            if model in LAYERS:
                kinds |= {each: torch_training(model, *shape, graph=each == IN_GRAPH) for each in against}
            floor = matrix_products(model, *shape)
            if device.type == "cuda":  # in a graph like our iteration; launching each takes longer than computing it
                floor()
                floor = record(floor, device)
            kinds["floor"] = floor
            peak = limits.arithmetic(dtype, device)
            if peak:
                kinds["peak"] = peak.call
            flops = training_flops(model, rnn_size, num_layers, batch_size, SEQ_LENGTH, len(VOCAB))
            seconds = in_turn(kinds, repeats, device)
            label = f"{model} {rnn_size}x{num_layers} batch {batch_size} {name}"
            medians = {kind: statistics.median(values) * 1e3 for kind, values in seconds.items()}
            cells = "".join(f"{medians[kind]:11.2f}" if kind in medians else f"{'':11}" for kind in columns)
            ratios = [ratio(seconds[ours], seconds[kind]) if kind in seconds else "" for kind in [*against, "floor"]]
            of_peak = share(flops, seconds[ours], peak.amount, seconds["peak"]) if peak else ""
            print(f"{label:35}{cells}" + "".join(f"  {each:18}" for each in ratios) + f"  {of_peak}", flush=True)
            row = {"what": label, "seconds": seconds, "flops": flops}
            rows.append(row | {"peak_flops": peak.amount} if peak else row)
    return rows

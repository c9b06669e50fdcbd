"""Measure the speed of evaluation, which is a forward pass alone, against training."""

import statistics

import torch

from charrnn_port.model import fastest_backend
from charrnn_port.reports.benchmark.subjects import SEQ_LENGTH, our_training
from charrnn_port.reports.benchmark.timing import in_turn, ratio, types
from charrnn_port.training import Training

BATCH_SIZE = 50


def time_evaluation(folder: str, sizes: list[tuple[int, int]], device: torch.device, repeats: int) -> list[dict]:
    """Print the table of characters per second, and return its rows."""
    print("\ncharacters a second (median); ratio: median (quartiles)")
    print(f"{'':35}{'training':>11}{'evaluation':>11}  evaluation / training")
    rows = []
    for rnn_size, num_layers in sizes:
        for name, dtype in types(device).items():
            cell = fastest_backend("lstm", dtype, device)
            training = our_training(folder, cell, "lstm", rnn_size, num_layers, BATCH_SIZE, dtype, device)
            kinds = {"training": training.iteration, "evaluation": lambda training=training: evaluate(training)}
            seconds = in_turn(kinds, repeats, device)
            label = f"lstm {rnn_size}x{num_layers} batch {BATCH_SIZE} {name}"
            characters = BATCH_SIZE * SEQ_LENGTH
            rates = "".join(f"{characters / statistics.median(seconds[kind]):11.0f}" for kind in kinds)
            print(f"{label:35}{rates}  {ratio(seconds['training'], seconds['evaluation'])}", flush=True)
            rows.append({"what": f"evaluation {label}", "characters": characters, "seconds": seconds})
    return rows


def evaluate(training: Training) -> None:
    """Evaluate the next batch; see `Training.evaluate`."""
    network = training.network
    x, y = (torch.from_numpy(ids).to(network.params.device) for ids in training.loader.next_batch(1))
    network.evaluation_pass(x, y, training.state).tolist()

"""Measure preprocessing: from a text to its cache on disk."""

import os
import statistics
from pathlib import Path

import torch

from charrnn_port.reports.benchmark.subjects import random_text
from charrnn_port.reports.benchmark.timing import in_turn
from charrnn_port.util.text_cache import preprocess

TEXT_MB = 64


def time_preprocessing(folder: str, repeats: int) -> list[dict]:
    """Print the megabytes of text per second, and return the row."""
    text, cache = Path(folder, "large.txt"), Path(folder, "large.h5")
    text.write_bytes(random_text(1_000_000) * TEXT_MB)

    def run() -> None:
        preprocess(text, cache, echo=lambda line: None)

    seconds = in_turn({"ours": run}, repeats, torch.device("cpu"))
    os.remove(text)
    print(f"\npreprocessing: {TEXT_MB / statistics.median(seconds['ours']):.0f} MB/s")
    return [{"what": "preprocessing", "megabytes": TEXT_MB, "seconds": seconds}]

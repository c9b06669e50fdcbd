"""Runs with shapes for which OpenBLAS uses another summation order: the same bits as Torch7's arithmetic.

Odd batches and sizes, sizes not divisible by 4, batches above 256, a batch or a sequence of one, few characters.
"""

import hashlib
import json

import pytest
from conftest import NEEDS_COMPILER, REFERENCE

from charrnn_port.options import TrainOptions
from charrnn_port.training import prepare

RUNS = json.loads((REFERENCE / "odd_shapes.json").read_text())["runs"]
RECORDED = ("vocab_size", "train_losses", "grad_param_norms", "sha256")


def name_of(run: dict) -> str:
    return "-".join(str(value) for name, value in run.items() if name not in RECORDED or name == "vocab_size")


def text_of(vocab_size: int) -> bytes:
    """Return the text of the runs with `vocab_size` different characters."""
    return bytes(97 + (i * i + i // 7) % vocab_size for i in range(5000))


@NEEDS_COMPILER
@pytest.mark.parametrize("run", RUNS, ids=name_of)
def test_three_iterations(run, play, tmp_path):
    if "vocab_size" in run:
        (tmp_path / "input.txt").write_bytes(text_of(run["vocab_size"]))
    folder = tmp_path if "vocab_size" in run else play
    options = {name: value for name, value in run.items() if name not in RECORDED}
    training = prepare(TrainOptions(data_dir=folder, gpuid=-1, cell="compiled", **options))
    losses, norms = [], []
    for _ in range(3):
        losses.append(training.iteration().hex())
        norms.append(training.grad_param_norm().hex())
    assert losses == run["train_losses"]
    assert norms == run["grad_param_norms"]
    assert hashlib.sha256(training.network.params.numpy().astype("<f8").tobytes()).hexdigest() == run["sha256"]

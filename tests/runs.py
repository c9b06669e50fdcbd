"""What tests of whole runs share: a small run, what it printed, and what it saved."""

import re
from pathlib import Path

import h5py
import numpy as np
import torch

import charrnn_port
from charrnn_port.checkpoints import Checkpoint

# A text and options for a run of 144 iterations that evaluates and saves seven times.
TEXT = b"the quick brown fox jumps over the lazy dog; the five boxing wizards jump quickly.\n" * 25
SMALL = "-gpuid -1 -rnn_size 8 -batch_size 4 -seq_length 10 -max_epochs 3 -learning_rate_decay_after 1".split()
EVERY = ["-eval_val_every", "20"]

# What the original prints and this port has nothing to say of: clones of the network.
NOT_PRINTED = re.compile(r"cloning .*\n")
TIME = re.compile(r", time/batch = .*")


def saved(folder: Path) -> dict[int, tuple[Path, Checkpoint]]:
    """Checkpoints by iteration."""
    checkpoints = [(path, charrnn_port.load_checkpoint(path)) for path in folder.glob("*.t7.pt")]
    return {checkpoint.i: (path, checkpoint) for path, checkpoint in checkpoints}


def assert_same(ours: Checkpoint, theirs: Checkpoint) -> None:
    """Bit for bit, all that a run depends on."""
    assert torch.equal(ours.params, theirs.params)
    assert ours.progress["optimizer"].keys() == theirs.progress["optimizer"].keys()
    for name, value in ours.progress["optimizer"].items():
        other = theirs.progress["optimizer"][name]
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
    for name in ("schedule", "random"):
        assert ours.progress[name] == theirs.progress[name]
    for a, b in zip(ours.progress["state"], theirs.progress["state"], strict=True):
        assert torch.equal(a, b)
    assert (ours.train_losses, ours.val_losses, ours.i) == (theirs.train_losses, theirs.val_losses, theirs.i)


def printed(run: h5py.Group) -> str:
    """All that a recorded run printed."""
    return bytes(run["stdout"][:]).decode()


def comparable(output: str) -> list[str]:
    """Printed lines from the loading of data on, without times and without the folders of files."""
    lines = NOT_PRINTED.sub("", output).split("\n")
    lines = lines[lines.index("loading data files...") :]
    lines = [TIME.sub("", line).replace(".t7.pt", ".t7") for line in lines]
    lines = [re.sub(r"(checkpoint to )\S*/", r"\1", line) for line in lines]
    return [re.sub(r"(from checkpoint )\S*", r"\1", line) for line in lines]


def log_lines(output: str) -> list[str]:
    """The lines of iterations, without times."""
    return [TIME.sub("", line) for line in output.split("\n") if "train_loss" in line]


def losses(lines: list[str]) -> np.ndarray:
    """The training losses in such lines."""
    return np.array([float(re.search(r"train_loss = ([0-9.]+)", line)[1]) for line in lines])

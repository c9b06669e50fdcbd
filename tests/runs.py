"""Shared by tests of whole runs: options of a small run, its printed lines, and its checkpoints."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import h5py
import torch
from conftest import REFERENCE

import charrnn_port
from charrnn_port.checkpoints import Checkpoint
from charrnn_port.reports.verify import recordings
from charrnn_port.reports.verify.runs import NOT_PRINTED as NOT_PRINTED
from charrnn_port.reports.verify.runs import TIME as TIME
from charrnn_port.reports.verify.runs import comparable as comparable
from charrnn_port.reports.verify.runs import log_lines as log_lines
from charrnn_port.reports.verify.runs import losses as losses

# A text and options for a run of 144 iterations with seven evaluations and checkpoints.
TEXT = b"the quick brown fox jumps over the lazy dog; the five boxing wizards jump quickly.\n" * 25
SMALL = "-gpuid -1 -rnn_size 8 -batch_size 4 -seq_length 10 -max_epochs 3 -learning_rate_decay_after 1".split()
EVERY = ["-eval_val_every", "20"]


def saved(folder: Path) -> dict[int, tuple[Path, Checkpoint]]:
    """Return the checkpoints in a folder, and their paths, by iteration."""
    checkpoints = [(path, charrnn_port.load_checkpoint(path)) for path in folder.glob("*.t7.pt")]
    return {checkpoint.i: (path, checkpoint) for path, checkpoint in checkpoints}


def assert_same(ours: Checkpoint, theirs: Checkpoint) -> None:
    """Assert that two checkpoints have the same training state, bit for bit."""
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


@cache
def recorded(name: str, torch7: str = "2017") -> recordings.Run:
    """Return a recorded run, including the vectors that are not part of the package."""
    run = recordings.runs(torch7)[name]
    if torch7 != "2017":
        return run
    with h5py.File(REFERENCE / "more_vectors.h5") as file:
        more = {key: vector[:] for key, vector in file["runs"].get(name, {}).items()}
    return replace(run, vectors=run.vectors | more)


def typed(arguments: dict[str, str]) -> list[str]:
    """Return options as command-line words."""
    return [word for name, value in arguments.items() for word in (f"-{name}", value)]


def printed(run: h5py.Group) -> str:
    """Return the stdout of a recorded run."""
    return bytes(run["stdout"][:]).decode()

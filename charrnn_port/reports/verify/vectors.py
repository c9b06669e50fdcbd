"""Compare parameters, gradients and validation losses with those of the original."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from charrnn_port.checkpoints import load_checkpoint
from charrnn_port.reports.verify.recordings import CHECKPOINTS, Run
from charrnn_port.reports.verify.results import Check, Difference, Same, same
from charrnn_port.reports.verify.runs import Backend, prepared

PART = "recorded numbers"
ITERATIONS = 20
VALIDATION = 2  # the split's number
# Relative limits (of norms, for vectors) where bits are not promised. The first parameters must equal the recorded ones
# rounded to their data type. Measured in single precision: 1e-6 in gradients, 3e-6 in parameters, 2e-7 in losses.
LIMITS = {
    "float64": {"params_0": 0.0, "grads": 1e-12, "params_20": 1e-9, "val_loss": 1e-12},
    "float32": {"params_0": 0.0, "grads": 1e-5, "params_20": 1e-4, "val_loss": 1e-5},
}


def vectors(recorded: Run, backend: Backend, folder: Path) -> list[Check]:
    """Train for ITERATIONS iterations, and compare parameters and gradients with the recorded vectors."""
    training = prepared(recorded, backend, folder)
    network = training.network
    found = {"params_0": network.params.cpu().clone()}
    for i in range(1, ITERATIONS + 1):
        training.iteration()
        found[f"grads_{i}"], found[f"params_{i}"] = network.grad_params.cpu().clone(), network.params.cpu().clone()
    return [compare(recorded, name, found[name], backend) for name in found if name in recorded.vectors]


def compare(recorded: Run, name: str, ours: torch.Tensor, backend: Backend) -> Check:
    """Compare a vector with the recorded one."""
    theirs, limits = recorded.vectors[name], LIMITS[backend.dtype]
    if backend.bits:
        return same(PART, recorded.name, name, ours.numpy(), theirs)
    if name == "params_0":
        theirs = theirs.astype(backend.dtype)
    limit = limits["grads"] if name.startswith("grads_") else limits[name]
    return Difference(PART, recorded.name, name, relative(ours.numpy(), theirs), limit)


def val_loss(recorded: Run, backend: Backend, folder: Path) -> Check:
    """Evaluate the run's last checkpoint by Torch7, and compare with the validation loss that it contains."""
    path = CHECKPOINTS / f"{recorded.name}.t7"
    saved = load_checkpoint(path)
    training = prepared(replace(recorded, arguments=recorded.arguments | {"init_from": path}), backend, folder)
    training.network.params.copy_(saved.params)  # since -init_from has reset the biases of the forget gates
    loss = loss_of(training.evaluate(VALIDATION))
    if backend.bits:
        return same(PART, recorded.name, "val_loss", np.array([loss]), np.array([saved.val_loss]))
    off = abs(loss - saved.val_loss) / saved.val_loss
    return Difference(PART, recorded.name, "val_loss", off, LIMITS[backend.dtype]["val_loss"])


def last_checkpoint(recorded: Run, checkpoint_dir: Path) -> list[Same]:
    """Compare parameters and losses of the run's last checkpoint written here with those of Torch7's."""
    path = CHECKPOINTS / f"{recorded.name}.t7"
    if recorded.torch7 != "2017" or not path.exists():
        return []
    pair = load_checkpoint(checkpoint_dir / f"{recorded.checkpoints[-1]}.pt"), load_checkpoint(path)
    params = (saved.params.numpy() for saved in pair)
    losses = (np.array([*saved.train_losses, *dict(sorted(saved.val_losses.items())).values()]) for saved in pair)
    return [same(PART, recorded.name, "last parameters", *params), same(PART, recorded.name, "losses", *losses)]


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the norm of the difference relative to the norm of the recorded vector."""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def loss_of(evaluation: Generator[Any, None, float]) -> float:
    """Run an evaluation to its end and return the loss, in nats per character."""
    while True:
        try:
            next(evaluation)
        except StopIteration as end:
            return end.value

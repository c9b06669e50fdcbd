"""Compare samples with those of the original, byte for byte.

On a GPU, whose last digits differ, log-probabilities along the recorded samples are compared instead.
"""

from pathlib import Path

import numpy as np
import torch

from charrnn_port.checkpoints import Checkpoint, load_checkpoint
from charrnn_port.options import SampleOptions
from charrnn_port.reports.verify.recordings import Run, Sample
from charrnn_port.reports.verify.results import Check, Difference, Same, same
from charrnn_port.sampling import Model, Session, sample_bytes

PART = "samples"
SCORES = "scores of samples"
LIMIT = 2e-5  # of log-probabilities in single precision, in nats; measured: 2e-6


def of_run(recorded: Run, checkpoint_dir: Path) -> list[Same]:
    """Compare the samples of a recorded run with those from its last checkpoint written here."""
    saved = load_checkpoint(checkpoint_dir / f"{recorded.checkpoints[-1]}.pt")
    name = f"{recorded.torch7} {recorded.name}"
    return [compare(name, sample, drawn(sample, saved)) for sample in recorded.samples]


def of_lua_checkpoint(recorded: Run, path: Path, device: torch.device) -> list[Check]:
    """Compare the samples of a recorded run with those from the checkpoint that Torch7 wrote."""
    saved = load_checkpoint(path)
    if device.type == "cpu":
        return [compare(path.name, sample, drawn(sample, saved)) for sample in recorded.samples]
    return [scored(path.name, sample, saved, device) for sample in recorded.samples]


def drawn(sample: Sample, saved: Checkpoint) -> bytes:
    """Return the output of sample.py on the CPU."""
    options = SampleOptions(model="", **sample.arguments)
    text = sample_bytes(
        saved,
        options.length,
        primetext=options.primetext,
        temperature=options.temperature,
        argmax=options.sample == 0,
        seed=options.seed,
    )
    return b"".join(text) + b"\n"


def compare(name: str, sample: Sample, printed: bytes) -> Same:
    """Compare the output of sample.py with the recording."""
    return same(PART, name, sample.variant, printed, sample.printed)


def scored(name: str, sample: Sample, saved: Checkpoint, device: torch.device) -> Difference:
    """Compare log-probabilities of the next character along the recorded text with those computed on the CPU."""
    there, here = Session(Model.of(saved, device)), Session(Model.of(saved))
    off = [0.0]
    for id_ in saved.vocab.encode(sample.printed.removesuffix(b"\n")):
        there.feed([id_])
        here.feed([id_])
        off.append(np.abs(there.log_probs() - here.log_probs()).max())
    return Difference(SCORES, name, "log-probability", float(np.max(off)), LIMIT)

"""Sentences of the page about the network, the text, and what was measured."""

import math
from pathlib import Path

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.reports.look.recording import Recording
from charrnn_port.reports.look.silence import CANDIDATES, Ablation
from charrnn_port.reports.look.units import Search


def checkpoint(name: str, its: Checkpoint) -> str:
    """Return the checkpoint's name, epoch and validation loss."""
    loss = f"validation loss {its.val_loss:.4f} nats per character"
    return f"{Path(name).name}, epoch {its.epoch:.2f}, {'no validation loss' if math.isnan(its.val_loss) else loss}"


def network(its: CharRNN, held: int) -> str:
    """Return the network's size, and how many of its units are on the page."""
    units, layers = its.num_layers * its.rnn_size, its.num_layers
    here = "all on this page" if held == units else f"{held} of {units} on this page; choose others with -units"
    return f"{its.model}, {layers} {'layer' if layers == 1 else 'layers'} of {its.rnn_size} units ({here})"


def text(name: str, recording: Recording) -> str:
    """Return the name of the text, its length and pieces, and the network's loss on it."""
    nats, count = -float(recording.figures.log_probs.mean(dtype=float)), len(recording.begins)
    pieces = f" in {count} pieces, each from an empty state" if count > 1 else ""
    loss = f"cross-entropy {nats:.4f} nats ({nats / math.log(2):.4f} bits) per character"
    return f"{name}, {len(recording.ids)} characters{pieces}, {loss}"


def search(found: Search, rare: list[str]) -> str:
    """Return the explanation of the scores and of the chance level."""
    missing = f" Too rare in this text to be tested: {', '.join(rare)}." if rare else ""
    if not found.tried:
        return f"No property was tested.{missing}"
    return (
        "Which units predict which properties of the text? A rule is fitted on the first half of the text and scored "
        "on the second half: by AUC for yes or no (0.5 is guessing, 1 is perfect), by R² for numbers (0 is nothing "
        "explained, 1 is all). (falls) means that the unit is lower where the property holds. "
        f"{found.tried} scores were computed, for {found.units} units, each part of their state, and "
        f"{len(found.chances)} properties. The best of many scores is high by chance, and every unit depends on the "
        "character just read. Chance level: 95th percentile of the best score over all units and properties in "
        f"networks with shuffled weights, extrapolated from {found.networks} of them. A linear probe reads the whole "
        "state, all units at once; beside it, the best of the same probes of the shuffled networks."
        f"{missing}"
    )


def silenced(found: Ablation) -> dict:
    """Return the table of units that matter most, with its explanation."""
    about = (
        f"Loss on the first {found.length} characters while the output of one unit is held at 0, minus the loss of the "
        "whole network, in bits per character: over all characters, and by kind. The units that matter most are first. "
    )
    if found.screened:
        about += f"They are from the {CANDIDATES} units with the largest increase over {found.screened} characters. "
    if not found.learned:
        about = "The network predicts this text no better than the frequencies of its characters: no unit helps it. "
    elif not found.units:
        about += "No unit raises the loss beyond the noise of this text."
    rows = [each._asdict() | {"name": each.name} for each in found.units]
    return {"about": about, "units": rows, "counts": found.counts}


def losses(with_ngrams: bool) -> str:
    """Return the explanation of the tables."""
    more = (
        " The n-gram models are fitted to the training split of the training text, with Witten-Bell smoothing. "
        "Characters that only the network predicts correctly need a longer context, or a better model of it."
        if with_ngrams
        else " There is no comparison with n-gram models, since the training text was not found in the checkpoint's "
        "data_dir."
    )
    return f"A prediction counts as correct if the probability of the actual character was above 1/2.{more}"

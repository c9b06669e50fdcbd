"""Write the page: page.html with its style, scripts and data, as one file that makes no network requests."""

import html
import json
import math
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.options import LookOptions
from charrnn_port.reports.look import errors, ngrams
from charrnn_port.reports.look.gates import gates
from charrnn_port.reports.look.packing import COARSE, FINE, columns_of, labels, lists, packed, strong
from charrnn_port.reports.look.pairs import pairs_of, units_by_name
from charrnn_port.reports.look.recording import Recording, batched_states, shuffled
from charrnn_port.reports.look.rests import rests
from charrnn_port.reports.look.silence import CANDIDATES, Ablation, ablation
from charrnn_port.reports.look.switches import switched
from charrnn_port.reports.look.units import Finding, Search, the_best

SCRIPTS = (
    "data.js", "coloring.js", "rests.js", "text.js", "here.js", "map.js", "search.js", "span.js", "gates.js",
    "sections.js", "address.js", "page.js",
)  # fmt: skip
SMOOTH = 8  # characters over which a unit's values are averaged, to see how it varies from passage to passage
ABOUT_PARTS = {
    "c": "cell state (memory)",
    "h": "output (hidden state)",
    "in": "input gate",
    "forget": "forget gate (1 keeps the cell state)",
    "out": "output gate",
    "transform": "transform (candidate for the cell state)",
    "update": "update gate (0 keeps the state)",
    "reset": "reset gate",
    "candidate": "candidate (new state)",
}


def make(
    options: LookOptions,
    checkpoint: Checkpoint,
    network: CharRNN,
    recording: Recording,
    characters: list[str],
    found: Search,
    rare: list[str],
    wanted: list[tuple[int, int]],
    other: tuple[CharRNN, Recording] | None = None,
) -> Callable[[Path], object]:
    """Return a function that writes the page to a file.

    `rare` are names of properties that are too rare in the text. `wanted` are units to show first, as (layer from 1,
    unit). `other` is another network, and what it computed on the same text.
    """
    nats = -recording.figures.log_probs.astype(np.float64)
    training = errors.training_ids(checkpoint, options.checkpoint)
    memories, its_nats = None, None
    if training is not None:
        memories, its_nats = errors.memories(training, recording.ids, len(checkpoint.vocab), nats)
    best = the_best(found.findings)
    shown = list(dict.fromkeys(wanted + [(each.layer, each.unit) for each in best]))
    columns = list(columns_of(network, recording, shown, found.findings))
    held = len({(each["layer"], each["unit"]) for each in columns})
    title = f"{Path(options.checkpoint).name} reading {Path(options.file).name if options.file != '-' else 'stdin'}"
    data = {
        "title": title,
        "facts": [
            ("checkpoint", about_checkpoint(options, checkpoint)),
            ("network", about_network(network, held)),
            ("text", about_text(options, nats)),
        ],
        "rounded": f"Values are rounded to 1/{FINE} of their range for the units listed first and to 1/{COARSE} for "
        "others.",
        "first": first_shown(wanted, best, recording, network.cell.STATE[0]),
        "count": len(recording.ids),
        "vocab": labels(checkpoint.vocab),
        "parts": {part: ABOUT_PARTS.get(part, "") for part in recording.layers[0]},
        "ngram": ngrams.LONGEST,
        "lists": lists(recording, characters, checkpoint.vocab, nats, its_nats),
        "columns": columns,
        "best": [each.as_dict() for each in best],
        "findings": [each.as_dict() for each in found.findings],
        "properties": [
            {"name": name, "kind": kind, "chance": level, "best": found.best[name], "probe": found.probes[name]}
            for name, (kind, level) in found.chances.items()
        ],
        "tried": about_search(found, rare),
        "gates": list(gates(recording)),
        "errors": {
            "nats": float(nats.sum()),
            "about": about_errors(memories is not None),
            "tables": [
                (caption, [row._asdict() for row in rows(characters, nats)])
                for caption, rows in (
                    ("By class of character", errors.by_class),
                    ("By position in the word", errors.by_place_in_word),
                    ("By position in the line", errors.by_place_in_line),
                )
            ],
            "memories": [each._asdict() for each in memories] if memories else None,
        },
        "rests": rests(network, recording, (frequency_nats(recording.ids) if its_nats is None else its_nats) - nats),
        "other": None if other is None else about_other(options, network, recording, nats, other),
        "ablation": about_ablation(ablation(network, recording, characters)),
        "switched": switched(checkpoint, recording, shown, characters),
    }
    return lambda path: path.write_text(assembled(title, data), encoding="utf-8")


def assembled(title: str, data: dict) -> str:
    """Return the whole file: page.html with its {{...}} replaced."""
    parts = {
        "title": html.escape(title),
        "style": source("page.css"),
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        "scripts": "\n".join(map(source, SCRIPTS)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], source("page.html"))


def source(name: str) -> str:
    """Return the text of a file in this package."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def about_checkpoint(options: LookOptions, checkpoint: Checkpoint) -> str:
    """Return the checkpoint's name, epoch and validation loss."""
    loss = "no validation loss" if math.isnan(checkpoint.val_loss) else (
        f"validation loss {checkpoint.val_loss:.4f} nats per character"
    )  # fmt: skip
    return f"{Path(options.checkpoint).name}, epoch {checkpoint.epoch:.2f}, {loss}"


def about_network(network: CharRNN, held: int) -> str:
    """Return the network's size, and how many of its units are on the page."""
    units, layers = network.num_layers * network.rnn_size, network.num_layers
    here = "all on this page" if held == units else f"{held} of {units} on this page; choose others with -units"
    return f"{network.model}, {layers} {'layer' if layers == 1 else 'layers'} of {network.rnn_size} units ({here})"


def about_text(options: LookOptions, nats: np.ndarray) -> str:
    """Return the name of the text, and the network's loss on it."""
    name = Path(options.file).name if options.file != "-" else "stdin"
    mean = nats.mean()
    return f"{name}, {len(nats) + 1} characters, cross-entropy {mean:.4f} nats ({mean / math.log(2):.4f} bits) each"


def first_shown(wanted: list[tuple[int, int]], best: list[Finding], recording: Recording, part: str) -> str:
    """Return the unit that the page shows first, such as 2:131.c: one in `wanted`, or else the most visible of the
    best. It varies the most from passage to passage, as a share of its strongest color: the standard deviation of its
    mean over SMOOTH characters.
    """
    if wanted:
        layer, unit = wanted[0]
        part = next((each.part for each in best if (each.layer, each.unit) == wanted[0]), part)
        return f"{layer}:{unit}.{part}"

    def visible(each: Finding) -> float:
        values = recording.layers[each.layer - 1][each.part][:, each.unit]
        shares = (values / strong(each.part, values)).clip(-1, 1)
        return float(np.convolve(shares, np.full(SMOOTH, 1 / SMOOTH), "valid").std())

    found = max(best, key=visible, default=None)
    return f"{found.name}.{found.part}" if found else ""


def about_search(found: Search, rare: list[str]) -> str:
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


def about_other(
    options: LookOptions, network: CharRNN, recording: Recording, nats: np.ndarray, other: tuple[CharRNN, Recording]
) -> dict:
    """Return the comparison with another network on the same text."""
    its_network, its_recording = other
    its_nats = -its_recording.figures.log_probs.astype(np.float64)
    part = its_network.cell.STATE[0]
    width = len(its_network.cell.STATE)
    chance = list(batched_states(shuffled(its_network, 0), its_recording.ids.tolist()))[::width]
    found = pairs_of(
        units_by_name(recording, network.cell.STATE[0]), units_by_name(its_recording, part), chance
    )
    name = Path(options.other).name
    about = (
        f"The other network, {name}, has a cross-entropy of {its_nats.mean():.4f} nats per character on this text, "
        f"this one {nats.mean():.4f}. Of the {network.num_layers * network.rnn_size} units here, {found.above} have a "
        f"unit there with an absolute correlation above {found.chance:.2f}, the largest of all pairs when the other's "
        "weights are shuffled. Beside each, the unit here that its counterpart is most correlated with."
    )
    gains = np.rint(1000 * np.concatenate([[0], its_nats - nats])).clip(-32768, 32767).astype(np.int16)
    pairs = [each._asdict() for each in found.pairs]
    return {"name": name, "about": about, "pairs": pairs, "gains": packed(gains)}


def frequency_nats(ids: np.ndarray) -> np.ndarray:
    """Return the loss of each character but the first under the characters' frequencies, `[n - 1]`."""
    return -np.log(np.bincount(ids)[ids[1:]] / len(ids))


def about_ablation(found: Ablation) -> dict:
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


def about_errors(with_ngrams: bool) -> str:
    """Return the explanation of the tables."""
    more = (
        " The n-gram models are fitted to the training split of the training text, with Witten-Bell smoothing. "
        "Characters that only the network predicts correctly need a longer context, or a better model of it."
        if with_ngrams
        else " There is no comparison with n-gram models, since the training text was not found in the checkpoint's "
        "data_dir."
    )
    return f"A prediction counts as correct if the probability of the actual character was above 1/2.{more}"

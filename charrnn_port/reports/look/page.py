"""Write the page: page.html with its style, scripts and data, as one file that makes no network requests."""

import html
import json
import math
import re
from importlib.resources import files
from pathlib import Path

import numpy as np

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.options import LookOptions
from charrnn_port.reports.look import errors, ngrams
from charrnn_port.reports.look.gates import gates
from charrnn_port.reports.look.packing import COARSE, FINE, columns_of, labels, lists
from charrnn_port.reports.look.recording import Recording
from charrnn_port.reports.look.switches import switched
from charrnn_port.reports.look.units import Search, the_best
from charrnn_port.reports.trained_on import training_pieces

SCRIPTS = ("data.js", "text.js", "sections.js", "page.js")
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
    name: str,
    about_training: str,
    checkpoint: Checkpoint,
    network: CharRNN,
    recording: Recording,
    characters: list[str],
    found: Search,
    rare: list[str],
    wanted: list[tuple[int, int]],
) -> bytes:
    """Return the page, the content of its file.

    `name` is the text's, and `about_training` a sentence on how much of it was trained on. `rare` are names of
    properties that are too rare in the text. `wanted` are units to show first, as (layer from 1, unit).
    """
    nats = -recording.figures.log_probs.astype(np.float64)
    begins, training = recording.begins, training_pieces(checkpoint, options.checkpoint)
    memories, its_nats = None, None
    if training is not None:
        memories, its_nats = errors.memories(
            np.concatenate(training), recording.ids, len(checkpoint.vocab), nats, begins
        )
    best = the_best(found.findings)
    shown = list(dict.fromkeys(wanted + [(each.layer, each.unit) for each in best]))
    columns = list(columns_of(network, recording, shown, found.findings))
    held = len({(each["layer"], each["unit"]) for each in columns})
    title = f"{Path(options.checkpoint).name} reading {name}"
    data = {
        "title": title,
        "facts": facts(network, recording, held, about_training),
        "count": len(recording.ids),
        "begins": list(begins),
        "vocab": labels(checkpoint.vocab),
        "parts": {part: ABOUT_PARTS.get(part, "") for part in recording.layers[0]},
        "ngram": ngrams.LONGEST,
        "lists": lists(recording, characters, checkpoint.vocab, nats, its_nats),
        "columns": columns,
        "best": [each.as_dict() for each in best],
        "findings": [each.as_dict() for each in found.findings],
        "properties": [
            {"name": name, "kind": kind, "chance": level, "best": found.best[name]}
            for name, (kind, level) in found.chances.items()
        ],
        "tried": about_search(found, rare),
        "gates": list(gates(recording)),
        "errors": {
            "nats": float(nats.sum()),
            "about": about_errors(memories is not None),
            "tables": [
                (caption, [row._asdict() for row in rows(characters, nats, begins)])
                for caption, rows in (
                    ("By class of character", errors.by_class),
                    ("By position in the word", errors.by_place_in_word),
                    ("By position in the line", errors.by_place_in_line),
                )
            ],
            "memories": [each._asdict() for each in memories] if memories else None,
        },
        "switched": switched(checkpoint, recording, shown, characters),
    }
    return assembled(title, data).encode()


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


def facts(network: CharRNN, recording: Recording, held: int, about_training: str) -> str:
    """Return the introduction: what was trained on, what the colors mean, then the network and the text."""
    nats, count = -recording.figures.log_probs.astype(np.float64), len(recording.begins)
    read = f"{len(recording.ids)} characters" + (f" in {count} pieces, each from an empty state" if count > 1 else "")
    units, layers = network.num_layers * network.rnn_size, network.num_layers
    here = "all on this page" if held == units else f"{held} of {units} on this page; choose others with -units"
    return (
        f"{about_training} "
        "The color of each character shows the value of one unit after the network has read it: orange is above zero, "
        "blue is below. Colored by surprise or entropy instead, orange shows characters that the network predicted "
        "badly, or with uncertainty. "
        f"The network: {network.model}, {layers} {'layer' if layers == 1 else 'layers'} of {network.rnn_size} units "
        f"({here}). The text: {read}, cross-entropy {nats.mean():.4f} nats "
        f"({nats.mean() / math.log(2):.4f} bits) per character. Values are rounded to 1/{FINE} of their range for "
        f"the units listed first and to 1/{COARSE} for others."
    )


def about_search(found: Search, rare: list[str]) -> str:
    """Return the explanation of the scores and of the chance level."""
    missing = f" Too rare in this text to be tested: {', '.join(rare)}." if rare else ""
    if not found.tried:
        return f"No property was tested.{missing}"
    return (
        "Which units predict which properties of the text? A rule is fitted on the first half of the text and scored "
        "on the second half: by AUC for yes or no (0.5 is guessing, 1 is always right), by R² for numbers. "
        f"{found.tried} scores were computed, for {found.units} units, each part of their state, and "
        f"{len(found.chances)} properties. The best of many scores is high by chance, and every unit depends on the "
        "character just read. Chance level: 95th percentile of the best score over all units and properties in "
        f"networks with shuffled weights, extrapolated from {found.networks} of them."
        f"{missing}"
    )


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

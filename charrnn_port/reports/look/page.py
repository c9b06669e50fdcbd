"""From what was found to one file that asks for nothing from elsewhere: page.html with its style and scripts in it."""

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
from charrnn_port.reports.look.packing import COARSE, FINE, columns_of, labels, lists
from charrnn_port.reports.look.recording import Recording
from charrnn_port.reports.look.switches import switched
from charrnn_port.reports.look.units import Search, the_best

SCRIPTS = ("data.js", "text.js", "sections.js", "page.js")
ABOUT_PARTS = {
    "c": "cell state, what it remembers",
    "h": "output, what other units see of it",
    "in": "input gate",
    "forget": "forget gate (1 keeps what it remembers)",
    "out": "output gate",
    "transform": "transform, what would be added",
    "update": "update gate (0 keeps what it remembers)",
    "reset": "reset gate",
    "candidate": "candidate, what it would become",
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
) -> Callable[[Path], object]:
    """What writes the page to a file. `rare` are properties that the text tells too little of, `wanted` are units that
    are shown first, as layer (from 1) and unit.
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
        "facts": facts(network, nats, held),
        "count": len(recording.ids),
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
                (caption, [row._asdict() for row in rows(characters, nats)])
                for caption, rows in (
                    ("By class of character", errors.by_class),
                    ("By place in the word", errors.by_place_in_word),
                    ("By place in the line", errors.by_place_in_line),
                )
            ],
            "memories": [each._asdict() for each in memories] if memories else None,
        },
        "switched": switched(checkpoint, recording, shown, characters),
    }
    return lambda path: path.write_text(assembled(title, data), encoding="utf-8")


def assembled(title: str, data: dict) -> str:
    """The whole file: page.html with what its {{...}} stand for in it."""
    parts = {
        "title": html.escape(title),
        "style": source("page.css"),
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        "scripts": "\n".join(map(source, SCRIPTS)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], source("page.html"))


def source(name: str) -> str:
    """A file beside this one."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def facts(network: CharRNN, nats: np.ndarray, held: int) -> str:
    """A line about the network and the text."""
    units, layers = network.num_layers * network.rnn_size, network.num_layers
    here = "all of them are on this page" if held == units else f"{held} of them are on this page, with -units others"
    return (
        f"{network.model}, {layers} {'layer' if layers == 1 else 'layers'} of {network.rnn_size} units ({here}), "
        f"{len(nats) + 1} characters at {nats.mean():.4f} nats, {nats.mean() / math.log(2):.4f} bits each. Values of "
        f"units are rounded to 1/{FINE} of their range, of those that were not found to tell most to 1/{COARSE}."
    )


def about_search(found: Search, rare: list[str]) -> str:
    """How to read the figures."""
    missing = f" The text tells too little of: {', '.join(rare)}." if rare else ""
    if not found.tried:
        return f"Nothing was looked for.{missing}"
    return (
        f"{found.tried} figures were tried: of {found.units} units, each part of their state, with "
        f"{len(found.chances)} properties of the text. Each rule was made on the first half of the text and is "
        "measured on the second: for yes and no by the AUC (0.5 is guessing, 1 is always right), for numbers by R². "
        "The best of so many would look good by chance alone, and any unit tells something of the character that it "
        f"has just read. So the chance level is what units of {found.networks} networks with the same weights in "
        "another order reach, so high that in one such network of twenty a single figure would pass it."
        f"{missing}"
    )


def about_errors(with_ngrams: bool) -> str:
    """How to read the tables."""
    more = (
        " The n-gram models are fitted to the training part of the training text (Witten-Bell smoothing); what only "
        "the network gets right takes a longer memory, or a better one."
        if with_ngrams
        else " The training text is not there (the checkpoint's data_dir), and so no n-gram models are beside it."
    )
    return f"A character counts as got right where it was given a probability above a half.{more}"

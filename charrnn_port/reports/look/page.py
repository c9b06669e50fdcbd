"""Write the page: page.html with its style, scripts and data, as one file that makes no network requests."""

import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.options import LookOptions
from charrnn_port.reports.look import about, errors, ngrams
from charrnn_port.reports.look.gates import gates
from charrnn_port.reports.look.over_training import Snapshot, page_data, size_of
from charrnn_port.reports.look.packing import BUDGET, COARSE, FINE, columns_of, labels, lists, strong
from charrnn_port.reports.look.pairs import Other, compared
from charrnn_port.reports.look.recording import Recording
from charrnn_port.reports.look.rests import rests
from charrnn_port.reports.look.silence import ablation
from charrnn_port.reports.look.switches import switched
from charrnn_port.reports.look.units import Finding, Search, the_best
from charrnn_port.reports.trained_on import training_pieces

SCRIPTS = (
    "data.js", "over_training.js", "coloring.js", "rests.js", "text.js", "here.js", "map.js", "search.js", "span.js",
    "gates.js", "sections.js", "address.js", "page.js",
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
    name: str,
    about_training: str,
    checkpoint: Checkpoint,
    network: CharRNN,
    recording: Recording,
    characters: list[str],
    found: Search,
    rare: list[str],
    wanted: list[tuple[int, int]],
    other: Other | None = None,
    snapshots: Sequence[Snapshot] = (),
) -> bytes:
    """Return the page, the content of its file.

    `name` is the text's, and `about_training` a sentence on how much of it was trained on. `rare` are names of
    properties that are too rare in the text. `wanted` are units to show first, as (layer from 1, unit). `other` is
    another network, and what it computed on the same text. `snapshots` are checkpoints of the same run.
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
    columns = list(columns_of(network, recording, shown, found.findings, BUDGET - size_of(snapshots)))
    held = len({(each["layer"], each["unit"]) for each in columns})
    title = f"{Path(options.checkpoint).name} reading {name}"
    data = {
        "title": title,
        "facts": [
            ("checkpoint", about.checkpoint(options.checkpoint, checkpoint)),
            ("network", about.network(network, held)),
            ("text", about.text(name, recording)),
            ("training", about_training),
        ],
        "rounded": f"Values are rounded to 1/{FINE} of their range for the units listed first and to 1/{COARSE} for "
        "others.",
        "first": first_shown(wanted, best, recording, network.cell.STATE[0]),
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
            {"name": name, "kind": kind, "chance": level, "best": found.best[name], "probe": found.probes[name]}
            for name, (kind, level) in found.chances.items()
        ],
        "tried": about.search(found, rare),
        "gates": list(gates(recording)),
        "errors": {
            "nats": float(nats.sum()),
            "about": about.losses(memories is not None),
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
        "rests": rests(
            network, recording, recording.spread((frequency_nats(recording) if its_nats is None else its_nats) - nats)
        ),
        "over_training": page_data(snapshots) if snapshots else None,
        "other": other and compared(network, recording, other),
        "ablation": about.silenced(ablation(network, recording, characters)),
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


def frequency_nats(recording: Recording) -> np.ndarray:
    """Return the loss of each predicted character `[m]` under the frequencies of the text's characters."""
    ids = recording.ids
    return -np.log(np.bincount(ids)[ids[recording.predicted]] / len(ids))

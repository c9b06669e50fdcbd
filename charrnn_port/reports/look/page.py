"""From what was found to one file that asks for nothing from elsewhere: page.html with page.css and page.js in it."""

import base64
import html
import json
import math
import zlib
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import LookOptions
from charrnn_port.reports.look import errors, ngrams
from charrnn_port.reports.look.recording import Recording
from charrnn_port.reports.look.units import Finding, Search
from charrnn_port.sampling import Model, Session, choices
from charrnn_port.torch7.random import Generator
from model.char_rnn import CharRNN
from util.vocabulary import Vocabulary

LIKELIEST = 5
ROOM = 3_700_000  # bytes of base64 for the units' values: with all else the page stays below 5 MB
FINE, COARSE = 255, 15  # steps that values are rounded to
RARELY = 0.99  # of the characters have less
OPEN, SHUT = 0.9, 0.1  # gates
IN_BOTH_SIGNS = ("transform", "candidate", "h")  # from -1 to 1; c has no bounds, and all else is a gate from 0 to 1
LOW_AND_HIGH = (0.02, 0.98)  # quantiles of its output at which a unit is held
SAMPLE, PRIME, TEMPERATURE = 300, 60, 0.7  # characters of a sample, and before it
SHOWN = {"\n": "↵", " ": "␣", "\t": "⇥", "\r": "␍"}
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
    found: Search | None,
    best: list[Finding],
    rare: list[str],
    wanted: list[tuple[int, int]],
) -> Callable[[Path], object]:
    """What writes the page to a file. `rare` are properties that the text tells too little of, `wanted` are units that
    are shown in any case, as layer (from 1) and unit.
    """
    figures = recording.figures
    nats = -figures.log_probs.astype(np.float64)
    training = errors.training_ids(checkpoint, options.checkpoint)
    memories, its_nats = None, None
    if training is not None:
        memories, its_nats = errors.memories(training, recording.ids, len(checkpoint.vocab), nats)
    shown = list(dict.fromkeys([(each.layer, each.unit) for each in best] + wanted))
    columns = list(columns_of(network, recording, shown, found.findings if found else []))
    units = len(recording.layers) * network.rnn_size
    count = len(recording.ids)
    name = f"{Path(options.checkpoint).name} reading {Path(options.file).name if options.file != '-' else 'stdin'}"
    held = {(each["layer"], each["unit"]) for each in columns}
    data = {
        "title": name,
        "facts": facts(checkpoint, network, count, nats, len(held)),
        "count": count,
        "vocab": labels(checkpoint.vocab),
        "likeliest_count": min(LIKELIEST, len(checkpoint.vocab)),
        "parts": {part: ABOUT_PARTS[part] for part in recording.layers[0]},
        "ngram": ngrams.LONGEST,
        "lists": lists(recording, characters, checkpoint.vocab, nats, its_nats),
        "columns": columns,
        "best": [as_object(each) for each in best],
        "findings": [as_object(each) for each in found.findings] if found else [],
        "properties": [
            {"name": each, "kind": kind, "chance": level, "best": found.best[each]}
            for each, (kind, level) in found.chances.items()
        ]
        if found
        else [],
        "tried": about_search(found, rare, units),
        "gates": list(gates(recording)),
        "errors": {
            "nats": float(nats.sum()),
            "about": about_errors(memories is not None),
            "tables": [
                ("By class of character", errors.by_class(characters, nats)),
                ("By place in the word", errors.by_place_in_word(characters, nats)),
                ("By place in the line", errors.by_place_in_line(characters, nats)),
            ],
            "memories": [each._asdict() for each in memories] if memories else None,
        },
        **switched(checkpoint, recording, shown[: len(best)], characters),
    }
    data["errors"]["tables"] = [(title, [each._asdict() for each in rows]) for title, rows in data["errors"]["tables"]]
    return lambda path: path.write_text(assembled(name, data), encoding="utf-8")


def assembled(title: str, data: dict) -> str:
    """The whole file."""
    folder = files("charrnn_port.reports.look")
    page, style, script = ((folder / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    told = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {"title": html.escape(title), "css": style, "data": told, "js": script}
    pieces = page.split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:]))


def packed(values: np.ndarray | bytes) -> str:
    """Little-endian bytes as deflate in base64."""
    content = values if isinstance(values, bytes) else values.astype(values.dtype.newbyteorder("<")).tobytes()
    deflate = zlib.compressobj(9, wbits=-15)
    return base64.b64encode(deflate.compress(content) + deflate.flush()).decode()


def lists(
    recording: Recording, characters: list[str], vocab: Vocabulary, nats: np.ndarray, its_nats: np.ndarray | None
) -> dict[str, str | None]:
    """What is known of each character, in thousandths of a nat where it is nats; of the first there is nothing."""
    figures = recording.figures
    count = min(LIKELIEST, len(vocab))
    likeliest = figures.likeliest(count)
    chances = np.exp(np.take_along_axis(figures.predictions, likeliest, 1).astype(np.float64))

    def thousandths(values: np.ndarray) -> np.ndarray:
        return np.rint(1000 * np.concatenate([[0], values])).clip(0, 65535).astype(np.uint16)

    gains = None if its_nats is None else np.rint(1000 * np.concatenate([[0], its_nats - nats])).clip(-32768, 32767)
    return {
        "ids": packed(recording.ids.astype(np.uint32)),
        "nats": packed(thousandths(nats)),
        "entropies": packed(thousandths(figures.entropies)),
        "gains": None if gains is None else packed(gains.astype(np.int16)),
        "likeliest": packed(np.concatenate([np.zeros((1, count)), likeliest]).astype(np.uint32)),
        "chances": packed(np.rint(65535 * np.concatenate([np.zeros((1, count)), chances])).astype(np.uint16)),
        "pieces": packed(json.dumps(pieces(characters, vocab)).encode()),
    }


def pieces(characters: list[str], vocab: Vocabulary) -> list[str]:
    """What is shown for each unit of the text: of a character of several bytes it is at the last one."""
    shown = [character if character in "\n\t" or character.isprintable() else "\ufffd" for character in characters]
    if isinstance(vocab.symbols, str):
        return shown
    place = 0
    while place < len(shown):
        size = len(characters[place].encode(errors="surrogateescape"))
        for first in range(place, min(place + size, len(shown)) - 1):
            shown[first] = ""
        place += size
    return shown


def labels(vocab: Vocabulary) -> list[str]:
    """A name for each id."""
    symbols = vocab.symbols if isinstance(vocab.symbols, str) else map(byte_name, vocab.symbols)
    found = [SHOWN.get(each) or (each if each.isprintable() else f"U+{ord(each):04X}") for each in symbols]
    return [*found, "unknown"][: len(vocab)]


def byte_name(byte: int) -> str:
    """ASCII as it is, other bytes as escapes, which are several characters."""
    return chr(byte) if byte < 128 else f"\\x{byte:02x}"


def columns_of(
    network: CharRNN, recording: Recording, shown: list[tuple[int, int]], findings: list[Finding]
) -> Iterator[dict]:
    """Values of units: all parts of `shown` in 8 bits, then in 4, as long as there is room, the state of others, first of
    those that tell something. From `strong` on, which is rarely passed, the colour is full.
    """
    names, part = list(recording.layers[0]), network.cell.STATE[0]
    order = [(layer, unit, name) for layer, unit in shown for name in sorted(names, key=lambda name: name != part)]
    order += [(each.layer, each.unit, part) for each in findings]
    rest = [(layer + 1, unit, part) for layer in range(len(recording.layers)) for unit in range(network.rnn_size)]
    order += [rest[place] for place in np.random.RandomState(0).permutation(len(rest))]
    order += [(each.layer, each.unit, each.part) for each in findings]
    used = 0
    for layer, unit, name in dict.fromkeys(order):
        values = recording.layers[layer - 1][name][:, unit]
        low, high = bounds(name, values)
        steps = FINE if (layer, unit) in shown else COARSE
        content = packed(np.rint(steps * ((values - low) / (high - low)).clip(0, 1)).astype(np.uint8))
        used += len(content)
        if used > ROOM:
            return
        strong = float(np.quantile(np.abs(values), RARELY)) or 1.0 if name == "c" else 1.0
        yield {
            "layer": layer, "unit": unit, "part": name, "low": low, "high": high, "strong": strong, "steps": steps,
            "packed": content,
        }  # fmt: skip


def bounds(name: str, values: np.ndarray) -> tuple[float, float]:
    """Between which a part of the state, or a gate, lies; where it has both signs, symmetric."""
    if name == "c":
        largest = max(float(np.abs(values).max()), 1e-6)
        return -largest, largest
    return (-1.0, 1.0) if name in IN_BOTH_SIGNS else (0.0, 1.0)


def gates(recording: Recording) -> Iterator[dict]:
    """Of each layer and gate how much of the time each unit's is open, and shut."""
    for number, layer in enumerate(recording.layers, start=1):
        for name, values in layer.items():
            if name != "c" and name not in IN_BOTH_SIGNS:
                open_, shut = (values > OPEN).mean(0), (values < SHUT).mean(0)
                yield {"layer": number, "gate": name, "open": rounded(open_), "shut": rounded(shut)}


def rounded(values: np.ndarray) -> list[float]:
    """To what a picture shows."""
    return [round(float(value), 4) for value in values]


def switched(
    checkpoint: Checkpoint, recording: Recording, shown: list[tuple[int, int]], characters: list[str]
) -> dict:
    """Samples with one unit held low, left free and held high, all drawn with the same random numbers."""
    model = Model.of(checkpoint)
    # Up to a whole line, so that a sample begins where the text does.
    prime_ids = recording.ids[:PRIME].tolist()
    newline = max((place for place, each in enumerate(characters[:PRIME]) if each == "\n"), default=len(prime_ids) - 1)
    prime_ids = prime_ids[: newline + 1]

    def sample(clamps: dict[tuple[int, int], float]) -> str:
        choose = choices.drawn(Generator(123), TEMPERATURE)
        ids = list(Session(model.clamped(clamps)).sample(SAMPLE, choose, prime_ids))[len(prime_ids) :]
        return checkpoint.vocab.decode(ids).decode(errors="replace")

    free = sample({}) if shown else ""
    found = []
    for layer, unit in shown:
        low, high = (float(value) for value in np.quantile(recording.layers[layer - 1]["h"][:, unit], LOW_AND_HIGH))
        low, high = round(low, 2), round(high, 2)
        titles = [f'-clamp "{layer}:{unit}={value:g}"' for value in (low, high)]
        texts = [sample({(layer, unit): value}) for value in (low, high)]
        samples = [(titles[0], texts[0]), ("left free", free), (titles[1], texts[1])]
        found.append({"name": f"{layer}:{unit}", "samples": samples})
    about = (
        f"What the network writes after the first {len(prime_ids)} characters of the text (in grey) while one unit's "
        "output is held at a value: at one that is low for it, and at one that is high. All with the same random "
        f"numbers, at temperature {TEMPERATURE}. sample.py does it with -clamp, for any units and values."
    )
    prime = checkpoint.vocab.decode(prime_ids).decode(errors="replace")
    return {"switched": found, "switch_about": about, "prime": prime}


def as_object(finding: Finding) -> dict:
    """For the page."""
    return finding._asdict() | {"name": finding.name}


def facts(checkpoint: Checkpoint, network: CharRNN, count: int, nats: np.ndarray, held: int) -> str:
    """A line about the network and the text."""
    units = network.num_layers * network.rnn_size
    here = "all of them are on this page" if held == units else f"{held} of them are on this page"
    return (
        f"{network.model}, {network.num_layers} layers of {network.rnn_size} units ({here}), {count} characters at "
        f"{nats.mean():.4f} nats, {nats.mean() / math.log(2):.4f} bits each. Values of units are rounded to "
        f"1/{FINE} of their range, of those that were not found to tell most to 1/{COARSE}."
    )


def about_search(found: Search | None, rare: list[str], units: int) -> str:
    """How to read the figures."""
    missing = f" The text tells too little of: {', '.join(rare)}." if rare else ""
    if found is None:
        return f"Nothing was looked for.{missing}"
    return (
        f"{found.tried} figures were tried: of {units} units, each part of their state, with {len(found.chances)} "
        "properties of the text. Each rule was made on the first half of the text and is measured on the second: for "
        "yes and no by the AUC (0.5 is guessing, 1 is always right), for numbers by R². The best of so many would look "
        "good by chance alone, and any unit tells something of the character that it has just read. So the chance level is "
        f"what units of {found.networks} networks with the same weights in another order reach, so high that in one such "
        f"network of twenty a single figure would pass it.{missing}"
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

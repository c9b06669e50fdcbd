"""What the page knows of each character and of each unit, as compressed bytes."""

import base64
import json
import zlib
from collections.abc import Iterator

import numpy as np

from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.reports.look.gates import IN_BOTH_SIGNS
from charrnn_port.reports.look.recording import Recording
from charrnn_port.reports.look.units import Finding
from charrnn_port.util.vocabulary import Vocabulary

LIKELIEST = 5
ROOM = 3_700_000  # bytes of base64 for the units' values: with all else the page stays below 5 MB
FINE, COARSE = 255, 15  # steps that values are rounded to
RARELY = 0.99  # of the characters have less
SHOWN = {"\n": "↵", " ": "␣", "\t": "⇥", "\r": "␍"}


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
    likeliest = figures.most_likely(count)
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
    shown = [each if each in "\n\t" or each.isprintable() else SHOWN.get(each, "\ufffd") for each in characters]
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
    """Values of units as long as there is room: all parts of `shown`, in 8 bits, then in 4 bits the state of units that
    tell something, of all others, and each other part.
    """
    first = network.cell.STATE[0]
    names = sorted(recording.layers[0], key=lambda name: name != first)
    units = [(layer + 1, unit) for layer in range(len(recording.layers)) for unit in range(network.rnn_size)]
    mixed = [units[place] for place in np.random.RandomState(0).permutation(len(units))]
    order = [(layer, unit, name) for layer, unit in shown for name in names]
    order += [(each.layer, each.unit, first) for each in findings]
    order += [(layer, unit, first) for layer, unit in mixed]
    order += [(each.layer, each.unit, each.part) for each in findings]
    order += [(layer, unit, name) for name in names for layer, unit in mixed]
    used = 0
    for layer, unit, name in dict.fromkeys(order):
        values = recording.layers[layer - 1][name][:, unit]
        low, high = bounds(name, values)
        steps = FINE if (layer, unit) in shown else COARSE
        content = packed(np.rint(steps * ((values - low) / (high - low)).clip(0, 1)).astype(np.uint8))
        used += len(content)
        if used > ROOM:
            return
        yield {
            "layer": layer, "unit": unit, "part": name, "low": low, "high": high, "strong": strong(name, values),
            "steps": steps, "packed": content,
        }  # fmt: skip


def strong(name: str, values: np.ndarray) -> float:
    """From where on the colour is full: for what has no bounds where it is rarely passed."""
    return float(np.quantile(np.abs(values), RARELY)) or 1.0 if name == "c" else 1.0


def bounds(name: str, values: np.ndarray) -> tuple[float, float]:
    """Between which a part of the state, or a gate, lies; where it has both signs, symmetric."""
    if name == "c":
        largest = max(float(np.abs(values).max()), 1e-6)
        return -largest, largest
    return (-1.0, 1.0) if name in IN_BOTH_SIGNS else (0.0, 1.0)

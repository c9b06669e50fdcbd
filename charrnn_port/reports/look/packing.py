"""Pack the page's data for each character and each unit as compressed bytes."""

import base64
import json
import zlib
from collections.abc import Iterator

import numpy as np

from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.reports.look.gates import IN_BOTH_SIGNS
from charrnn_port.reports.look.properties import passages
from charrnn_port.reports.look.recording import Recording
from charrnn_port.reports.look.units import Finding
from charrnn_port.util.vocabulary import Vocabulary

MOST_LIKELY = 5  # predictions that are shown for each character
BUDGET = 3_700_000  # bytes of base64 for the units' values, which keeps the whole page below 5 MB
FINE, COARSE = 255, 15  # steps that values are rounded to
RARELY = 0.99  # quantile of absolute values at which the color is full
SHOWN = {"\n": "↵", " ": "␣", "\t": "⇥", "\r": "␍"}


def packed(values: np.ndarray | bytes) -> str:
    """Return little-endian bytes, compressed with raw deflate, in base64."""
    content = values if isinstance(values, bytes) else values.astype(values.dtype.newbyteorder("<")).tobytes()
    deflate = zlib.compressobj(wbits=-15)
    return base64.b64encode(deflate.compress(content) + deflate.flush()).decode()


def lists(
    recording: Recording, characters: list[str], vocab: Vocabulary, nats: np.ndarray, its_nats: np.ndarray | None
) -> dict[str, str | None]:
    """Return lists with an entry for each character; losses are in thousandths of a nat.

    Characters without a prediction have zeros. `nats` and `its_nats` `[m]` are those of the others.
    """
    figures = recording.figures
    count = min(MOST_LIKELY, len(vocab))
    most_likely = figures.most_likely(count)
    chances = np.exp(np.take_along_axis(figures.predictions, most_likely, 1).astype(np.float64))

    gains = None if its_nats is None else np.rint(1000 * recording.spread(its_nats - nats)).clip(-32768, 32767)
    shown = [each for piece in passages(characters, recording.begins) for each in pieces(piece, vocab)]
    return {
        "ids": packed(recording.ids.astype(np.uint32)),
        "nats": packed_losses(recording, nats),
        "entropies": packed_losses(recording, figures.entropies),
        "gains": None if gains is None else packed(gains.astype(np.int16)),
        "most_likely": packed(recording.spread(most_likely).astype(np.uint32)),
        "chances": packed(np.rint(65535 * recording.spread(chances)).astype(np.uint16)),
        "pieces": packed(json.dumps(shown).encode()),
    }


def packed_losses(recording: Recording, nats: np.ndarray) -> str:
    """Return the losses of the predicted characters `[m]` as packed thousandths of a nat, 16 bits each."""
    return packed(np.rint(1000 * recording.spread(nats)).clip(0, 65535).astype(np.uint16))


def pieces(characters: list[str], vocab: Vocabulary) -> list[str]:
    """Return the text to show for each character or byte; a character of several bytes is shown at its last byte."""
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
    """Return a name for each id."""
    symbols = vocab.symbols if isinstance(vocab.symbols, str) else map(byte_name, vocab.symbols)
    found = [SHOWN.get(each) or (each if each.isprintable() else f"U+{ord(each):04X}") for each in symbols]
    return [*found, "unknown"][: len(vocab)]


def byte_name(byte: int) -> str:
    """Return an ASCII byte as a character, other bytes as an escape such as \\xc3."""
    return chr(byte) if byte < 128 else f"\\x{byte:02x}"


def columns_of(
    network: CharRNN, recording: Recording, shown: list[tuple[int, int]], findings: list[Finding], budget: int = BUDGET
) -> Iterator[dict]:
    """Yield the values of units until `budget` is used up.

    First come all parts of the units in `shown`, in 8 bits. Then come, in 4 bits, the state of units with a finding,
    the state of all others, and the remaining parts.
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
        column = column_of(name, values, FINE if (layer, unit) in shown else COARSE)
        used += len(column["packed"])
        if used > budget:
            return
        yield {"layer": layer, "unit": unit, "part": name, "strong": strong(name, values)} | column


def column_of(name: str, values: np.ndarray, steps: int) -> dict:
    """Return the values of a unit's part, rounded to so many steps of their range."""
    low, high = bounds(name, values)
    rounded = np.rint(steps * ((values - low) / (high - low)).clip(0, 1)).astype(np.uint8)
    return {"low": low, "high": high, "steps": steps, "packed": packed(rounded)}


def strong(name: str, values: np.ndarray) -> float:
    """Return the value at which the color is full: 1, or for the unbounded c a high quantile."""
    return float(np.quantile(np.abs(values), RARELY)) or 1.0 if name == "c" else 1.0


def bounds(name: str, values: np.ndarray) -> tuple[float, float]:
    """Return the range of a part of the state or of a gate, which is symmetric if it has both signs."""
    if name == "c":
        largest = max(float(np.abs(values).max()), 1e-6)
        return -largest, largest
    return (-1.0, 1.0) if name in IN_BOTH_SIGNS else (0.0, 1.0)

"""What predictions rest on, for the characters of a few passages: where the network predicts far better than chance."""

from collections.abc import Iterator

import numpy as np

from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.reports.look.packing import packed
from charrnn_port.reports.look.recording import Recording
from charrnn_port.sampling import connectivity

REACH = 100  # characters before each
LENGTH, PASSAGES = 64, 8  # characters of a passage, and the number of passages, beside the first


def rests(network: CharRNN, recording: Recording, gains: np.ndarray) -> dict:
    """Return the passages with the largest gains `[n]`, and for each of their characters gradient × input as a
    share of the largest, in 127 steps.
    """
    begins = list(passages(gains[1:]))
    states = [layer[name] for layer in recording.layers for name in network.cell.STATE]
    rows = []
    for begin in begins:
        places = range(begin, min(begin + LENGTH, len(recording.ids)))
        found = connectivity(network, recording.ids, states, places, REACH, recording.begins)
        largest = np.abs(found).max(1, keepdims=True)
        rows.append(np.rint(127 * found / np.maximum(largest, 1e-12)).astype(np.int8))
    return {"begins": begins, "length": LENGTH, "reach": REACH, "packed": packed(np.concatenate(rows))}


def passages(gains: np.ndarray) -> Iterator[int]:
    """Yield the first characters of passages: the first, and those with the largest gain, in the order of the text."""
    count = len(gains) // LENGTH
    means = gains[: count * LENGTH].reshape(count, LENGTH).mean(1)
    best = sorted((np.argsort(-means[1:], kind="stable")[:PASSAGES] + 1).tolist()) if count else []
    yield from [1, *(1 + LENGTH * place for place in best)]

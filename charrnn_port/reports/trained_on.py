"""Find how much of a text a network was trained on, if its training text is still in the run's data_dir."""

import numpy as np

from charrnn_port import datasets
from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import TrainOptions
from charrnn_port.util.errors import UserError

WINDOW = 64  # characters that are compared at once: a power of two
FACTOR = 0x9E3779B97F4A7C15  # of a polynomial hash modulo 2**64


class TrainedOn:
    """Collects passages of a text, and counts those that are in the training split of a network."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        """`name` is the name of the checkpoint."""
        self._checkpoint, self._name = checkpoint, name
        self._passages = [np.empty(0, np.uint64)]

    def add(self, ids: list[int]) -> None:
        """Add consecutive characters of the text."""
        self._passages.append(passages(np.array(ids))[::WINDOW].copy())  # a view would keep the whole array

    def share(self) -> float | None:
        """Return the share of the text's passages that were trained on; None if that is unknown."""
        asked = np.concatenate(self._passages)
        pieces = training_pieces(self._checkpoint, self._name)
        if pieces is None or not len(asked):
            return None
        found = np.zeros(len(asked), bool)
        for piece in pieces:
            found |= np.isin(asked, passages(piece))
        return float(found.mean())

    def sentence(self) -> str:
        """Return the share in words."""
        share = self.share()
        if share is None:
            return "How much of this text was trained on is unknown: it is short, or the training text was not found."
        shown = "None" if share == 0 else "Less than 1 %" if share < 0.01 else f"{100 * share:.0f} %"
        return f"{shown} of this text was trained on."


def passages(ids: np.ndarray) -> np.ndarray:
    """Return a hash of each WINDOW consecutive ids, `[n - WINDOW + 1]` uint64."""
    found, width, factor = ids.astype(np.uint64) + np.uint64(1), 1, FACTOR
    while width < WINDOW:  # two neighbors make a window of twice the width
        found = found[:-width] * np.uint64(factor) + found[width:]
        width, factor = 2 * width, factor**2 % 2**64
    return found


def training_pieces(checkpoint: Checkpoint, name: str) -> list[np.ndarray] | None:
    """Return the ids of the training split, a piece for each row, or None if the run's text is missing or differs."""
    if not (checkpoint.progress and checkpoint.progress.get("text")):
        return None
    try:
        run = TrainOptions.from_checkpoint(checkpoint.opt, name)
        loader = datasets.load(run, run.data_dir, writes=False, vocab=checkpoint.vocab)
    except UserError:
        return None
    if loader.digest != checkpoint.progress["text"] or loader.vocab != checkpoint.vocab:
        return None
    return [np.asarray(loader.ids[piece.start : piece.stop]) for piece in loader.pieces["train"]]

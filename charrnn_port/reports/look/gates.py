"""Measure the saturation of gates, as in figure 3 of Karpathy, Johnson, Li 2015 (arXiv:1506.02078)."""

from collections.abc import Iterator

import numpy as np

from charrnn_port.reports.look.recording import Recording

OPEN, SHUT = 0.9, 0.1
IN_BOTH_SIGNS = ("transform", "candidate", "h")  # from -1 to 1; c is unbounded, and all others are gates from 0 to 1


def gates(recording: Recording) -> Iterator[dict]:
    """Yield for each layer and gate the share of the characters at which each unit's gate is open, and shut."""
    for number, layer in enumerate(recording.layers, start=1):
        for name, values in layer.items():
            if name != "c" and name not in IN_BOTH_SIGNS:
                is_open, is_shut = (values > OPEN).mean(0), (values < SHUT).mean(0)
                yield {"layer": number, "gate": name, "open": rounded(is_open), "shut": rounded(is_shut)}


def rounded(values: np.ndarray) -> list[float]:
    """Round to four decimals, which is enough for a plot."""
    return [round(float(value), 4) for value in values]

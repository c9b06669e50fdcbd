"""Measure how well a linear probe of the whole state predicts each property: least squares with a penalty (ridge)."""

from collections.abc import Sequence

import numpy as np

from charrnn_port.reports.look.properties import Property

PENALTY = 0.1  # of squared weights, for inputs of variance 1
LIMIT = 1 - 1e-6  # correlations are clipped to it before atanh


def probed(states: Sequence[np.ndarray], text: list[Property]) -> np.ndarray:
    """Return the score of each property on Fisher's z scale `[F]`, from all parts of the state, `[n, rnn_size]` each.

    The probe is fitted on the first half of the text, and scored on the second by AUC or R².
    """
    inputs = np.concatenate(states, 1)
    middle = len(inputs) // 2
    center, scale = inputs[:middle].mean(0), inputs[:middle].std(0)
    inputs = (inputs - center) / np.where(scale > 1e-6, scale, 1)
    first, second = inputs[:middle], inputs[middle:]
    taught = np.stack([each.values[:middle].astype(np.float64) for each in text], 1)
    mean = taught.mean(0)
    gram = (first.T @ first / middle).astype(np.float64)
    gram[np.diag_indices_from(gram)] += PENALTY
    weights = np.linalg.solve(gram, first.T.astype(np.float64) @ (taught - mean) / middle)
    predicted = mean + second @ weights
    return np.array([score(each, guess, each.values[middle:]) for each, guess in zip(text, predicted.T, strict=True)])


def score(each: Property, predicted: np.ndarray, actual: np.ndarray) -> float:
    """Return the AUC or R² of a prediction as Fisher's z; 0 if it is no better than guessing."""
    if each.yes_or_no:
        order = np.argsort(predicted, kind="stable")
        ranks = np.empty(len(order))
        ranks[order] = np.arange(1, len(order) + 1)
        yes = np.count_nonzero(actual)
        above = ranks[actual].sum() - yes * (yes + 1) / 2
        correlation = 2 * above / (yes * (len(actual) - yes)) - 1
    else:
        correlation = np.sqrt(max(0.0, 1 - np.square(actual - predicted).mean() / actual.var()))
    return float(np.arctanh(np.clip(correlation, 0, LIMIT)))

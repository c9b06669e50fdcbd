"""Tests of the comparison of two networks."""

import numpy as np
import pytest

from charrnn_port.reports.look.pairs import pairs_of
from charrnn_port.reports.look.recording import Recording


def recording(*layers: np.ndarray) -> Recording:
    return Recording(np.zeros(len(layers[0]), int), np.zeros((len(layers[0]), 2)), [{"h": layer} for layer in layers])


def test_units_that_correspond():
    """The best match of each unit by absolute correlation, as NumPy has it, and that one's best in return."""
    random = np.random.RandomState(5)
    first, second, noise = (random.standard_normal((3000, 4)) for _ in range(3))
    theirs = np.stack([-second[:, 1], first[:, 2] + 0.5 * noise[:, 0], noise[:, 1]], 1)
    found = pairs_of(recording(first, second), recording(theirs), "h", "h")
    assert [each[:2] for each in found.pairs[:2]] == [("2:1", "1:0"), ("1:2", "1:1")]
    assert found.pairs[0].correlation == pytest.approx(-1)
    assert found.pairs[1].correlation == pytest.approx(np.corrcoef(first[:, 2], theirs[:, 1])[0, 1])
    assert [each.back for each in found.pairs[:2]] == ["2:1", "1:2"]
    assert found.chance < 0.1


def test_units_that_never_change_have_no_pair():
    found = pairs_of(recording(np.ones((50, 2))), recording(np.ones((50, 2))), "h", "h")
    assert found.pairs == []

"""Tests of the comparison of two networks."""

import numpy as np
import pytest

from charrnn_port.reports.look.pairs import pairs_of

RANDOM = np.random.RandomState(5)


def test_units_that_correspond():
    """The best match of each unit by absolute correlation, as NumPy has it, and that one's best in return; only those
    above the largest correlation with a network with shuffled weights.
    """
    mine = {f"1:{unit}": RANDOM.standard_normal(3000) for unit in range(4)}
    noise = RANDOM.standard_normal((3000, 3))
    theirs = {"1:0": -mine["1:3"], "1:1": mine["1:2"] + 0.5 * noise[:, 0], "2:0": noise[:, 1]}
    found = pairs_of(mine, theirs, [noise])
    names = [(each.name, each.other, each.back) for each in found.pairs]
    assert names == [("1:3", "1:0", "1:3"), ("1:2", "1:1", "1:2")]
    assert found.pairs[0].correlation == pytest.approx(-1)
    assert found.pairs[1].correlation == pytest.approx(np.corrcoef(mine["1:2"], theirs["1:1"])[0, 1])
    assert found.above == 2
    assert found.chance == pytest.approx(max(abs(np.corrcoef(each, column)[0, 1])
                                             for each in mine.values() for column in noise.T))  # fmt: skip


def test_units_that_never_change_have_no_pair():
    constant = {"1:0": np.ones(50), "1:1": np.zeros(50)}
    assert pairs_of(constant, constant, [RANDOM.standard_normal((50, 2))]).pairs == []

"""Tests that numbers are rounded as in LuaJIT: ties away from zero."""

import math

import pytest

from charrnn_port.torch7.strfmt import lua_format


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (0.0625, ".3f", "0.063"),  # Python: 0.062
        (0.125, ".2f", "0.13"),  # Python: 0.12
        (0.1251, ".2f", "0.13"),
        (2.675, ".2f", "2.67"),  # not a tie: as a double it is slightly less
        (4.198037239, ".8f", "4.19803724"),
        (0.51721, ".4e", "5.1721e-01"),
        (1.03125, ".4e", "1.0313e+00"),  # Python: 1.0312e+00
        (-0.0625, ".3f", "-0.063"),
        (-1.03125, ".4e", "-1.0313e+00"),
        (9.99609375, ".2e", "1.00e+01"),  # one digit more before the point
        (2.0**-20, ".4e", "9.5367e-07"),
        (0.0, ".4e", "0.0000e+00"),
        (1e300, ".1f", format(1e300, ".1f")),
        (float("nan"), ".8f", "nan"),
        (float("inf"), ".4f", "inf"),
    ],
)
def test_halves_go_away_from_zero(value, spec, text):
    assert lua_format(value, spec) == text


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (math.nan, "6.8f", "   nan"), (-math.nan, "6.4e", "   nan"), (math.inf, "6.8f", "   inf"),
        (-math.inf, "6.4e", "  -inf"), (math.nan, ".4f", "nan"), (1.5, "6.8f", "1.50000000"),
    ],
)  # fmt: skip
def test_no_numbers_and_widths(value, spec, text):
    """NaN has no sign; the width is padded on the left."""
    assert lua_format(value, spec) == text

"""Formats numbers as LuaJIT does (lj_strfmt_num.c), on which Torch7 ran."""

import decimal
import math

# Enough digits for the exact value of every double, which has at most 767. ROUND_HALF_UP rounds away from zero.
EXACT = decimal.Context(prec=2000, rounding=decimal.ROUND_HALF_UP)


def lua_format(value: float, spec: str) -> str:
    """Return `string.format("%" .. spec, value)` for specs such as `.3f` and `6.4e`.

    Rounds ties away from zero (0.0625 with `.3f` is 0.063), where C and Python round to even.
    """
    width, decimals = spec[:-1].split(".")
    if not math.isfinite(value):  # Lua has one NaN, without a sign
        return ("nan" if math.isnan(value) else format(value, "f")).rjust(int(width or 0))
    decimals, kind = int(decimals), spec[-1]
    exponent = -decimals  # of the last digit to keep, as a power of ten
    if kind == "e" and value:
        exponent += decimal.Decimal(value).adjusted()
    # Python's format then has nothing left to round.
    rounded = EXACT.quantize(decimal.Decimal(value), decimal.Decimal((0, (1,), exponent)))
    return format(float(rounded), spec)

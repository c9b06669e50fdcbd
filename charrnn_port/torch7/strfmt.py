"""LuaJIT's way with numbers in text (lj_strfmt_num.c), which Torch7 ran on."""

import decimal
import math

# Wide enough for every double written out in full.
EXACT = decimal.Context(prec=2000, rounding=decimal.ROUND_HALF_UP)


def lua_format(value: float, spec: str) -> str:
    """`string.format("%" .. spec, value)` for specs such as `.3f` and `.4e`.

    A value right between two neighbours goes away from zero (0.0625 with `.3f` is 0.063); C and Python go to
    the even one.
    """
    if not math.isfinite(value):
        return format(value, spec)
    digits, kind = int(spec[1:-1]), spec[-1]
    place = -digits
    if kind == "e" and value:
        place += decimal.Decimal(value).adjusted()
    rounded = EXACT.quantize(decimal.Decimal(value), decimal.Decimal((0, (1,), place)))
    return format(float(rounded), spec)

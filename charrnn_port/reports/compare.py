"""`charrnn compare`: decide whether two runs are identical, differ by rounding, or differ by an error.

A rounding difference begins in the last digit of a number. Training amplifies it: slowly at first, in bursts later. An
error begins with a difference that is larger than rounding can have become by that iteration. The growth was measured
on runs that differ by rounding alone; docs/reproducing.md has the figures.

Compiled cells round identically on every machine. If both runs are known to use them, every bit must be the same.
"""

import json
import sys
from dataclasses import dataclass
from typing import NamedTuple

import click
import numpy as np

from charrnn_port.command_line import log_line
from charrnn_port.options import CompareOptions, TrainOptions, described
from charrnn_port.reports.history import History, read_history
from charrnn_port.reports.printing import jsonable, print_safely
from charrnn_port.torch7.strfmt import lua_format
from charrnn_port.util.errors import UserError

JUDGED = {"train_loss": "loss", "grad_param_norm": "norm"}
UP_TO = (10, 100, 1000)  # iterations
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24}  # half a unit in the last place of 1
FRESH = 180  # units by which rounding may change a loss before any growth; measured: 3
SINGLE = 16 * UNITS["float32"]  # a smaller difference in the first loss means single precision; measured: 2 units
# A norm is a sum over all parameters, so that rounding may change it by NORM times as much as a loss; measured: 3,000
# units, in single precision at 512x2. Within a run the limit is ten times the difference in the first line.
NORM = 300
# In k iterations a difference grows by a factor of at most spurt * factor**k, for each pair (spurt, factor) here.
# Measured: 22 in one iteration, 2,700 in twelve, around line 60 of the default run, where the growth is largest.
GROWTH = ((1.0, 30.0), (1000.0, 1.5))
# After CALM lines the norm may differ LEAP times as much, since it jumps where gradients have just exploded.
# Measured: 550 in one iteration, at line 56 of a run with a learning rate of 0.02.
CALM, LEAP = 20, 100.0
AMBIGUOUS = 0.1  # nats: if rounding can have become this large, the lines cannot distinguish an error from it
SEVERAL = 3  # lines with a different last digit are not a coincidence
SAME_RATE = 1e-6  # relative: storing a learning rate in single precision changes it by 6e-8


@dataclass
class Pairs:
    """Numbers of one kind of both runs, rounded to the digits of the run that prints fewer."""

    values: np.ndarray  # float64 [2, n]
    differences: np.ndarray  # [n], infinite where only one is NaN
    unit: np.ndarray  # [n]: one in the last printed digit, the largest difference that rounding in print can hide
    size: np.ndarray  # [n]: the larger absolute value; 0 where one is unknown
    form: str  # the format they are printed in, "" for all digits


class Misfit(NamedTuple):
    """A difference that rounding does not explain."""

    line: int  # where the difference begins
    why: str


@dataclass
class Comparison:
    """The comparison of two runs."""

    iterations: np.ndarray  # int64 [n]: iterations that have a line in both runs
    lines: dict[str, Pairs]  # by the names in JUDGED
    rates: Pairs  # learning rates
    evaluated: list[int]  # iterations with a validation loss in both runs
    val_losses: Pairs
    parameters: dict[int, bool]  # by iteration, where both are known: whether they are the same
    first: int | None = None  # the first line whose digits differ
    precision: str = "float64"  # the lower precision of the two runs, which sets the size of rounding
    verdict: str = "identical"  # or "rounding", "different"
    line: int | None = None  # the first line with that verdict
    why: str = "every digit is the same"


def compare(options: CompareOptions) -> None:
    """Print the comparison, with the verdict in the last line, or a JSON object with -json.

    Exits with status 1 if the runs differ by more than rounding. Raises UserError if they have no line in common.
    """
    a, b = read_history(options.a, log_line), read_history(options.b, log_line)
    found = compared(a, b)
    if options.json:
        click.echo(json.dumps(jsonable(as_values(a, b, found)), indent=2, allow_nan=False))
    else:
        print_comparison(a, b, found)
    if found.verdict == "different":
        sys.exit(1)


def compared(a: History, b: History) -> Comparison:
    """Compare two histories. Raises UserError if they have no iteration in common."""
    iterations, in_a, in_b = np.intersect1d(a.iterations, b.iterations, return_indices=True)
    if not len(iterations):
        raise UserError(
            f"cannot compare: {a.name} has lines {a.iterations[0]} to {a.iterations[-1]}, {b.name} has "
            f"{b.iterations[0]} to {b.iterations[-1]}, and none is in both"
        )

    def pairs(name: str) -> Pairs:
        return paired(a.columns[name][in_a], b.columns[name][in_b], formats(name, a, b), name != "train_loss")

    evaluated = sorted(a.val_losses.keys() & b.val_losses)
    val_losses = (np.array([run.val_losses[i] for i in evaluated]) for run in (a, b))
    found = Comparison(
        iterations,
        {name: pairs(name) for name in JUDGED},
        pairs("learning_rate"),
        evaluated,
        paired(*val_losses, formats("val_loss", a, b)),
        parameters_of_both(a, b),
    )
    judge(found, precision_of(a), precision_of(b), rounds_alike=rounds_alike(a, b))
    return found


def parameters_of_both(a: History, b: History) -> dict[int, bool]:
    """Return whether the parameters are the same, by iteration, where both are known and have the same data type."""
    both = a.fingerprints.keys() & b.fingerprints.keys() if a.options.get("dtype") == b.options.get("dtype") else ()
    return {i: a.fingerprints[i] == b.fingerprints[i] for i in sorted(both)}


def rounds_alike(*runs: History) -> bool:
    """Return whether all runs are known to use compiled cells in the same precision.

    With `-cell auto` this is not known, since there may have been no C compiler.
    """
    return all(run.options.get("cell") == "compiled" for run in runs) and len({*map(precision_of, runs)}) == 1


def formats(name: str, *runs: History) -> set[str]:
    """Return the formats that numbers of this name have in the files."""
    return {run.formats[name] for run in runs if name in run.formats}


def digits(form: str) -> int:
    """Return the number of digits behind the point in a print format, such as 8 in .8f."""
    return int(form[1:-1])


def rounded(values: np.ndarray, forms: set[str]) -> np.ndarray:
    """Round values `[n]` to the digits of each of these print formats, of the one with the fewest digits last."""
    for form in sorted(forms, key=digits, reverse=True):
        values = np.array([float(lua_format(value, form)) for value in values.tolist()])
    return values


def paired(a: np.ndarray, b: np.ndarray, forms: set[str], nan_is_unknown: bool = False) -> Pairs:
    """Pair the numbers `[n]` of two runs.

    NaN equals NaN. With `nan_is_unknown`, a number that is NaN in one run only also counts as the same.
    """
    a, b = rounded(a, forms), rounded(b, forms)
    known = ~(np.isnan(a) | np.isnan(b))
    with np.errstate(invalid="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b)) | (~known & nan_is_unknown)
        differences = np.where(same, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf))
    size = np.where(known, np.nan_to_num(np.maximum(np.abs(a), np.abs(b)), posinf=0.0), 0.0)
    return Pairs(np.array([a, b]), differences, last_digit(size, forms), size, min(forms, key=digits, default=""))


def last_digit(size: np.ndarray, forms: set[str]) -> np.ndarray:
    """Return one unit in the last printed digit of numbers of this size `[n]`, in the coarsest of these formats."""
    unit = np.zeros(len(size))
    for form in forms:
        exponents = np.floor(np.log10(np.maximum(size, 1e-300))) if form.endswith("e") else 0.0
        unit = np.maximum(unit, 10.0 ** (exponents - digits(form)))
    return unit


def precision_of(run: History) -> str:
    """Return float64 or float32, or "" if the precision is unknown.

    Without the option, losses that all are the printed form of a single precision number show float32.
    """
    if run.options.get("dtype") in UNITS:
        return run.options["dtype"]
    losses, forms = run.columns["train_loss"], formats("train_loss", run)
    losses = losses[np.isfinite(losses) & (np.abs(losses) < 1e30)]
    single = losses.astype(np.float32)
    # Only losses printed with more digits than single precision has can distinguish the two.
    informative = np.spacing(single) > 4 * last_digit(losses, forms)
    if informative.sum() >= 10 and np.array_equal(rounded(single.astype(np.float64), forms), losses):
        return "float32"
    return "" if forms else "float64"


def judge(found: Comparison, *precisions: str, rounds_alike: bool) -> None:
    """Set the verdict: whether the runs are the same, and if not, whether rounding explains the difference."""
    differing = np.flatnonzero(sum(pairs.differences for pairs in found.lines.values()))
    found.first = int(found.iterations[differing[0]]) if len(differing) else None
    found.precision = "float32" if "float32" in precisions else "float64"
    misfits = misfits_of_lines(found, found.precision)
    first = found.lines["train_loss"]
    if misfits and "" in precisions and first.unit[0] < first.differences[0] < SINGLE * first.size[0]:
        # They differ before the first update, by as much as rounding to single precision.
        found.precision = "float32"
        misfits = misfits_of_lines(found, "float32")
    misfits += misfits_of_val_losses(found) + misfits_of_rates(found)
    if rounds_alike:
        misfits += misfits_of_bits(found)
    if misfits:
        found.verdict = "different"
        found.line, found.why = min(misfits)
    elif begin := first_difference(found):
        found.verdict, found.line = "rounding", begin
        found.why = f"no difference is larger than rounding in {found.precision} can have made it by then"
        ambiguous = np.flatnonzero(largest_by_rounding(found, "train_loss", found.precision) > AMBIGUOUS)
        if len(ambiguous):
            found.why += f"; from line {found.iterations[ambiguous[0]]} on it could have made any"
    elif not first.unit.any():
        known = [name for name, pairs in found.lines.items() if pairs.size.any()]
        what = " and ".join({"train_loss": "losses", "grad_param_norm": "norms"}[name] for name in known)
        found.why = f"all {len(found.iterations)} {what} are the same to the last bit"
        if found.parameters:
            found.why += f", and so are the parameters after iteration {max(found.parameters)}"


def first_difference(found: Comparison) -> int | None:
    """Return the first iteration with any difference in losses, norms, validation losses or parameters."""
    val_losses = [found.evaluated[place] for place in np.flatnonzero(found.val_losses.differences)]
    parameters = [i for i, same in found.parameters.items() if not same]
    return min([*([found.first] if found.first else []), *val_losses, *parameters], default=None)


def misfits_of_bits(found: Comparison) -> list[Misfit]:
    """Return the first difference between runs that must have the same bits."""
    begin = first_difference(found)
    if begin is None:
        return []
    what = f"line {begin} differs" if begin == found.first else f"the state after iteration {begin} differs"
    why = f"{what}, and compiled cells round alike on every machine: with the same program, text and number of"
    return [Misfit(begin, f"{why} processes they have the same bits")]


def limits(iterations: np.ndarray, relative: np.ndarray, fresh: float) -> np.ndarray:
    """Return the largest relative difference that rounding may cause at each line, `[n]`.

    Each line adds a new difference of `fresh`. Differences in earlier lines, `relative` `[n]`, may have grown by
    GROWTH.
    """
    seen = np.maximum.accumulate(relative).tolist()
    result = np.full(len(iterations), np.inf)
    for spurt, factor in GROWTH:
        least, before = fresh, 1
        for place, i in enumerate(iterations.tolist()):
            least *= factor ** min(i - before, 99)
            result[place] = min(result[place], spurt * least)
            least, before = max(fresh, min(least, seen[place])), i
    return result


def largest_by_rounding(found: Comparison, name: str, precision: str) -> np.ndarray:
    """Return the largest difference that rounding may cause in numbers of this name at each line, `[n]`."""
    pairs, fresh = found.lines[name], FRESH * UNITS[precision]
    size = np.maximum(pairs.size, 1e-300)
    leaps = 1.0
    if name == "grad_param_norm":
        fresh = min(max(fresh, 10 * (pairs.differences[0] - pairs.unit[0]) / size[0]), NORM * fresh)
        leaps = np.where(found.iterations > CALM, LEAP, 1.0)
    return limits(found.iterations, (pairs.differences + pairs.unit) / size, fresh) * pairs.size * leaps


def misfits_of_lines(found: Comparison, precision: str) -> list[Misfit]:
    """Return the first line whose loss or norm rounding does not explain, if any."""
    misfits = []
    for name, pairs in found.lines.items():
        most = largest_by_rounding(found, name, precision)
        # Rounding far below the last digit may change it by chance in one line, but not in several.
        often = np.cumsum(pairs.differences > 10 * most) >= SEVERAL
        certain = np.flatnonzero((pairs.differences - pairs.unit > most) | often)
        if len(certain):
            begin = np.flatnonzero(pairs.differences > most)[0]  # the first line that shows the difference
            place = certain[0]
            why = (
                f"line {found.iterations[place]}: the {JUDGED[name]} is {pairs.differences[place]:.1e} off, where "
                f"rounding in {precision} comes to {most[place]:.0e} at most"
            )
            misfits.append(Misfit(int(found.iterations[begin]), why))
    return sorted(misfits)[:1]


def misfits_of_val_losses(found: Comparison) -> list[Misfit]:
    """Return the first validation loss whose difference the lines before it do not explain, if any."""
    lines, pairs = found.lines["train_loss"], found.val_losses
    seen = lines.differences + lines.unit
    for i, difference, unit, (one, other) in zip(
        found.evaluated, pairs.differences, pairs.unit, pairs.values.T, strict=True
    ):
        before = seen[found.iterations <= i].max(initial=FRESH * UNITS[found.precision])
        if difference - unit > GROWTH[1][0] * before:
            return [Misfit(i, f"the validation losses after iteration {i} are {one:.8g} and {other:.8g}")]
    return []


def misfits_of_rates(found: Comparison) -> list[Misfit]:
    """Return the first line with a different learning rate, if any."""
    for place in np.flatnonzero(found.rates.differences > SAME_RATE * found.rates.size)[:1]:
        i, (one, other) = int(found.iterations[place]), found.rates.values[:, place]
        return [Misfit(i, f"line {i}: the learning rates are {one:.8g} and {other:.8g}")]
    return []


def differing_options(a: History, b: History) -> dict[str, tuple]:
    """Return the options that are known for both runs and differ, as pairs of values."""
    both = [name for name in a.options if name in b.options]
    return {name: (a.options[name], b.options[name]) for name in both if a.options[name] != b.options[name]}


def largest_differences(found: Comparison) -> dict[int, dict[str, float | None]]:
    """Return the largest differences up to the iterations in UP_TO and the last one; None if unknown."""
    result, last = {}, int(found.iterations[-1])
    for end in (*UP_TO, last):
        upto = found.iterations <= end
        if upto.any():
            result[min(end, last)] = {
                name: float(pairs.differences[upto].max()) if pairs.size.any() else None
                for name, pairs in found.lines.items()
            }
    return result


def as_values(a: History, b: History, found: Comparison) -> dict:
    """Return the comparison as an object for -json."""
    val_losses = found.val_losses.values.T.tolist()
    return {
        "a": a.name,
        "b": b.name,
        "lines": len(found.iterations),
        "options": {name: list(pair) for name, pair in differing_options(a, b).items()},
        "first_line": found.first,
        "largest_differences": largest_differences(found),
        "val_losses": dict(zip(found.evaluated, val_losses, strict=True)),
        "same_parameters": found.parameters,
        "precision": found.precision,
        "verdict": found.verdict,
        "from_line": found.line,
        "why": found.why,
    }


def print_comparison(a: History, b: History, found: Comparison) -> None:
    """Print the comparison as tables."""
    print_safely(f"A: {a.name}, {len(a.iterations)} lines")
    print_safely(f"B: {b.name}, {len(b.iterations)} lines")
    options, known = differing_options(a, b), len(a.options.keys() & b.options)
    header = f"options: {known or 'none'} known of both"
    print_safely(header + ("; these differ (* changes results):" if options else ", none differs" if known else ""))
    identity = {each.name for each, about in described(TrainOptions) if about.resume_locked}
    for name, (one, other) in options.items():
        print_safely(f"  -{name}{' *' if name in identity else ''} : {one} | {other}")
    print_safely(f"first line whose digits differ: {found.first or f'none of {len(found.iterations)}'}")
    if found.first:
        place = int(np.searchsorted(found.iterations, found.first))
        for name, pairs in found.lines.items():
            if name == "train_loss" or pairs.size[place]:
                print_safely(f"  {JUDGED[name]} : {side_by_side(pairs, place)}")
    print_safely("largest difference:  loss      norm")
    for end, row in largest_differences(found).items():
        cells = ["unknown" if value is None else f"{value:.1e}" if value else "0" for value in row.values()]
        print_safely(f"  up to line {end:<9}{cells[0]:10}{cells[1]}")
    if found.evaluated:
        print_safely("validation losses:")
    for place, i in enumerate(found.evaluated):
        print_safely(f"  {i} : {side_by_side(found.val_losses, place)}")
    for i, same in found.parameters.items():
        print_safely(f"parameters after iteration {i}: {'the same' if same else 'not the same'}")
    print_safely(found.why)
    print_safely("identical" if found.verdict == "identical" else f"{found.verdict} from line {found.line} on")


def side_by_side(pairs: Pairs, place: int) -> str:
    """Return one pair of numbers, with the digits that are compared."""
    pair = pairs.values[:, place].tolist()
    return " | ".join(lua_format(value, pairs.form) if pairs.form else repr(value) for value in pair)

"""`charrnn compare`: whether two runs are the same, or differ as rounding makes runs differ, or by an error.

Rounding begins in the last digit that a number can have, and training lets it grow: slowly at first, in spurts later.
An error begins with more than rounding can have come to by then. How fast it grows was measured on runs that differ in
nothing else; docs/reproducing.md has the figures.

Compiled cells round alike on every machine: of two runs that are known to be theirs every bit must be the same.
"""

import json
import sys
from dataclasses import dataclass
from typing import NamedTuple

import click
import numpy as np

from charrnn_port.option_fields import described
from charrnn_port.options import CompareOptions, TrainOptions
from charrnn_port.reports.history import History, read_history
from charrnn_port.reports.inspect import jsonable, print_safely
from charrnn_port.torch7.strfmt import lua_format
from charrnn_port.util.errors import UserError

JUDGED = {"train_loss": "loss", "grad_param_norm": "norm"}
UP_TO = (10, 100, 1000)  # iterations
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24}  # half a unit in the last place of 1
FRESH = 180  # so many of them rounding may bring a loss off before anything has grown; measured: 3
SINGLE = 16 * UNITS["float32"]  # which loss of a first line shows that it was computed so; measured: 2
# A norm is a sum over all parameters, and may be off by so many times that; measured: 3,000 units, in single
# precision at 512x2. In a run it is ten times what the first line shows, at most.
NORM = 300
# In k iterations a difference grows to no more than spurt * factor**k of it, for each pair here. Measured: 22 in one
# iteration, 2,700 in twelve, around line 60 of the default run, where it grows most.
GROWTH = ((1.0, 30.0), (1000.0, 1.5))
# Norms leap further where gradients have just exploded, which they do not in the first lines. Measured: 550 in one
# iteration, at line 56 of a run with a learning rate of 0.02.
CALM, LEAP = 20, 100.0
UNTOLD = 0.1  # nats: where rounding can have made so much, the lines do not tell an error from it
SEVERAL = 3  # lines whose last digit is another one are no chance
SAME_RATE = 1e-6  # relative: a learning rate that is kept in single precision is 6e-8 off


@dataclass
class Pairs:
    """Numbers of one kind of both runs, with the digits of the run that tells fewer."""

    values: np.ndarray  # float64 [2, n]
    differences: np.ndarray  # [n], infinite where only one is a number
    unit: np.ndarray  # [n]: the digits may hide so much of a difference
    size: np.ndarray  # [n]: the larger; 0 where one is unknown
    form: str  # how they are printed, "" for in full


class Misfit(NamedTuple):
    """What rounding does not explain."""

    line: int  # where it begins
    why: str


@dataclass
class Comparison:
    """Two runs side by side."""

    iterations: np.ndarray  # int64 [n]: those of which both have a line
    lines: dict[str, Pairs]  # of the names in JUDGED
    rates: Pairs  # the learning rates that they were done with
    evaluated: list[int]  # after which iterations there is a validation loss of both
    val_losses: Pairs
    parameters: dict[int, bool]  # after which iterations they are known of both, and whether they are the same
    first: int | None = None  # the first line whose digits differ
    precision: str = "float64"  # that rounding is judged by: that of the run that rounds more
    verdict: str = "identical"  # rounding, different
    line: int | None = None  # from which on it is that
    why: str = "every digit is the same"


def compare(options: CompareOptions) -> None:
    """Print all that can be told, the verdict in the last line. Raises UserError where nothing can be compared.

    Ends the program with status 1 where the runs differ by more than rounding.
    """
    a, b = read_history(options.a), read_history(options.b)
    found = compared(a, b)
    if options.json:
        click.echo(json.dumps(jsonable(as_values(a, b, found)), indent=2, allow_nan=False))
    else:
        print_comparison(a, b, found)
    if found.verdict == "different":
        sys.exit(1)


def compared(a: History, b: History) -> Comparison:
    """The comparison of two histories. Raises UserError where they have no iteration in common."""
    iterations, in_a, in_b = np.intersect1d(a.iterations, b.iterations, return_indices=True)
    if not len(iterations):
        raise UserError(
            f"nothing to compare: {a.name} has lines {a.iterations[0]} to {a.iterations[-1]}, {b.name} "
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
    """Return whether two runs' parameters are the same, after each iteration of which both are known in one type."""
    both = a.fingerprints.keys() & b.fingerprints.keys() if a.options.get("dtype") == b.options.get("dtype") else ()
    return {i: a.fingerprints[i] == b.fingerprints[i] for i in sorted(both)}


def rounds_alike(*runs: History) -> bool:
    """Return whether all runs are known to have computed with compiled cells in one precision.

    With `-cell auto` they are not known to: there may have been no C compiler.
    """
    return all(run.options.get("cell") == "compiled" for run in runs) and len({*map(precision_of, runs)}) == 1


def formats(name: str, *runs: History) -> set[str]:
    """How numbers of this name are rounded in the files."""
    return {run.formats[name] for run in runs if name in run.formats}


def rounded(values: np.ndarray, forms: set[str]) -> np.ndarray:
    """Values `[n]` as they are when printed in each of these formats."""
    for form in forms:
        values = np.array([float(lua_format(value, form)) for value in values.tolist()])
    return values


def paired(a: np.ndarray, b: np.ndarray, forms: set[str], nan_is_unknown: bool = False) -> Pairs:
    """Two runs' numbers `[n]` side by side. Those that are unknown of one count as the same."""
    a, b = rounded(a, forms), rounded(b, forms)
    known = ~(np.isnan(a) | np.isnan(b))
    with np.errstate(invalid="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b)) | (~known & nan_is_unknown)
        differences = np.where(same, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf))
    size = np.where(known, np.nan_to_num(np.maximum(np.abs(a), np.abs(b)), posinf=0.0), 0.0)
    return Pairs(np.array([a, b]), differences, last_digit(size, forms), size, min(forms, default=""))


def last_digit(size: np.ndarray, forms: set[str]) -> np.ndarray:
    """What a one in the last digit of numbers of this size `[n]` is, printed in the coarsest of these formats."""
    unit = np.zeros(len(size))
    for form in forms:
        exponents = np.floor(np.log10(np.maximum(size, 1e-300))) if form.endswith("e") else 0.0
        unit = np.maximum(unit, 10.0 ** (exponents - int(form[1:-1])))
    return unit


def precision_of(run: History) -> str:
    """float64 or float32, or "" where that cannot be told."""
    if run.options.get("dtype") in UNITS:
        return run.options["dtype"]
    losses, forms = run.columns["train_loss"], formats("train_loss", run)
    losses = losses[np.isfinite(losses) & (np.abs(losses) < 1e30)]
    single = losses.astype(np.float32)
    telling = np.spacing(single) > 4 * last_digit(losses, forms)  # others are printed as numbers of either precision
    if telling.sum() >= 10 and np.array_equal(rounded(single.astype(np.float64), forms), losses):
        return "float32"
    return "" if forms else "float64"


def judge(found: Comparison, *precisions: str, rounds_alike: bool) -> None:
    """Say whether the runs are the same, and if not, whether rounding explains it."""
    differing = np.flatnonzero(sum(pairs.differences for pairs in found.lines.values()))
    found.first = int(found.iterations[differing[0]]) if len(differing) else None
    found.precision = "float32" if "float32" in precisions else "float64"
    misfits = misfits_of_lines(found, found.precision)
    first = found.lines["train_loss"]
    if misfits and "" in precisions and first.unit[0] < first.differences[0] < SINGLE * first.size[0]:
        # Before anything is learned they differ, by as much as single precision makes.
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
        untold = np.flatnonzero(largest_by_rounding(found, "train_loss", found.precision) > UNTOLD)
        if len(untold):
            found.why += f"; from line {found.iterations[untold[0]]} on it could have made any"
    elif not first.unit.any():
        known = [name for name, pairs in found.lines.items() if pairs.size.any()]
        what = " and ".join({"train_loss": "losses", "grad_param_norm": "norms"}[name] for name in known)
        found.why = f"all {len(found.iterations)} {what} are the same to the last bit"
        if found.parameters:
            found.why += f", and so are the parameters after iteration {max(found.parameters)}"


def first_difference(found: Comparison) -> int | None:
    """Return the first iteration after which something differs, by however little."""
    val_losses = [found.evaluated[place] for place in np.flatnonzero(found.val_losses.differences)]
    parameters = [i for i, same in found.parameters.items() if not same]
    return found.first or min(val_losses + parameters, default=None)


def misfits_of_bits(found: Comparison) -> list[Misfit]:
    """Return the first difference there is, of runs that round alike."""
    begin = first_difference(found)
    if begin is None:
        return []
    what = f"line {begin} differs" if found.first else f"what is known after iteration {begin} differs"
    why = f"{what}, and compiled cells round alike on every machine: of one program, text and number of processes"
    return [Misfit(begin, f"{why} they have the same bits")]


def limits(iterations: np.ndarray, relative: np.ndarray, fresh: float) -> np.ndarray:
    """How far apart rounding may have brought two runs at each line: `[n]`, relative to the numbers' size.

    It is `fresh` anew in each line, and may have grown by GROWTH from any line before, where it was `relative` `[n]`.
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
    """How far apart rounding may have brought the two runs' numbers of this name at each line: `[n]`."""
    pairs, fresh = found.lines[name], FRESH * UNITS[precision]
    size = np.maximum(pairs.size, 1e-300)
    leaps = 1.0
    if name == "grad_param_norm":
        fresh = min(max(fresh, 10 * (pairs.differences[0] - pairs.unit[0]) / size[0]), NORM * fresh)
        leaps = np.where(found.iterations > CALM, LEAP, 1.0)
    return limits(found.iterations, (pairs.differences + pairs.unit) / size, fresh) * pairs.size * leaps


def misfits_of_lines(found: Comparison, precision: str) -> list[Misfit]:
    """The first line whose loss or norm rounding does not explain, if there is one."""
    misfits = []
    for name, pairs in found.lines.items():
        most = largest_by_rounding(found, name, precision)
        # A last digit may be another one by chance where rounding is far below it, but not in several lines.
        often = np.cumsum(pairs.differences > 10 * most) >= SEVERAL
        certain = np.flatnonzero((pairs.differences - pairs.unit > most) | often)
        if len(certain):
            begin = np.flatnonzero(pairs.differences > most)[0]  # where the last digit just shows it
            place = certain[0]
            why = (
                f"line {found.iterations[place]}: the {JUDGED[name]} is {pairs.differences[place]:.1e} off, where "
                f"rounding in {precision} comes to {most[place]:.0e} at most"
            )
            misfits.append(Misfit(int(found.iterations[begin]), why))
    return sorted(misfits)[:1]


def misfits_of_val_losses(found: Comparison) -> list[Misfit]:
    """The first validation loss that is further apart than the lines before it explain."""
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
    """The first line that was done with another learning rate."""
    for place in np.flatnonzero(found.rates.differences > SAME_RATE * found.rates.size)[:1]:
        i, (one, other) = int(found.iterations[place]), found.rates.values[:, place]
        return [Misfit(i, f"line {i}: the learning rates are {one:.8g} and {other:.8g}")]
    return []


def differing_options(a: History, b: History) -> dict[str, tuple]:
    """Those that are known of both and are not the same."""
    both = [name for name in a.options if name in b.options]
    return {name: (a.options[name], b.options[name]) for name in both if a.options[name] != b.options[name]}


def largest_differences(found: Comparison) -> dict[int, dict[str, float | None]]:
    """The largest up to some iterations, until there are no more; None for numbers that are unknown."""
    result, last = {}, found.iterations[-1]
    for end in UP_TO:
        upto = found.iterations <= end
        if upto.any():
            result[min(end, int(last))] = {
                name: float(pairs.differences[upto].max()) if pairs.size.any() else None
                for name, pairs in found.lines.items()
            }
    return result


def as_values(a: History, b: History, found: Comparison) -> dict:
    """All of it, for -json."""
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
    """A few tables."""
    print_safely(f"A: {a.name}, {len(a.iterations)} lines")
    print_safely(f"B: {b.name}, {len(b.iterations)} lines")
    options, known = differing_options(a, b), len(a.options.keys() & b.options)
    header = f"options: {known or 'none'} known of both"
    print_safely(header + ("; these differ (* changes the numbers):" if options else ", none differs" if known else ""))
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
    """One of the pairs, with as many digits as are compared."""
    pair = pairs.values[:, place].tolist()
    return " | ".join(lua_format(value, pairs.form) if pairs.form else repr(value) for value in pair)

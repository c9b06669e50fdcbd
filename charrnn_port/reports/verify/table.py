"""Format results as a table of at most 80 columns: a section for each part, and a row for each name in it."""

import math
from collections.abc import Iterable

from charrnn_port.reports.verify.results import Bits, Check, Difference, Lines, Same
from charrnn_port.reports.verify.runs import EARLY

NAMES = 24  # the width of the first column


def table(checks: Iterable[Check]) -> list[str]:
    """Return the lines of the table, followed by descriptions of the checks that fail."""
    checks = list(checks)
    lines = []
    for part, group in grouped(checks, "part").items():
        lines += ["", *section(part, group)]
    for check in checks:
        if not check.holds:
            lines += ["", *str(check).split("\n")]
    return lines


def section(part: str, checks: list[Check]) -> list[str]:
    """Return the lines of a section: title and columns, what is promised, and the rows."""
    rows = {name: figures(group) for name, group in grouped(checks, "name").items()}
    columns = dict.fromkeys(column for cells in rows.values() for column in cells)  # in order, each once
    promises = {column: promise for check in checks for column, promise in promised(check).items()}
    lines = [line(part, {column: column for column in columns}, columns), line("  promised", promises, columns)]
    for name, group in grouped(checks, "name").items():
        wrong = "" if all(check.holds for check in group) else " NO"
        lines.append(line(f"  {name}", rows[name], columns) + wrong)
    return [each.rstrip() for each in lines]


def line(name: str, cells: dict[str, str], columns: Iterable[str]) -> str:
    """Return a row of the table."""
    return f"{name:{NAMES}}" + "".join(f"{cells.get(column, ''):>{max(len(column), 9) + 1}}" for column in columns)


def figures(group: list[Check]) -> dict[str, str]:
    """Return the cells of a row by column; of several differences in one column, the worst."""
    cells = {}
    for what, checks in grouped(group, "what").items():
        check = max(checks, key=lambda check: (not check.holds, getattr(check, "largest", 0)))
        if isinstance(check, Lines):
            cells |= {
                "lines equal": f"{check.equal} of {check.total}",
                **({} if all_of(check) else {"certain": str(check.certain)}),
                "first other": str(check.equal + 1) if check.other else "-",
                f"off to {EARLY}": figure(check.early),
                "later": figure(check.late) if math.isfinite(check.late_limit) else f"({figure(check.late)})",
            }
        elif isinstance(check, Difference):
            cells[what] = figure(check.largest)
        elif isinstance(check, Bits):
            cells |= {
                "iterations": str(check.iterations),
                "numbers": f"{check.numbers:,}",
                "fingerprints": str(check.fingerprints),
                "equal": "all bits" if check.holds else f"to {max(check.first_other - 1, 0)}",
            }
    same = [check for check in group if isinstance(check, Same)]
    if same:
        cells["the same"] = f"{sum(check.holds for check in same)} of {len(same)}"
        cells["numbers"] = f"{sum(check.total for check in same):,}"
    return cells


def promised(check: Check) -> dict[str, str]:
    """Return what is promised, by column."""
    if isinstance(check, Lines):
        limits = {f"off to {EARLY}": figure(check.early_limit)}
        if math.isfinite(check.late_limit):
            limits["later"] = figure(check.late_limit)
        return limits | ({"lines equal": "all" if all_of(check) else "certain"} if check.exact else {})
    if isinstance(check, Difference):
        return {check.what: figure(check.limit)}
    return {"the same": "all"} if isinstance(check, Same) else {"equal": "all bits"} if isinstance(check, Bits) else {}


def all_of(lines: Lines) -> bool:
    """Return whether all lines are promised, because all bits are."""
    return lines.exact and lines.early_limit == 0


def figure(value: float) -> str:
    """Return a difference as text."""
    return "0" if value == 0 else f"{value:.0e}"


def grouped(checks: Iterable[Check], field: str) -> dict[str, list[Check]]:
    """Group checks by one of their fields, in order of first occurrence."""
    groups: dict[str, list[Check]] = {}
    for check in checks:
        groups.setdefault(getattr(check, field), []).append(check)
    return groups

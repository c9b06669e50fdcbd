"""Print tables and JSON: the output that several reports share."""

import math

import click


def jsonable(value: object) -> object:
    """Return the value with None in place of NaN and infinities, which JSON cannot express."""
    if isinstance(value, dict):
        return {name if isinstance(name, int) else str(name): jsonable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [jsonable(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(values: dict) -> None:
    """Print one line for each name and value."""
    for name, value in values.items():
        print_safely(f"{name} : {value}", "  ")


def print_safely(line: str, indent: str = "") -> None:
    """Print a line, escaped where it has control characters that a terminal would interpret."""
    click.echo(f"{indent}{line if line.isprintable() else ascii(line)}")

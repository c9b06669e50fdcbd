"""Reads the space of `charrnn search`, and draws configurations from it.

    model: gru                                               # a value: the same in all runs
    num_layers: [1, 2, 3]                                    # choices
    learning_rate: {min: 5e-4, max: 1e-2, log: true}         # a range; with `log`, uniform in the logarithm
    rnn_size: {min: 64, max: 512, log: true, integer: true}  # whole numbers only

Options may be in groups, as in any file for -config. Numbers of a range are rounded to DIGITS digits.
"""

import math
import random
from dataclasses import dataclass
from typing import Any

from charrnn_port.config import BOOLEANS, nodes, text_of
from charrnn_port.options import OptionError, TrainOptions, lua_number
from charrnn_port.util.errors import UserError

DIGITS = 4
WORDS = ("min", "max", "log", "integer")
# Options that the search itself sets, with what to do instead.
SET = dict.fromkeys(("checkpoint_dir", "savefile", "keep_last", "log"), "each run has a folder of its own: use -o")
SET |= {"max_epochs": "it is raised from rung to rung: use -epochs", "resume": "use init_from"}
SET |= dict.fromkeys(("dry_run", "print_every", "progress", "tensorboard"), "leave it out")
# Options that change what a validation loss is measured on. Losses of runs that differ in them are not comparable.
MEASURE = ("data_dir", "encoding", "min_count", "vocab_size", "separator")
MEASURE += ("train_frac", "val_frac", "split_by", "val_file", "test_file")
ATTEMPTS = 1000  # draws without a new configuration, after which all are taken to be drawn

Value = str | int | float


@dataclass(frozen=True)
class Choices:
    """Values to choose from; a single one is the same in all runs."""

    values: tuple[Value, ...]

    def at(self, place: float) -> Value:
        """Return the value at a place, 0 <= place < 1."""
        return self.values[int(place * len(self.values))]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool
    integer: bool

    def at(self, place: float) -> Value:
        """Return the number at a place, 0 <= place < 1. All whole numbers have the same share of it, without `log`."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.integer else (self.low, self.high)
        if self.log:
            number = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        else:
            number = low + place * (high - low)
        number = min(max(round(number) if self.integer else float(f"{number:.{DIGITS}g}"), self.low), self.high)
        return int(number) if self.integer else number


def read_space(path: str) -> dict[str, Choices | Range]:
    """Return what a file gives for each option of train.py, by name.

    Raises OptionError for an option that is unknown, that the search sets or that has an invalid value, and UserError
    for a file that cannot be read or in which nothing varies.
    """
    space: dict[str, Choices | Range] = {}
    for name, where, node in nodes(path, TrainOptions, is_space):
        if name in SET:
            raise OptionError(f"{where}: {name} cannot be in a search: {SET[name]}")
        found = range_of(name, where, node) if is_range(node) else choices_of(name, where, node)
        if found is None:
            continue
        if name in MEASURE and varies(found):
            raise OptionError(f"{where}: losses of runs with different {name} cannot be compared: give one value")
        if name == "lr_schedule" and isinstance(found, Choices) and "cosine" in found.values:
            raise OptionError(f"{where}: lr_schedule cosine ends with -max_epochs, which a search raises: use decay")
        space[name] = found
    if not any(map(varies, space.values())):
        raise UserError(f"-config {path}: nothing varies: give an option a list, such as [64, 128]")
    return space


def is_range(node: Any) -> bool:
    """Return whether a YAML node is a mapping with min or max: any other mapping is a group of options."""
    return node.id == "mapping" and any(key.value in ("min", "max") for key, _ in node.value)


def is_space(node: Any) -> bool:
    """Return whether a YAML node is a value, a list of values or a range."""
    if node.id == "sequence":
        return all(each.id == "scalar" for each in node.value)
    return node.id == "scalar" or is_range(node)


def choices_of(name: str, where: str, node: Any) -> Choices | None:
    """Return a value or a list of values; None for null, which is not given. Raises OptionError if one is invalid."""
    if node.id == "scalar":
        text = text_of(node, name, where, TrainOptions)
        return None if text is None else Choices((value_of(name, text),))
    texts = [text_of(each, name, where, TrainOptions) for each in node.value]
    if not texts or None in texts:
        raise OptionError(f"{where}: {name} needs a value in each place of its list")
    return Choices(tuple(dict.fromkeys(value_of(name, text) for text in texts)))


def range_of(name: str, where: str, node: Any) -> Range:
    """Return a range. Raises OptionError if it is incomplete or not of numbers, or if its ends are invalid."""
    texts = {key.value: value.value for key, value in node.value}
    kind = type(getattr(TrainOptions(), name))
    try:
        if kind is str or not {"min", "max"} <= set(texts) <= set(WORDS):
            raise ValueError(f"a range has min and max, of {', '.join(WORDS)}, and is for numbers; else give a list")
        if not all(isinstance(text, str) for text in texts.values()):
            raise ValueError("min and max are one number each")
        low, high = (value_of(name, texts[word]) for word in ("min", "max"))
        words = [texts.get(word, "false") for word in ("log", "integer")]
        log, integer = (lua_number(BOOLEANS.get(text.lower(), text)) for text in words)
        found = Range(low, high, log == 1, integer == 1 or kind is int)
        if low > high or (found.log and low <= 0):
            raise ValueError(f"min {low:g} is {'above max' if low > high else 'not above 0, which log needs'}")
        if not {log, integer} <= {0, 1} or (found.integer and not (low == int(low) and high == int(high))):
            raise ValueError("log and integer are true or false, and with integer min and max are whole numbers")
    except ValueError as error:
        raise OptionError(f"{where}: {name}: {error}") from None
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
    return found


def value_of(name: str, text: str) -> Value:
    """Return the value of an option from its text. Raises OptionError if it is invalid."""
    return getattr(TrainOptions(**{name: text}), name)


def varies(found: Choices | Range) -> bool:
    """Return whether runs can differ in an option."""
    return found.low < found.high if isinstance(found, Range) else len(found.values) > 1


def draw(space: dict[str, Choices | Range], count: int, seed: int) -> list[dict[str, Value]]:
    """Return `count` different random configurations, or all if there are fewer. A larger count continues the list."""
    generator = random.Random(seed)
    drawn: list[dict[str, Value]] = []
    attempts = 0
    while len(drawn) < count and attempts < ATTEMPTS:
        # Only random() is documented to give the same numbers in all versions of Python.
        values = {name: found.at(generator.random()) for name, found in space.items()}
        attempts = 0 if values not in drawn else attempts + 1
        if not attempts:
            drawn.append(values)
    return drawn

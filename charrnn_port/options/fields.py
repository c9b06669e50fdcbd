"""Defines what an option is: a dataclass field with a help text, bounds and a checked value.

    @dataclass(frozen=True)
    class SampleOptions(Options):
        model: str = argument("MODEL", "a checkpoint")
        length: int = option(2000, "number of characters to sample", "sampling", "More takes longer.", minimum=0)

    SampleOptions("cv/best.t7.pt", length="1e3").length == 1000     # an invalid value raises OptionError
"""

import difflib
import inspect
import math
import operator
import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import Field, asdict, dataclass, field, fields
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from charrnn_port.util.errors import UserError

AnyOptions = TypeVar("AnyOptions", bound="Options")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class OptionError(UserError):
    """An option has an invalid value; the message names the option and the value."""


class UnknownOptionError(OptionError, TypeError):
    """A keyword argument names no option. It is a TypeError too, as Python raises for an unknown keyword."""


@dataclass(frozen=True)
class Description:
    """Metadata of an option's field. `minimum` and `maximum` are inclusive bounds, `above` and `below` exclusive."""

    help: str  # shown by -help; for an option of the original, in the original's words
    consequence: str = ""  # what happens if you change it, in whole sentences for docs/options.md
    group: str = ""
    resume_locked: bool = False  # another value would change the run's numbers, so that -resume refuses it
    omit_default: bool = False  # not stored in checkpoints at its default, so that older checkpoints stay the same
    on_off: bool = False  # an int that is exactly 0 or 1
    choices: tuple[str, ...] = ()
    minimum: float = -math.inf
    maximum: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    instead: str = ""  # what to do in place of a value out of range, for the error message
    metavar: str = ""  # the name of a positional argument, such as MODEL; "" for options
    many: bool = False  # an argument or option of text that may be repeated: its value is a tuple

    def check(self, kind: type, value: Any) -> Any:
        """Return the value converted to `kind`, parsing text. Raises ValueError with the reason if it is invalid."""
        if kind is str:
            if not isinstance(value, str | os.PathLike):
                raise ValueError(f"expected text, got {value!r}")
            text = os.fspath(value)
            if self.choices and text not in self.choices:
                raise ValueError(f"{text!r} is not one of {', '.join(self.choices)}")
            return text
        if self.on_off:
            with suppress(ValueError):
                if (number := lua_number(value)) in (0, 1):
                    return int(number)
            raise ValueError(f"expected 0 (off) or 1 (on), got {value!r}")
        number = lua_number(value)
        if not math.isfinite(number) or (kind is int and not float(number).is_integer()):
            raise ValueError(f"{value} is not {'a whole' if kind is int else 'a finite'} number")
        if not (self.minimum <= number <= self.maximum and self.above < number < self.below):
            hint = f"; {self.instead}" if self.instead else ""
            raise ValueError(f"{value} is out of range: it must be {self.range()}{hint}")
        return kind(number)

    def range(self) -> str:
        """Return the bounds in words, such as "at least 0 and below 1"."""
        bounds = {"at least": self.minimum, "at most": self.maximum, "above": self.above, "below": self.below}
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))


def option(default: Any, help: str, group: str, consequence: str, **rest: Any) -> Any:
    """Return the field of an option, whose type is that of its default."""
    return field(default=default, metadata={"description": Description(help, consequence, group, **rest)})


def switch(default: int, help: str, group: str, consequence: str, **rest: Any) -> Any:
    """Return the field of an on/off option: an int, 0 or 1. On a command line, its name alone means 1."""
    return option(default, help, group, consequence, on_off=True, **rest)


def argument(metavar: str, help: str, many: bool = False, optional: bool = False) -> Any:
    """Return the field of a positional argument; with `many`, it may be repeated. Left out, it is empty."""
    default = {"default": () if many else ""} if optional else {}
    return field(**default, metadata={"description": Description(help, metavar=metavar, many=many)})


def described(options_class: "type[Options]") -> list[tuple[Field, Description]]:
    """Return the fields of an options class in order, each with its description."""
    return [(each, each.metadata["description"]) for each in fields(options_class)]


@dataclass(frozen=True)
class Options:
    """Base class of all programs' options: checks each value when an object is created."""

    if not TYPE_CHECKING:  # with it, a type checker would accept any keyword

        def __new__(cls, *positional: Any, **values: Any) -> "Options":
            """Raise UnknownOptionError with a hint, before the dataclass raises TypeError without one."""
            require_known(values, [each.name for each in fields(cls)])
            return super().__new__(cls)

    def __post_init__(self) -> None:
        for each, description in described(type(self)):
            kind = str if description.metavar or description.many else type(each.default)
            value, check = getattr(self, each.name), partial(description.check, kind)
            try:
                value = (value,) if description.many and isinstance(value, str) else value
                value = tuple(map(check, value)) if description.many else check(value)
            except ValueError as error:
                raise OptionError(f"{description.metavar or '-' + each.name}: {error}") from None
            object.__setattr__(self, each.name, value)

    @classmethod
    def from_checkpoint(cls: type[AnyOptions], values: dict[str, str | int | float], where: str) -> AnyOptions:
        """Return options stored in the file `where`; missing ones have their defaults.

        Raises UserError, which names the file, for an invalid value or an unknown option.
        """
        unknown = sorted(set(values) - {each.name for each in fields(cls)})
        if unknown:
            raise UserError(f"{where} has an unknown option -{unknown[0][:60]}; a newer charrnn_port may know it")
        try:
            return cls(**values)
        except OptionError as error:
            raise UserError(f"{where} has invalid options: {str(error)[:300]}") from error

    def values(self) -> dict[str, Any]:
        """Return all values by name."""
        return asdict(self)

    def to_checkpoint(self) -> dict[str, Any]:
        """Return the values to store in a checkpoint; `from_checkpoint` restores the options from them."""
        usual = {each.name: each.default for each, about in described(type(self)) if about.omit_default}
        return {name: value for name, value in self.values().items() if name not in usual or value != usual[name]}


def require_known(given: Iterable[str], known: Collection[str]) -> None:
    """Raise UnknownOptionError for the first name that is not in `known`, and suggest the most similar known name."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {close[0]}?" if close else f"; known options are {', '.join(known)}"
            raise UnknownOptionError(f"unknown option {name}{hint}")


def with_known_names(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a function: an unknown keyword argument raises UnknownOptionError, which suggests the nearest one."""
    known = inspect.signature(function).parameters

    @wraps(function)
    def call(*positional: Parameters.args, **values: Parameters.kwargs) -> Result:
        require_known(values, known)
        return function(*positional, **values)

    return call


def in_range(convert: Callable[[Any], float], value: Any) -> float:
    """Return the converted value, or infinity if it is too large for a float."""
    try:
        number = convert(value)
        float(number)
    except OverflowError:
        return math.inf
    return number


def lua_number(value: Any) -> float:
    """Return a number, parsing text as Lua does: 1000, 1e3, 1000.0 and 0x3e8 are the same; 1_000 is invalid.

    Converts numbers of other libraries, such as NumPy's, by `__index__` or `__float__`. Raises ValueError for all else.
    """
    if not isinstance(value, str | bytes):
        for convert in (operator.index, float):
            with suppress(TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several elements
                return in_range(convert, value)
    text = value.strip() if isinstance(value, str) else ""
    try:
        if "_" in text:
            raise ValueError
        return int(text, 16) if text.lower().lstrip("+-").startswith("0x") else float(text)
    except ValueError:
        raise ValueError(f"{value!r} is not a number") from None

"""What an option is: a field of a dataclass that carries its help, its bounds and what it does; values are checked.

    @dataclass(frozen=True)
    class SampleOptions(Options):
        model: str = argument("MODEL", "a checkpoint")
        length: int = option(2000, "number of characters to sample", "sampling", "More takes longer.", minimum=0)

    SampleOptions("cv/best.t7.pt", length="1e3").length == 1000     # OptionError for a value that won't do
"""

import difflib
import inspect
import math
import operator
import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from charrnn_port.util.errors import UserError

AnyOptions = TypeVar("AnyOptions", bound="Options")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class OptionError(UserError):
    """An option has a value that it cannot have; the message names both."""


class UnknownOptionError(OptionError, TypeError):
    """A keyword argument names no option. Python raises TypeError for other functions' keywords, so it is one too."""


@dataclass(frozen=True)
class Description:
    """What an option's field does not say: `minimum` and `maximum` may be reached, `above` and `below` may not."""

    help: str  # as -help has it; where the original has the option, in its words
    consequence: str = ""  # one sentence for docs/options.md: what happens if you change it
    group: str = ""
    resume_locked: bool = False  # part of a run's identity: another value changes its numbers, so -resume refuses it
    omit_default: bool = False  # left out of checkpoints where it is the default: older ones stay as they are
    choices: tuple[str, ...] = ()
    minimum: float = -math.inf
    maximum: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    metavar: str = ""  # of an argument without a name, such as MODEL; "" for options
    many: bool = False  # an argument of which there may be several: its value is a tuple

    def check(self, kind: type, value: Any) -> Any:
        """The value as this type, from text where it is text. Raises ValueError, which says what is wrong with it."""
        if kind is bool:
            if not isinstance(value, bool):
                raise ValueError(f"{value!r} is neither true nor false")
            return value
        if kind is str:
            if not isinstance(value, str | os.PathLike):
                raise ValueError(f"{value!r} is no text")
            text = os.fspath(value)
            if self.choices and text not in self.choices:
                raise ValueError(f"{text!r} is not one of {', '.join(self.choices)}")
            return text
        number = lua_number(value)
        if not math.isfinite(number) or (kind is int and not float(number).is_integer()):
            raise ValueError(f"{value} is not {'a whole' if kind is int else 'a finite'} number")
        if not (self.minimum <= number <= self.maximum and self.above < number < self.below):
            raise ValueError(f"{value} is out of range: it must be {self.range()}")
        return kind(number)

    def range(self) -> str:
        """The bounds in words."""
        bounds = {"at least": self.minimum, "at most": self.maximum, "above": self.above, "below": self.below}
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))


def option(default: Any, help: str, group: str, consequence: str, **rest: Any) -> Any:
    """A field for an option: its type is its default's."""
    return field(default=default, metadata={"description": Description(help, consequence, group, **rest)})


def argument(metavar: str, help: str, many: bool = False) -> Any:
    """A field for something that must be given and has no name on the command line; with `many`, once or more often."""
    return field(metadata={"description": Description(help, metavar=metavar, many=many)})


def described(options_class: "type[Options]") -> list[tuple[Field, Description]]:
    """The fields of a class of options in their order, each with its description."""
    return [(each, each.metadata["description"]) for each in fields(options_class)]


@dataclass(frozen=True)
class Options:
    """What all programs' options have in common: each value is checked when an object is made."""

    if not TYPE_CHECKING:  # a type checker knows the fields, and would take any name for one of them

        def __new__(cls, *positional: Any, **values: Any) -> "Options":
            """Refuse names that no option has, before the dataclass does without a hint."""
            require_known(values, [each.name for each in fields(cls)])
            return super().__new__(cls)

    def __post_init__(self) -> None:
        for each, description in described(type(self)):
            kind = str if each.default is MISSING else type(each.default)
            value, check = getattr(self, each.name), partial(description.check, kind)
            try:
                value = tuple(map(check, value)) if description.many else check(value)
            except ValueError as error:
                raise OptionError(f"{description.metavar or '-' + each.name}: {error}") from None
            object.__setattr__(self, each.name, value)

    @classmethod
    def from_checkpoint(cls: type[AnyOptions], values: dict[str, str | int | float], where: str) -> AnyOptions:
        """Options that were kept in a file, checked like those typed; those that it lacks have their defaults.

        Raises UserError, naming the file (`where`), for a value that won't do or an option that there is not.
        """
        unknown = sorted(set(values) - {each.name for each in fields(cls)})
        if unknown:
            raise UserError(f"{where} has an option -{unknown[0][:60]}, which this version does not know")
        try:
            return cls(**values)
        except OptionError as error:
            raise UserError(f"{where} has options that cannot be: {str(error)[:300]}") from error

    def values(self) -> dict[str, Any]:
        """All of them by name."""
        return asdict(self)

    def to_checkpoint(self) -> dict[str, Any]:
        """What goes into a checkpoint of them; Options.from_checkpoint makes them again."""
        usual = {each.name: each.default for each, about in described(type(self)) if about.omit_default}
        return {name: value for name, value in self.values().items() if name not in usual or value != usual[name]}


def require_known(given: Iterable[str], known: Collection[str]) -> None:
    """Raise UnknownOptionError for a name that is not known, with the known name that is most like it."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
            raise UnknownOptionError(f"unknown option {name}{hint}")


def with_known_names(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a function so that a wrong keyword argument raises UnknownOptionError, which names the nearest one."""
    known = inspect.signature(function).parameters

    @wraps(function)
    def call(*positional: Parameters.args, **values: Parameters.kwargs) -> Result:
        require_known(values, known)
        return function(*positional, **values)

    return call


def lua_number(value: Any) -> float:
    """Return a number, or read the text of one as Lua does: 1000, 1e3, 1000.0 and 0x3e8 are the same; 1_000 is none.

    Other libraries' numbers, such as NumPy's, are those that Python can convert, by `__index__` or `__float__`.
    Raises ValueError for all else.
    """
    if not isinstance(value, str | bytes):
        for convert in (operator.index, float):
            with suppress(TypeError, ValueError, RuntimeError):  # RuntimeError is PyTorch's for a tensor of several
                return convert(value)
    text = value.strip() if isinstance(value, str) else ""
    try:
        if "_" in text:
            raise ValueError
        return int(text, 16) if text.lower().lstrip("+-").startswith("0x") else float(text)
    except ValueError:
        raise ValueError(f"{value!r} is not a number") from None

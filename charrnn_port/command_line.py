"""Command lines as Torch's CmdLine has them, on click: `-rnn_size 128`, grouped help, errors in one line.

    @command(example="python train.py -rnn_size 256")
    @options("model", option("-rnn_size", 128, "size of LSTM internal state", minimum=1))
    def main(opt): ...

`--rnn_size 128` and `-rnn_size=128` mean the same. Exit status: 2 for a wrong option, 1 for all else.
"""

import difflib
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import click

from util.errors import UserError

HELP = ["-help", "-h", "--help"]


class Option(click.Option):
    """An option that knows its group in the help."""

    group = ""


class Number(click.ParamType):
    """A number in a range, whole or not; written as Lua may, so that 1000, 1e3 and 1000.0 are one."""

    def __init__(self, whole: bool, allows: Callable[[float], bool], wanted: str) -> None:
        self.name = "integer" if whole else "number"
        self.whole = whole
        self.allows = allows
        self.wanted = wanted

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """From the text on the command line."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not math.isfinite(number) or (self.whole and not number.is_integer()):
            self.fail(f"{value} is not {'a whole' if self.whole else 'a finite'} number", param, ctx)
        if not self.allows(number):
            self.fail(f"{value} is out of range: it must be {self.wanted}", param, ctx)
        return int(number) if self.whole else number


def option(
    name: str,
    default: Any,
    help: str,
    *,
    choices: list[str] | None = None,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> Option:
    """One option; its type is its default's. `minimum` and `maximum` may be reached, `above` and `below` not."""
    if choices:
        type_ = click.Choice(choices)
    elif isinstance(default, str):
        type_ = click.STRING
    else:
        bounds = {"at least": minimum, "at most": maximum, "above": above, "below": below}
        wanted = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))
        type_ = Number(isinstance(default, int), lambda x: minimum <= x <= maximum and above < x < below, wanted)
    if default != "":
        help += f"  [default: {default:g}]" if isinstance(default, float) else f"  [default: {default}]"
    return Option([name, name.lstrip("-")], default=default, help=help, type=type_)


def flag(name: str, help: str) -> Option:
    """An option without a value: true where it is given."""
    return Option([name, name.lstrip("-")], is_flag=True, help=help)


def options(group: str, *members: Option) -> Callable:
    """Decorator: adds options under a heading in the help."""

    def decorate(function: Callable) -> Callable:
        for member in members:
            member.group = group
        # click collects parameters from the last decorator to the first
        function.__click_params__ = [*getattr(function, "__click_params__", []), *reversed(members)]
        return function

    return decorate


def argument(name: str) -> Callable:
    """Decorator: adds a required positional argument."""
    return click.argument(name.lower(), metavar=name)


def command(example: str) -> Callable:
    """Decorator: makes `function(opt)` a program; `opt` has an attribute for each option and argument.

    `opt.given` is the set of names that came from the command line rather than from a default.
    """

    def decorate(function: Callable[[SimpleNamespace], None]) -> Program:
        def call(**values: Any) -> None:
            context = click.get_current_context()
            default = click.core.ParameterSource.DEFAULT
            given = {name for name in values if context.get_parameter_source(name) is not default}
            function(SimpleNamespace(**values, given=given))

        call.__doc__ = function.__doc__
        call.__click_params__ = getattr(function, "__click_params__", [])
        settings = {"help_option_names": HELP, "max_content_width": 110}
        return click.command(cls=Program, epilog=f"Example: {example}", context_settings=settings)(call)

    return decorate


class Program(click.Command):
    """A click command with Torch's option names and one-line errors."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell every option with one dash and a separate value; name a wrong one whole."""
        return super().parse_args(ctx, self._spell(ctx, args))

    def _spell(self, ctx: click.Context, args: list[str]) -> list[str]:
        flags = {param.opts[0]: param.is_flag for param in self.params if isinstance(param, Option)}
        spelled, rest = [], list(args)
        while rest:
            word = rest.pop(0)
            name, equals, value = word.partition("=")
            name = "-" + name.lstrip("-")
            if not word.startswith("-") or word == "-" or word in HELP:
                spelled.append(word)
            elif name not in flags:
                close = difflib.get_close_matches(name, flags, n=1)
                hint = f"; did you mean {close[0]}?" if close else f"; see {ctx.info_name} -help"
                raise click.UsageError(f"no such option: {word}{hint}", ctx)
            elif flags[name]:
                spelled.append(name)
            elif equals or rest:
                spelled += [name, value if equals else rest.pop(0)]
            else:
                raise click.UsageError(f"option {name} needs a value", ctx)
        return spelled

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the options group by group."""
        groups: dict[str, list] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record:
                groups.setdefault(getattr(param, "group", "help"), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)

    def main(self, *args: Any, **kwargs: Any) -> None:
        """Run; any error a user can cause ends in one line on stderr."""
        with suppress(AttributeError):  # where Python runs in something that has its own kind of stdout, or none
            sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold what cannot be printed
        try:
            sys.exit(super().main(*args, **kwargs, standalone_mode=False))
        except click.exceptions.BadParameter as error:
            fail(f"{error.param.opts[0]}: {error.message}" if error.message else error.format_message(), 2)
        except click.Abort:
            fail("interrupted", 130)
        except click.ClickException as error:
            fail(error.format_message(), error.exit_code)
        except UserError as error:
            fail(str(error), 1)
        except OSError as error:  # of files where none was to be expected
            fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 1)


def fail(message: str, status: int) -> None:
    """End the program with one line on stderr."""
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(status)

"""Command lines as Torch's CmdLine has them, on click: `-rnn_size 128`, grouped help, errors in one line.

    @program(TrainOptions, example="python train.py -rnn_size 256")
    def main(options, given): ...

`--rnn_size 128` and `-rnn_size=128` mean the same. Exit status: 2 for a wrong option, 1 for all else.
"""

import atexit
import difflib
import gc
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING
from typing import Any

import click

from charrnn_port import threads
from charrnn_port.option_fields import OptionError, Options, described
from charrnn_port.util import progress
from charrnn_port.util.errors import UserError

SIGPIPE = 13
OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory", re.IGNORECASE)  # in what PyTorch says, by device
HELP = ["-help", "-h", "--help"]
METAVARS = {str: "TEXT", int: "INTEGER", float: "NUMBER"}


def program(options_class: type[Options], example: str) -> Callable[[Callable], "Program"]:
    """Decorator: makes `function(options, given)` a program whose docstring is its help.

    `options` is checked; `given` is the set of the names that the user typed, the others having their defaults.
    """

    def decorate(function: Callable[[Any, frozenset[str]], None]) -> Program:
        def call(**values: Any) -> None:
            context = click.get_current_context()
            default = click.core.ParameterSource.DEFAULT
            given = frozenset(name for name in values if context.get_parameter_source(name) is not default)
            threads.wait_briefly()
            start_and_end_swiftly()
            try:
                function(options_class(**values), given)
            except BrokenPipeError:  # nobody reads any more, as after `| head`: end as if by the signal of that
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115  Python flushes it at its end
                sys.exit(128 + SIGPIPE)

        return Program(
            function.__name__,
            callback=call,
            help=function.__doc__,
            params=list(parameters(options_class)),
            epilog=f"Example: {example}",
            context_settings={"help_option_names": HELP, "max_content_width": 110},
        )

    return decorate


def start_and_end_swiftly() -> None:
    """Keep Python from looking for garbage among all that PyTorch brings: while it comes, and once more at the end.

    Nearly all of it stays to the end, and to look takes about a third of what a program takes that imports PyTorch.
    """
    gc.set_threshold(50_000)  # new objects: after so many it looks
    atexit.register(gc.freeze)


def command_of(program: str) -> str:
    """Return what starts train or sample: `charrnn train` where that is how it was started, else `python train.py`."""
    context = click.get_current_context(silent=True)
    path = context.command_path if context else ""
    return path if path.endswith(f" {program}") else f"python {program}.py"


def fail(message: str, status: int) -> None:
    """End the program with one line on stderr."""
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(status)


def print_line(line: str) -> None:
    """A line on stdout. Raises UserError where it cannot be written, BrokenPipeError where nobody reads."""
    try:
        with progress.aside():
            click.echo(line)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"stdout: {error.strerror}") from error


def log_line(line: str) -> None:
    """A line on stderr, about the work and not its result; where that cannot be written, nobody is told."""
    with suppress(OSError), progress.aside():
        click.echo(line, err=True)


class Program(click.Command):
    """A click command with Torch's option names, the help grouped, and errors in one line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell every option with one dash and a separate value; name a wrong one whole."""
        return super().parse_args(ctx, self._spell(ctx, args))

    def _spell(self, ctx: click.Context, args: list[str]) -> list[str]:
        flags = {param.opts[0]: param.is_flag for param in self.params if isinstance(param, click.Option)}
        spelled, rest = [], list(args)
        while rest:
            word = rest.pop(0)
            name, equals, value = word.partition("=")
            name = "-" + name.lstrip("-")
            if not word.startswith("-") or word == "-" or word in HELP:
                spelled.append(word)
            elif name not in flags:
                close = difflib.get_close_matches(name, flags, n=1)
                hint = f"; did you mean {close[0]}?" if close else f"; see {ctx.command_path} -help"
                raise click.UsageError(f"no such option: {word}{hint}", ctx)
            elif flags[name]:
                spelled.append(name)
            elif equals or rest:
                spelled += [name, value if equals else rest.pop(0)]
            else:
                raise click.UsageError(f"option {name} needs a value", ctx)
        return spelled

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the arguments, then the options group by group."""
        groups: dict[str, list] = {}
        for param in self.get_params(ctx):
            if isinstance(param, Argument):
                groups.setdefault("arguments", []).append((param.metavar, param.about))
            else:
                groups.setdefault(getattr(param, "group", "help"), []).append(param.get_help_record(ctx))
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the example: where the program is installed there is no train.py, and the command is another."""
        name = ctx.command_path.rpartition(" ")[2]
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text((self.epilog or "").replace(f"python {name}.py", command_of(name)))

    def main(self, *args: Any, **kwargs: Any) -> None:
        """Run; any error a user can cause ends in one line on stderr."""
        with suppress(AttributeError):  # where Python runs in something that has its own kind of stdout, or none
            sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold what cannot be printed
        try:
            sys.exit(super().main(*args, **kwargs, standalone_mode=False))
        except OptionError as error:
            fail(str(error), 2)
        except click.Abort:
            fail("interrupted", 130)
        except click.ClickException as error:
            fail(error.format_message(), error.exit_code)
        except UserError as error:
            fail(str(error), 1)
        except OSError as error:  # of files where none was to be expected
            fail(f"{error.filename or 'stdout'}: {error.strerror or error}", 1)
        except (MemoryError, RuntimeError) as error:
            if not (isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error))):
                raise
            asked = re.search(r"allocate ([\d.]+ \w+)", str(error))
            fail(f"there is not enough memory{f' for {asked[1]} more' if asked else ''}: take smaller sizes", 1)


class Option(click.Option):
    """An option that knows its group in the help."""

    def __init__(self, *args: Any, group: str, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.group = group


class Argument(click.Argument):
    """An argument that has a line in the help."""

    def __init__(self, *args: Any, about: str, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.about = about


def parameters(options_class: type[Options]) -> list[click.Parameter]:
    """What click has to know of each option. Values stay text here: the options' class reads and checks them."""
    result: list[click.Parameter] = []
    for each, about in described(options_class):
        if each.default is MISSING:
            nargs = -1 if about.many else 1
            result.append(Argument([each.name], metavar=about.metavar, nargs=nargs, required=True, about=about.help))
            continue
        names = [f"-{each.name}", each.name]
        if isinstance(each.default, bool):
            result.append(Option(names, is_flag=True, help=about.help, group=about.group))
            continue
        shown = f"{each.default:g}" if isinstance(each.default, float) else each.default
        help_ = about.help if each.default == "" else f"{about.help}  [default: {shown}]"
        metavar = f"[{'|'.join(about.choices)}]" if about.choices else METAVARS[type(each.default)]
        result.append(Option(names, default=each.default, type=Text(), help=help_, metavar=metavar, group=about.group))
    return result


class Text(click.ParamType):
    """A value as it was typed."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Leave it as it is."""
        return value

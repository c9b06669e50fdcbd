"""Parses command lines with click in the style of Torch's CmdLine: `-rnn_size 128`, grouped help, one-line errors.

    @program(TrainOptions, example="python train.py -rnn_size 256")
    def main(options): ...

`--rnn_size 128` and `-rnn_size=128` mean the same. The name of an on/off option alone means 1: `-json` is `-json 1`.
The exit status is 2 for an invalid option and 1 for any other error.
"""

import atexit
import difflib
import gc
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING
from typing import Any

import click

from charrnn_port import threads
from charrnn_port.options import OptionError, Options, described, lua_number
from charrnn_port.util import progress
from charrnn_port.util.errors import UserError

SIGPIPE = 13
OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory", re.IGNORECASE)  # PyTorch's messages, by device
HELP = ["-help", "-h", "--help"]
METAVARS = {str: "TEXT", int: "INTEGER", float: "NUMBER"}
ON_OFF = "[0|1]"
CHECKPOINTS = (".t7", ".t7.pt", ".safetensors")


def program(options_class: type[Options], example: str) -> Callable[[Callable], "Program"]:
    """Decorate `function(options)` to make it a program, with its docstring as the help. The options are checked."""

    def decorate(function: Callable[[Any], None]) -> Program:
        def call(**values: Any) -> None:
            threads.wait_briefly()
            defer_garbage_collection()
            try:
                function(options_class(**values))
            except BrokenPipeError:  # the reader has ended, as with `| head`: exit as if killed by SIGPIPE
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115  Python flushes stdout when it exits
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


def defer_garbage_collection() -> None:
    """Reduce garbage collection while PyTorch is imported, and skip it at exit.

    Nearly all of PyTorch's objects live until the end, and to scan them takes a third of the time of a short program.
    """
    gc.set_threshold(50_000)  # new objects between two collections
    atexit.register(gc.freeze)


def given_options() -> frozenset[str]:
    """Return the names of the options that the user typed, in a running program."""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    return frozenset(name for name in context.params if context.get_parameter_source(name) is not default)


def command_of(program: str) -> str:
    """Return the command that starts train or sample: `charrnn train` if it was started so, else `python train.py`."""
    context = click.get_current_context(silent=True)
    path = context.command_path if context else ""
    return path if path.endswith(f" {program}") else f"python {program}.py"


def quoted(path: str | os.PathLike) -> str:
    """Return a path as one word of a command line, in quotation marks if it needs them."""
    return subprocess.list2cmdline([path]) if os.name == "nt" else shlex.quote(os.fspath(path))


def fail(message: str, status: int) -> None:
    """Print one line to stderr and exit with this status."""
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(status)


def print_line(line: str) -> None:
    """Print a line to stdout. Raises UserError if it cannot be written, BrokenPipeError if the reader has ended."""
    try:
        with progress.aside():
            click.echo(line)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"stdout: {error.strerror or error}") from error


def log_line(line: str) -> None:
    """Print a line to stderr, about the work and not its result. Ignores errors of writing."""
    with suppress(OSError), progress.aside():
        click.echo(line, err=True)


def log_written(path: str | os.PathLike) -> None:
    """Print to stderr which file was written, and its size."""
    size = os.path.getsize(path)
    shown = f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB" if size >= 1e3 else f"{size} bytes"
    log_line(f"wrote {path}, {shown}")


class Program(click.Command):
    """A click command with Torch's option names, grouped help and one-line errors."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Normalize the spelling of all options, then parse them. Raises UsageError for too many arguments."""
        ctx.allow_extra_args = True  # click's own error does not say what to do
        extra = super().parse_args(ctx, self._spell(ctx, args))
        if extra and extra[0].endswith(CHECKPOINTS):
            raise click.UsageError("several checkpoints given: give one, or their folder for its best one", ctx)
        if extra:
            raise click.UsageError(f"unexpected argument: {extra[0]}; see {ctx.command_path} -help", ctx)
        return extra

    def _spell(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the words with one dash and a separate value for each option. Raises UsageError for an unknown option.

        The value of an on/off option may be missing. So the next word is its value only if it is a number, or if this
        program has no positional arguments that it could be.
        """
        on_off = {param.opts[0]: param.metavar == ON_OFF for param in self.params if isinstance(param, click.Option)}
        positional = any(isinstance(param, Argument) for param in self.params)

        def has_value(rest: list[str]) -> bool:
            return bool(rest) and (is_number(rest[0]) or not (positional or rest[0].startswith("-")))

        spelled, rest = [], list(args)
        while rest:
            word = rest.pop(0)
            name, equals, value = word.partition("=")
            name = "-" + name.lstrip("-")
            if not word.startswith("-") or word == "-" or word in HELP:
                spelled.append(word)
            elif name not in on_off:
                close = difflib.get_close_matches(name, on_off, n=1)
                hint = f"; did you mean {close[0]}?" if close else f"; see {ctx.command_path} -help"
                raise click.UsageError(f"unknown option: {word}{hint}", ctx)
            elif on_off[name] and not equals and not has_value(rest):
                spelled += [name, "1"]
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
        """Print the example, with the command that started this program: an installed package has no train.py."""
        name = ctx.command_path.rpartition(" ")[2]
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text((self.epilog or "").replace(f"python {name}.py", command_of(name)))

    def main(self, *args: Any, **kwargs: Any) -> None:
        """Run the program. Any error that a user can cause is printed as one line to stderr."""
        with suppress(AttributeError):  # stdout may be of another type, or None
            sys.stdout.reconfigure(errors="backslashreplace")  # file names may be unprintable
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
        except OSError as error:  # of a file whose errors nothing else handles
            fail(f"{error.filename or 'stdout'}: {error.strerror or error}", 1)
        except (MemoryError, RuntimeError) as error:
            if not (isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error))):
                raise
            asked = re.search(r"allocate ([\d.]+ \w+)", str(error))
            fail(f"out of memory: {f'cannot allocate {asked[1]}; ' if asked else ''}use smaller sizes", 1)


class Option(click.Option):
    """A click option with its group in the help."""

    def __init__(self, *args: Any, group: str, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.group = group


class Argument(click.Argument):
    """A click argument with a line in the help."""

    def __init__(self, *args: Any, about: str, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.about = about


def parameters(options_class: type[Options]) -> list[click.Parameter]:
    """Return the click parameters of an options class. Values stay text: the options class parses and checks them."""
    result: list[click.Parameter] = []
    for each, about in described(options_class):
        if about.metavar:
            rest: dict[str, Any] = {"required": each.default is MISSING, "nargs": -1 if about.many else 1}
            if not (about.many or rest["required"]):  # several have the default (), and click 8.2 allows no other
                rest["default"] = each.default
            result.append(Argument([each.name], metavar=about.metavar, about=about.help, **rest))
            continue
        names = [f"-{each.name}", each.name]
        shown = f"{each.default:g}" if isinstance(each.default, float) else each.default
        help_ = about.help if each.default in ("", ()) else f"{about.help}  [default: {shown}]"
        kind = str if about.many else type(each.default)
        metavar = f"[{'|'.join(about.choices)}]" if about.choices else METAVARS[kind]
        metavar = ON_OFF if about.on_off else metavar
        shape = {"default": each.default, "type": Text(), "multiple": about.many}
        result.append(Option(names, help=help_, metavar=metavar, group=about.group, **shape))
    return result


def is_number(word: str) -> bool:
    """Return whether a word of the command line is a number."""
    try:
        return lua_number(word) is not None
    except ValueError:
        return False


class Text(click.ParamType):
    """The type of a value that stays as it was typed."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value unchanged."""
        return value

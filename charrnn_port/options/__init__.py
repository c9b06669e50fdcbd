"""Defines every option once: its name, type, default, bounds, group in the help, and what it does.

    options = TrainOptions(rnn_size=64)             # from Python; an invalid value raises OptionError
    options = TrainOptions(**{"rnn_size": "64"})    # from a command line or a file: text is read as Lua reads it

These classes define the command line and -help (command_line.py), docs/options.md (a test compares it), which options
may be given beside -resume, and how options from a checkpoint are checked. To add an option, write a field with its
default, help, group, consequence and bounds. Nothing here imports torch, so that -help is printed at once.

- Options, argument, option, switch: the base class of options, and the fields in it
- OptionError: an option has an invalid value
- described: the description of a field; lua_number: a number as Lua reads it
- with_known_names: makes a function refuse unknown keyword arguments with the nearest option's name
- TrainOptions, SampleOptions and one class for each verb
- BENCHMARKS: the tables of `charrnn benchmark`
"""

from charrnn_port.options.fields import (
    AnyOptions,
    OptionError,
    Options,
    argument,
    described,
    lua_number,
    option,
    switch,
    with_known_names,
)
from charrnn_port.options.reports import (
    BenchmarkOptions,
    CompareOptions,
    CopiedOptions,
    EvaluateOptions,
    InspectOptions,
    LookOptions,
    PlotOptions,
    ScoreOptions,
    SearchOptions,
    SplitOptions,
    TraceOptions,
    VerifyOptions,
)
from charrnn_port.options.sampling import SampleOptions
from charrnn_port.options.shared import BENCHMARKS
from charrnn_port.options.sharing import ConvertOptions, ExportOptions, LessonOptions, ServeOptions
from charrnn_port.options.training import TrainOptions

__all__ = [
    "BENCHMARKS",
    "AnyOptions",
    "BenchmarkOptions",
    "CompareOptions",
    "ConvertOptions",
    "CopiedOptions",
    "EvaluateOptions",
    "ExportOptions",
    "InspectOptions",
    "LessonOptions",
    "LookOptions",
    "OptionError",
    "Options",
    "PlotOptions",
    "SampleOptions",
    "ScoreOptions",
    "SearchOptions",
    "ServeOptions",
    "SplitOptions",
    "TraceOptions",
    "TrainOptions",
    "VerifyOptions",
    "argument",
    "described",
    "lua_number",
    "option",
    "switch",
    "with_known_names",
]

"""Prints docs/options.md: `python docs/options.py > docs/options.md`. A test compares them."""

from charrnn_port.option_fields import Options, described
from charrnn_port.options import (
    BenchmarkOptions,
    CompareOptions,
    ConvertOptions,
    EvaluateOptions,
    ExportOptions,
    InspectOptions,
    LookOptions,
    PlotOptions,
    SampleOptions,
    ScoreOptions,
    ServeOptions,
    TraceOptions,
    TrainOptions,
    VerifyOptions,
)

INTRODUCTION = """\
# Options

Names, defaults and the single dash are the original's; `--rnn_size 128` and `-rnn_size=128` work too. `-help` after
any program lists its options. Numbers are read as Lua reads them: `1e3`, `1000` and `0x3e8` are the same.

Options marked with a * are part of a run's identity: another value changes its numbers. So beside `-resume` they
cannot be given another value than the run has; all others can.

Errors are one line on stderr. The exit status is 2 for a wrong option, 3 for a loss that explodes, 1 for anything
else, and 128 + the signal's number for a run that was interrupted and saved (130, 143; 141 after `| head`).

This page is made from `charrnn_port/options.py` by `python docs/options.py`."""

PROGRAMS = {
    "python train.py, charrnn train": TrainOptions,
    "python sample.py, charrnn sample": SampleOptions,
    "charrnn inspect": InspectOptions,
    "charrnn compare": CompareOptions,
    "charrnn plot": PlotOptions,
    "charrnn evaluate": EvaluateOptions,
    "charrnn convert": ConvertOptions,
    "charrnn export": ExportOptions,
    "charrnn benchmark": BenchmarkOptions,
    "charrnn verify": VerifyOptions,
    "charrnn score": ScoreOptions,
    "charrnn trace": TraceOptions,
    "charrnn look": LookOptions,
    "charrnn serve": ServeOptions,
}


def main() -> None:
    """Print the whole page."""
    print(INTRODUCTION)
    for title, options_class in PROGRAMS.items():
        print(f"\n## {title}\n\n{table(options_class)}")


def table(options_class: type[Options]) -> str:
    """A row for each option: name, default, range, what it is and what happens if you change it."""
    rows = ["| option | default | | |", "| --- | --- | --- | --- |"]
    for each, about in described(options_class):
        if about.metavar:
            rows.append(f"| `{about.metavar}` | | | {about.help} |")
            continue
        star = " *" if about.resume_locked else ""
        shown = f"{each.default:g}" if isinstance(each.default, float) else str(each.default)
        default = "" if shown in ("", "False") else f"`{shown}`"
        allowed = ", ".join(about.choices) or about.range()
        rows.append(f"| `-{each.name}`{star} | {default} | {allowed} | {about.help}. {about.consequence} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()

"""Prints docs/options.md: `python docs/options.py > docs/options.md`. A test compares the two."""

from charrnn_port.options import (
    BenchmarkOptions,
    CompareOptions,
    ConvertOptions,
    CopiedOptions,
    EvaluateOptions,
    ExportOptions,
    InspectOptions,
    LessonOptions,
    LookOptions,
    Options,
    PlotOptions,
    SampleOptions,
    ScoreOptions,
    SearchOptions,
    ServeOptions,
    SplitOptions,
    TraceOptions,
    TrainOptions,
    VerifyOptions,
    described,
)

INTRODUCTION = """\
# Options

This page lists all options of all programs. `-help` after a program lists its own:

```console
python train.py -help
charrnn score -help
```

Names, defaults and the single dash are the original's. `--rnn_size 128` and `-rnn_size=128` work too.

Numbers are parsed as in Lua: `1e3`, `1000` and `0x3e8` are the same. On/off options are exactly `0` or `1`; the name
alone means 1, so that `-json` is `-json 1`.

An option with a * cannot be changed with `-resume`, because another value would change the numbers of the run.

Errors are one line on stderr. The exit status is 2 for an invalid option, 3 for a loss that diverged, and 1 for any
other error. A run that was interrupted and saved exits with 128 + the number of the signal (130, 143; 141 after
`| head`).

`python docs/options.py` generates this page from `charrnn_port/options/`."""

PROGRAMS = {
    "python train.py, charrnn train": TrainOptions,
    "python sample.py, charrnn sample": SampleOptions,
    "charrnn inspect": InspectOptions,
    "charrnn compare": CompareOptions,
    "charrnn plot": PlotOptions,
    "charrnn search": SearchOptions,
    "charrnn evaluate": EvaluateOptions,
    "charrnn convert": ConvertOptions,
    "charrnn export": ExportOptions,
    "charrnn benchmark": BenchmarkOptions,
    "charrnn verify": VerifyOptions,
    "charrnn split": SplitOptions,
    "charrnn score": ScoreOptions,
    "charrnn copied": CopiedOptions,
    "charrnn trace": TraceOptions,
    "charrnn look": LookOptions,
    "charrnn serve": ServeOptions,
    "charrnn lesson": LessonOptions,
}


def main() -> None:
    """Print the page."""
    print(INTRODUCTION)
    for title, options_class in PROGRAMS.items():
        print(f"\n## {title}\n\n{table(options_class)}")


def table(options_class: type[Options]) -> str:
    """Return a Markdown table with a row for each option: name, default, range, help and consequence."""
    rows = ["| option | default | | |", "| --- | --- | --- | --- |"]
    for each, about in described(options_class):
        if about.metavar:
            rows.append(f"| `{about.metavar}` | | | {about.help} |")
            continue
        star = " *" if about.resume_locked else ""
        shown = f"{each.default:g}" if isinstance(each.default, float) else str(each.default)
        shown = "" if about.many else shown
        default = f"`{shown}`" if shown else ""
        allowed = "0, 1" if about.on_off else ", ".join(about.choices) or about.range()
        rows.append(f"| `-{each.name}`{star} | {default} | {allowed} | {about.help}. {about.consequence} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()

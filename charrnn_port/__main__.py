"""Runs all programs under one name: `charrnn VERB`, or `python -m charrnn_port VERB`. See `charrnn VERB -help`.

Each verb imports its code only when it is called, because torch takes seconds and -help should not.
"""

import difflib
import os
import sys
from pathlib import Path

import charrnn_port
from charrnn_port.command_line import HELP, Program, fail, print_line, program
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
    PlotOptions,
    ScoreOptions,
    SearchOptions,
    ServeOptions,
    SplitOptions,
    TraceOptions,
    VerifyOptions,
)
from charrnn_port.util.errors import UserError


@program(InspectOptions, example="charrnn inspect lm_lstm_epoch30.00_1.3950.t7")
def inspect(options: InspectOptions) -> None:
    """Print what is in a checkpoint."""
    from charrnn_port.reports.inspect import inspect

    inspect(options)


@program(CompareOptions, example="charrnn compare lua.log cv/lm_lstm_epoch2.36_1.7668.t7.pt")
def compare(options: CompareOptions) -> None:
    """Compare two runs: equal, equal up to rounding, or different."""
    from charrnn_port.reports.compare import compare

    compare(options)


@program(PlotOptions, example="charrnn plot cv old.log -o curves.png")
def plot(options: PlotOptions) -> None:
    """Plot the training and validation losses of runs."""
    from charrnn_port.reports.plot import plot

    plot(options)


@program(SearchOptions, example="charrnn search -config space.yaml -minutes 60 -o search")
def search(options: SearchOptions) -> None:
    """Search for the best training options: hyperparameter search."""
    from charrnn_port.reports.search import search

    search(options)


@program(EvaluateOptions, example="charrnn evaluate cv -split test")
def evaluate(options: EvaluateOptions) -> None:
    """Report cross-entropy, perplexity and accuracy on a data set."""
    from charrnn_port.reports.evaluate import evaluate

    evaluate(options)


@program(ConvertOptions, example="charrnn convert lm_lstm_epoch30.00_1.3950.t7 lm_lstm.t7.pt")
def convert(options: ConvertOptions) -> None:
    """Convert a checkpoint: Torch7 (.t7), PyTorch (.t7.pt), safetensors."""
    from charrnn_port.sharing.convert import convert

    convert(options)


@program(ExportOptions, example="charrnn export cv/lm_lstm_epoch26.00_1.3956.t7.pt page.html")
def export(options: ExportOptions) -> None:
    """Export a network: HTML page, JavaScript, ONNX, TorchScript, ..."""
    from charrnn_port.sharing.export import export

    export(options)


@program(BenchmarkOptions, example="charrnn benchmark -sizes 128x2 -repeats 20 -json speed.json")
def benchmark(options: BenchmarkOptions) -> None:
    """Time training and sampling; compare with nn.LSTM and the hardware."""
    if options.load:
        from charrnn_port.reports.benchmark.contention import time_contention

        time_contention(options)
        return
    if options.serve:
        from charrnn_port.reports.benchmark.serving import time_serving

        time_serving(options)
        return
    from charrnn_port.reports.benchmark import benchmark

    benchmark(options)


@program(VerifyOptions, example="charrnn verify -gpuid -1 -json verified.json")
def verify(options: VerifyOptions) -> None:
    """Verify the original's digits, samples and files on this machine."""
    from charrnn_port.reports.verify import verify

    verify(options)


@program(SplitOptions, example="charrnn split cv -o data/tinyshakespeare/split")
def split(options: SplitOptions) -> None:
    """Write a run's training, validation and test text to files."""
    from charrnn_port.reports.split import split

    split(options)


@program(ScoreOptions, example="charrnn score cv/lm_lstm_epoch26.00_1.3956.t7.pt my_text.txt -lines 1")
def score(options: ScoreOptions) -> None:
    """Score texts under one or several networks: cross-entropy, heatmap."""
    from charrnn_port.reports.score import score

    score(options)


@program(CopiedOptions, example="charrnn copied cv/lm_lstm_epoch26.00_1.3956.t7.pt sample.txt -o copied.html")
def copied(options: CopiedOptions) -> None:
    """Find what samples copied from the training text (memorization)."""
    from charrnn_port.reports.copied import copied

    copied(options)


@program(TraceOptions, example="charrnn trace cv/lm_lstm_epoch26.00_1.3956.t7.pt my_text.txt -o trace.h5")
def trace(options: TraceOptions) -> None:
    """Record states, gates and predictions on a text, as HDF5."""
    from charrnn_port.reports.trace import trace

    trace(options)


@program(ServeOptions, example="charrnn serve cv -port 8000")
def serve(options: ServeOptions) -> None:
    """Serve texts over HTTP with an OpenAI-compatible API."""
    from charrnn_port.sharing.serve import serve

    serve(options)


@program(LookOptions, example="charrnn look cv/lm_lstm_epoch26.00_1.3956.t7.pt my_text.txt -o look.html")
def look(options: LookOptions) -> None:
    """Visualize what a network's units respond to: HTML page or figure."""
    from charrnn_port.reports.look import look

    look(options)


@program(LessonOptions, example="charrnn lesson lesson.html")
def lesson(options: LessonOptions) -> None:
    """Write a web page for a class that trains a network in the browser."""
    from charrnn_port.sharing.lesson import write_lesson

    write_lesson(options)


def verbs() -> dict[str, Program]:
    """Return all programs by name. The first two are train.py and sample.py."""
    from charrnn_port.programs import sample, train

    return {
        "train": train.main,
        "sample": sample.main,
        "inspect": inspect,
        "compare": compare,
        "plot": plot,
        "search": search,
        "convert": convert,
        "export": export,
        "benchmark": benchmark,
        "verify": verify,
        "evaluate": evaluate,
        "split": split,
        "score": score,
        "copied": copied,
        "trace": trace,
        "look": look,
        "serve": serve,
        "lesson": lesson,
    }


def main() -> None:
    """Run the verb, or list all verbs: with `help VERB` those of its options, and with status 2 if there is no verb."""
    name = "python -m charrnn_port" if Path(sys.argv[0]).name == "__main__.py" else "charrnn"
    verb, *arguments = sys.argv[1:] or [""]
    known = verbs()
    if verb == "help" and arguments:
        verb, arguments = arguments[0], ["-help"]
    if sys.stdout is None and verb not in ("train", "sample"):  # closed; click would discard the result in silence
        sys.stdout = open(os.devnull)  # noqa: SIM115  opened for reading: writing to it raises an OSError
    if verb in known:
        known[verb](arguments, prog_name=f"{name} {verb}")
    elif verb in ("help", *HELP, "-version", "--version"):
        text = f"charrnn_port {charrnn_port.__version__}" if "version" in verb else overview(name, known)
        try:
            print_line(text)
        except UserError as error:
            fail(str(error), 1)
    elif not verb:
        print(overview(name, known), file=sys.stderr)
        sys.exit(2)
    else:
        close = difflib.get_close_matches(verb, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}; see {name} -help"
        fail(f"unknown verb: {verb}; {hint}", 2)


def overview(name: str, known: dict[str, Program]) -> str:
    """Return the help of the command `name`: a line for each verb."""
    lines = [f"  {verb:10}  {its_program.get_short_help_str(120)}" for verb, its_program in known.items()]
    usage = [f"Usage: {name} VERB [OPTIONS]", ""]
    return "\n".join(
        [*usage, *lines, "", f"{name} VERB -help lists the options of a verb.", f"{name} -version prints the version."]
    )


if __name__ == "__main__":
    main()

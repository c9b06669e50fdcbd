"""Defines the options of the verbs that report on a network, a text or a machine."""

from dataclasses import dataclass

from charrnn_port.options.fields import OptionError, Options, argument, option, switch
from charrnn_port.options.shared import (
    BACKENDS,
    BENCHMARKS,
    dtype_option,
    gpuid_option,
    json_option,
    model_argument,
    seed_option,
    split_option,
    unknown_option,
)

# fmt: off


@dataclass(frozen=True)
class InspectOptions(Options):
    """The options of `charrnn inspect`."""

    file: str = model_argument()
    json: int = json_option()


@dataclass(frozen=True)
class EvaluateOptions(Options):
    """The options of `charrnn evaluate`."""

    model: str = model_argument()
    split: str = option(
        "val", "which part of the text, split as in the run; all = the whole text", "text",
        "val gives the run's validation loss; test is what -train_frac and -val_frac leave over; use all for another "
        "text.",
        choices=("train", "val", "test", "all"),
    )
    data_dir: str = option(
        "", "data directory with the file input.txt; default: the run's", "text",
        "All its characters must be in the network's vocabulary.",
    )
    batch_size: int = option(
        0, "number of sequences in parallel, 0 = as in the run", "text",
        "Each sequence begins with an empty state. With 1, each character has all preceding text as context, which "
        "takes longer. Another value splits the text at other places.",
        minimum=0,
    )
    seq_length: int = option(
        0, "number of characters at once, 0 = as in the run", "text",
        "A smaller number takes less memory; the state is carried from batch to batch. Another value splits the text "
        "at other places.",
        minimum=0,
    )
    gpuid: int = gpuid_option()
    dtype: str = dtype_option(
        "auto", "In another precision than the run's, the loss differs from the recorded one by rounding.",
        "floating-point type to compute in; auto = that of the parameters", "GPU/CPU",
    )
    cell: str = option(
        "auto", "execution backend of the cells, as in train.py; identical results", "GPU/CPU",
        "auto is the fastest.",
        choices=("auto", *BACKENDS),
    )
    torch7: str = option(
        "auto", "which Torch7's log-softmax, on a CPU: 2015 = until April 2016. auto = the run's", "GPU/CPU",
        "A .t7 file does not record it, and 2017 is assumed. Files from before April 2016 need 2015 to give the loss "
        "that they record.",
        choices=("auto", "2015", "2017"),
    )
    json: int = json_option()


@dataclass(frozen=True)
class CompareOptions(Options):
    """The options of `charrnn compare`."""

    a: str = argument("A", "a run: a log of train.py or train.lua, a CSV file, a checkpoint; of a folder, the newest")
    b: str = argument("B", "another run")
    json: int = json_option("Prints one object to stdout instead of tables.")


@dataclass(frozen=True)
class PlotOptions(Options):
    """The options of `charrnn plot`."""

    runs: tuple[str, ...] = argument(
        "RUN...", "runs: logs of train.py or train.lua, CSV files, checkpoints; of a folder, the newest", many=True
    )
    o: str = option(
        "curves.png", "the file to write: .png, .svg or .pdf", "result",
        "The extension chooses the format.",
    )
    x: str = option(
        "epochs", "the horizontal axis", "result",
        "iterations compares steps; epochs compares how much text was read.",
        choices=("epochs", "iterations"),
    )


@dataclass(frozen=True)
class SearchOptions(Options):
    """The options of `charrnn search`."""

    config: str = option(
        "", "the space: a YAML file with a value, a list or a range for options of train.py", "what to try",
        "More options need more configurations. See docs/training.md.",
    )
    configurations: int = option(
        27, "number of random configurations", "what to try",
        "More find better ones and take longer; with a larger number, the same command continues a finished search.",
        minimum=1,
    )
    epochs: int = option(
        1, "epochs of each configuration in the first rung; each further rung has three times as many", "what to try",
        "More make the first selection more reliable.",
        minimum=1,
    )
    seed: int = seed_option("Another seed draws other configurations. The runs have their own -seed.", "what to try")
    minutes: float = option(
        60.0, "stop after this many minutes", "how long",
        "Runs in progress are saved, and the same command continues.",
        above=0,
    )
    jobs: int = option(
        0, "number of runs at once, each with one thread; 0 = number of cores", "how long",
        "Lower it if memory is short. Results do not depend on it.",
        minimum=0,
    )
    o: str = option(
        "search", "the folder for the runs, best.yaml, curves.png and search.json", "result",
        "Each run has a folder in it, which stands for its best checkpoint.",
    )
    json: int = json_option()


@dataclass(frozen=True)
class BenchmarkOptions(Options):
    """The options of `charrnn benchmark`."""

    sizes: str = option(
        "128x2,256x2,512x3", "networks, as rnn_size x num_layers; the largest also at batch 100", "what to time",
        "Fewer or smaller networks take less time.",
    )
    tables: str = option(
        ",".join(BENCHMARKS), "which tables, separated by commas", "what to time",
        "training takes most of the time.",
    )
    repeats: int = option(
        10, "timed iterations of each kind", "what to time",
        "More make the medians more stable.",
        minimum=3,
    )
    device: str = option(
        "cpu", "cpu, cuda or mps", "where",
        "The device to time.",
        choices=("cpu", "cuda", "mps"),
    )
    threads: int = option(
        0, "CPU threads, 0 = PyTorch's default", "where",
        "1 measures a single core.",
        minimum=0,
    )
    load: int = option(
        0, "time training beside N busy processes and beside a second training; 0 = off", "what to time",
        "Measures contention on a busy machine. Times the first of -sizes, and nothing else.",
        minimum=0,
    )
    serve: int = option(
        0, "time `charrnn serve` with N concurrent texts; 0 = off", "what to time",
        "Compares its texts with sample.py's and measures memory. Times the first of -sizes, and nothing else.",
        minimum=0,
    )
    json: str = option(
        "", "also write all results to this JSON file", "result",
        "It has every single time, in seconds.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.tables.split(","):
            if name not in BENCHMARKS:
                raise OptionError(f"-tables: {name!r} is not one of {', '.join(BENCHMARKS)}")


@dataclass(frozen=True)
class VerifyOptions(Options):
    """The options of `charrnn verify`."""

    cell: str = option(
        "auto", "execution backend, as in train.py; plain and script take much longer", "what to verify",
        "Repeats the recorded runs with this backend, and small networks with every backend that is available. auto "
        "includes persistent where it is available.",
        choices=("auto", *(backend for backend in BACKENDS if backend != "persistent")),
    )
    dtype: str = dtype_option(
        "auto", "float64 must give the original's digits; float32 losses must agree within rounding.",
        "floating-point type to compute in, as in train.py", "what to verify",
    )
    gpuid: int = gpuid_option("Random streams and files are always checked on the CPU.", "what to verify")
    json: str = option(
        "", "also write all results to this JSON file", "result",
        "It has every comparison, with its measured values and its tolerance.",
    )


@dataclass(frozen=True)
class ScoreOptions(Options):
    """The options of `charrnn score`."""

    checkpoint: str = model_argument()
    files: tuple[str, ...] = argument(
        "[FILE...]", "texts to score, - for stdin; checkpoints before them are compared as well",
        many=True, optional=True,
    )
    split: str = split_option("val gives the run's validation loss.")
    lines: int = switch(
        0, "1 = also score each line, the most surprising first", "result",
        "All lines are kept for sorting, so that memory grows with the text.",
    )
    heat: int = switch(
        0, "1 = print the text as a heatmap, colored by how surprising each character is", "result",
        "Needs a terminal. With NO_COLOR, it uses underlines and bold only.",
    )
    json: int = json_option("Prints one object, or a list of them for several texts or checkpoints.")
    csv: int = switch(
        0, "1 = print a CSV row for each character: log-probability, rank, entropy", "result",
        "In nats; rank 1 is the most likely character. For one checkpoint and one text.",
    )
    dynamic: float = option(
        0.0, "dynamic evaluation: learn from the scored text at this learning rate; 0 = off", "reading",
        "Texts that differ from the training text, or repeat themselves, become less surprising; try 0.0003. The "
        "checkpoint does not change.",
        minimum=0, maximum=1,
    )
    unknown: str = unknown_option(
        "With skip, the text is scored without them; with several checkpoints, without those that any one lacks."
    )
    dtype: str = dtype_option(
        "auto", "float32 is faster, with 7 digits.", "auto = float64 on CPU, float32 on GPU", "GPU/CPU"
    )
    gpuid: int = gpuid_option("A text is read one character at a time: a GPU is faster for large networks only.")


@dataclass(frozen=True)
class SplitOptions(Options):
    """The options of `charrnn split`."""

    model: str = model_argument()
    file: str = argument("[FILE]", "the text to split as in the run; by default the run's", optional=True)
    o: str = option(
        "split", "the folder for train.txt, val.txt and test.txt, those that are not empty", "result",
        "It is created if it does not exist. Existing files are replaced.",
    )


@dataclass(frozen=True)
class TraceOptions(Options):
    """The options of `charrnn trace`."""

    checkpoint: str = model_argument()
    file: str = argument("[FILE]", "the text to read, - for stdin", optional=True)
    split: str = split_option("With val, what the run held out of its text.")
    o: str = option(
        "", "the HDF5 file to write, such as trace.h5", "result",
        "The write is atomic: the file is complete or absent.",
    )
    layers: str = option(
        "", "which layers, from 1, such as 1,2 or 1-3; default: all", "what to keep",
        "Fewer make a smaller file.",
    )
    units: str = option(
        "", "which units of each layer, from 0, such as 0-9,131; default: all", "what to keep",
        "Fewer make a smaller file.",
    )
    gates: str = option(
        "", "which gates and parts of the state, such as c,forget; default: all", "what to keep",
        "lstm: in, forget, out, transform, c, h; gru: update, reset, candidate, h; rnn: h.",
    )
    connectivity: int = option(
        0, "also store what each prediction rests on, among the N characters before it; 0 = off", "what to keep",
        "The gradient of the character's log-probability by each of their one-hot inputs, times that input. The time "
        "grows with N.",
        minimum=0, maximum=10000,
    )
    unknown: str = unknown_option("With skip, the text is read without them.")
    dtype: str = dtype_option(
        "float64", "float32 takes half the space, with 7 digits.", "floating-point type to compute in and to write"
    )


@dataclass(frozen=True)
class LookOptions(Options):
    """The options of `charrnn look`."""

    checkpoint: str = model_argument()
    file: str = argument("[FILE]", "the text to read, - for stdin; preferably not the training text", optional=True)
    split: str = split_option("With val, units are looked for in what the run held out of its text.")
    o: str = option(
        "look.html", "the file to write: .html for a page, .svg or .png for a figure of one unit", "result",
        "The page is a single file without dependencies. The write is atomic: the file is complete or absent.",
    )
    length: int = option(
        20000, "number of characters to read, from the beginning of the text or split", "reading",
        "More find rarer patterns and make a larger page, which shows fewer units.",
        minimum=2, maximum=200000,
    )
    units: str = option(
        "", "units to show, by layer (from 1) and unit (from 0): 2:131,1:5; one for a figure", "result",
        "By default, the page shows the most informative units first, up to its size limit.",
    )
    other: str = option(
        "", "another checkpoint to compare with on the same text, for a page", "result",
        "The page shows where one of the two predicts better, and which of their units correspond.",
    )
    checkpoints: int = option(
        0, "over training: compare at most this many checkpoints of the run in a folder, such as 8; 0 = off", "result",
        "They are evenly spaced. A slider colors the text by a unit, or by surprise, at each of them, and a table has "
        "the first that predicts each property above chance. Each is read and searched, which takes time.",
        minimum=0, maximum=100,
    )
    part: str = option(
        "", "for a figure: the gate or part of the state to show, such as c, h or forget", "result",
        "By default, the most informative part of the state.",
    )
    passage: str = option(
        "0-640", "for a figure: the range of characters to show, without the last", "result",
        "All of -length is read, so that the state there is the same as on the page.",
    )
    label: tuple[str, ...] = option(
        (), "a property of your own, NAME=REGEX, such as 'url=https?://\\S+'; may be repeated", "properties",
        "It holds at each character of a match. Units and a linear probe that predict it are reported above chance, as "
        "for the other properties.",
        many=True,
    )
    labels: str = option(
        "", "a file with a label for each character, word or line of the text that is read, one a line", "properties",
        "0 and 1 are a yes-or-no property, other numbers a number; of words, each is a property.",
    )
    unknown: str = unknown_option("With skip, the text is read without them.")
    dtype: str = dtype_option("float32", "float64 takes longer; the page stores 8 bits of each value.")


@dataclass(frozen=True)
class CopiedOptions(Options):
    """The options of `charrnn copied`."""

    model: str = model_argument()
    samples: tuple[str, ...] = argument("SAMPLE...", "sampled texts, - for stdin", many=True)
    text: str = option(
        "", "the file of the training text; default: input.txt in the run's data_dir", "text",
        "If it is the text that the run was trained on, it is split as in the run; any other text is compared whole.",
    )
    least: int = option(
        20, "list passages of at least this many bytes", "result",
        "Lower values list more passages, which chance explains. The shares in the table stay the same.",
        minimum=1,
    )
    show: int = switch(
        0, "1 = print the samples with these passages in color", "result",
        "Needs a terminal. With NO_COLOR, it underlines them only. The tables go to stderr.",
    )
    o: str = option(
        "", "also write this HTML page, which marks the passages in the samples", "result",
        "A marked passage shows where it is in the training text. The write is atomic: the file is complete or absent.",
    )
    seed: int = seed_option("Another seed gives another random text to compare with.", "text")
    json: int = json_option("Prints one object with all passages.")

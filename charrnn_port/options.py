"""Defines every option once: its name, type, default, bounds, group in the help, and what it does.

    options = TrainOptions(rnn_size=64)             # from Python; an invalid value raises OptionError
    options = TrainOptions(**{"rnn_size": "64"})    # from a command line or a file: text is read as Lua reads it

These classes define the command line and -help (command_line.py), docs/options.md (a test compares it), which options
may be given beside -resume, and how options from a checkpoint are checked. To add an option, write a field with its
default, help, group, consequence and bounds. Options that several programs share are functions at the top. Nothing here
imports torch, so that -help is printed at once.
"""

import os
from dataclasses import dataclass
from typing import Any

from charrnn_port.option_fields import OptionError, Options, argument, option, switch

CELLS = ("lstm", "gru", "rnn")
BACKENDS = ("plain", "script", "fused", "compiled", "persistent")  # see model/__init__.py
DTYPES = ("float64", "float32")
MIXED = ("bfloat16", "float16")  # mixed precision: float32, with matrix products in this type
BENCHMARKS = ("training", "parts", "evaluation", "sampling", "start", "preprocessing")  # in the order of the tables
CHECKPOINT = "a checkpoint of train.py, the Lua original or torch-rnn; of a folder, its best one"
# fmt: off


# Options and arguments that several programs share.


def model_argument(help: str = CHECKPOINT) -> Any:
    """Return the field of a checkpoint to read."""
    return argument("MODEL", help)


def gpuid_option(
    consequence: str = "Without a GPU, falls back to the CPU with a warning; -1 forces the CPU.", group: str = "GPU/CPU"
) -> Any:
    """Return the field of -gpuid."""
    return option(0, "which GPU to use, CUDA or else MPS. -1 = use CPU", group, consequence)


def opencl_option(**rest: Any) -> Any:
    """Return the field of -opencl, which the original has and PyTorch has not."""
    return switch(
        0, "accepted as in the original, but PyTorch has no OpenCL: 1 = use CPU", "GPU/CPU",
        "1 has the same effect as -gpuid -1.", **rest,
    )


def seed_option(consequence: str, group: str, **rest: Any) -> Any:
    """Return the field of -seed."""
    return option(123, "random number generator's seed", group, consequence, **rest)


def dtype_option(
    default: str, consequence: str, help: str = "floating-point type to compute in", group: str = "reading"
) -> Any:
    """Return the field of -dtype, of programs that read a network; `auto` is a choice where it is the default."""
    return option(default, help, group, consequence, choices=DTYPES if default in DTYPES else (default, *DTYPES))


def unknown_option(
    consequence: str, help: str = "characters that are not in the vocabulary: error = stop, skip = leave them out",
    group: str = "reading",
) -> Any:
    """Return the field of -unknown."""
    return option("error", help, group, consequence, choices=("error", "skip"))


def json_option(consequence: str = "Prints one object to stdout instead of a table.") -> Any:
    """Return the field of -json, of programs that print a table."""
    return switch(0, "1 = print JSON instead of a table", "result", consequence)


@dataclass(frozen=True)
class TrainOptions(Options):
    """The options of train.py: the original's in its order, then those of this port."""

    data_dir: str = option(
        "data/tinyshakespeare",
        "data directory. Should contain the file input.txt with input data",
        "data",
        "The network learns the text in input.txt. A cache, data.h5, is written beside it, or to your cache folder if "
        "that folder is read-only. With -resume, it may be any folder with the same text.",
    )
    rnn_size: int = option(
        128, "size of the cell's internal state", "model params",
        "A larger state learns more and overfits sooner; use more for texts of several MB. Time grows with its square.",
        resume_locked=True, minimum=1,
    )
    num_layers: int = option(
        2, "number of layers of cells", "model params",
        "2 or 3 work best. Time grows in proportion.",
        resume_locked=True, minimum=1,
    )
    model: str = option(
        "lstm", "which cell", "model params",
        "lstm learns best; gru takes three quarters of its time; rnn remembers only about ten characters.",
        resume_locked=True, choices=CELLS,
    )
    learning_rate: float = option(
        2e-3, "learning rate", "optimization",
        "Halve it if the loss diverges or fluctuates.",
        resume_locked=True, minimum=0,
    )
    learning_rate_decay: float = option(
        0.97, "factor on the learning rate after an epoch", "optimization",
        "A smaller factor ends learning earlier; 1 keeps the rate constant.",
        resume_locked=True, minimum=0,
    )
    learning_rate_decay_after: float = option(
        10.0, "in number of epochs, when to start decaying the learning rate", "optimization",
        "Lower it together with -max_epochs.",
        resume_locked=True,
    )
    decay_rate: float = option(
        0.95, "decay rate for rmsprop", "optimization",
        "How long RMSprop averages squared gradients: 0.95 is about 20 iterations. Values above 1 produce NaN.",
        resume_locked=True, minimum=0,
    )
    dropout: float = option(
        0.0, "dropout after each hidden layer, 0 = none; try 0.5 if it overfits", "optimization",
        "Try 0.5 if the validation loss is far above the training loss. Learning then takes longer.",
        resume_locked=True, minimum=0, below=1,
    )
    seq_length: int = option(
        50, "number of timesteps to unroll for", "optimization",
        "Length of truncated backpropagation through time, in characters. Memory and time per iteration grow in "
        "proportion.",
        resume_locked=True, minimum=1,
    )
    batch_size: int = option(
        50, "number of sequences to train on in parallel", "optimization",
        "A larger batch makes an epoch faster, with fewer updates in it.",
        resume_locked=True, minimum=1,
    )
    max_epochs: float = option(
        50.0, "number of full passes through the training data, may be a fraction", "optimization",
        "Training stops after it. With -resume, it may be raised.",
        above=0,
    )
    grad_clip: float = option(
        5.0, "clip gradients at this value", "optimization",
        "Clips each element of the gradient to ± this value. Lower it if the loss diverges.",
        resume_locked=True, above=0,
    )
    train_frac: float = option(
        0.95, "fraction of data that goes into train set", "optimization",
        "The training set is the beginning of each of the batch_size rows that the text is laid out in, not of the "
        "text.",
        resume_locked=True, minimum=0, maximum=1,
    )
    val_frac: float = option(
        0.05, "fraction that goes into validation set; the rest is test", "optimization",
        "The validation loss is measured on it. What both fractions leave over is the test set.",
        resume_locked=True, minimum=0, maximum=1,
    )
    init_from: str = option(
        "", "initialize network parameters from checkpoint at this path", "optimization",
        "Starts a new run with a checkpoint's parameters and sizes. The vocabulary must be the same, unless -vocab "
        "is merge. Of a folder, it takes the best checkpoint.",
        resume_locked=True,
    )
    seed: int = seed_option(
        "Another seed starts from other parameters and gives similar losses.", "bookkeeping", resume_locked=True
    )
    print_every: int = option(
        1, "how many steps/minibatches between printing out the loss", "bookkeeping",
        "A larger number prints fewer lines.",
        minimum=1,
    )
    eval_val_every: int = option(
        1000, "every how many iterations to evaluate on validation data and save", "bookkeeping",
        "A smaller number saves more often. It changes the run, because training continues from the state that an "
        "evaluation leaves behind (see docs/quirks.md).",
        resume_locked=True, minimum=1,
    )
    checkpoint_dir: str = option(
        "cv", "output directory where checkpoints get written", "bookkeeping",
        "Only one run at a time can write to it.",
    )
    savefile: str = option(
        "lstm", "part of the checkpoints' file names, which are inside checkpoint_dir", "bookkeeping",
        "Distinguishes the runs in one folder.",
    )
    keep_last: int = option(
        0, "number of this run's newest checkpoints to keep, beside the best; 0 = all", "bookkeeping",
        "Older ones are deleted, except the one with the lowest validation loss.",
        minimum=0,
    )
    accurate_gpu_timing: int = switch(
        0, "1 = wait for the GPU before reading the clock; slower, but exact times", "bookkeeping",
        "Only the printed time/batch changes.",
    )
    gpuid: int = gpuid_option()
    opencl: int = opencl_option(resume_locked=True)
    dtype: str = option(
        "auto", "auto = as the original: float64 on CPU, float32 on GPU", "not in the original",
        "float32 takes half the time of float64, with 7 digits. bfloat16 and float16 are mixed precision on an NVIDIA "
        "GPU: float32 with matrix products in that type, for large networks (see docs/training.md).",
        resume_locked=True, choices=("auto", *DTYPES, *MIXED),
    )
    state_carry: str = option(
        "alias", "alias = the original's, see docs/quirks.md; copy = a real copy", "not in the original",
        "How the state is carried from batch to batch. copy is the usual way, and gives other numbers than the "
        "original's.",
        resume_locked=True, choices=("alias", "copy"),
    )
    torch7: str = option(
        "2017", "which Torch7's log-softmax: 2015 = that of runs on a CPU until April 2016", "not in the original",
        "2015 prints the digits of 2015, which differ from the second to fourth line on (see docs/reproducing.md). "
        "Losses differ by 3e-7 at first and by 2e-4 later; samples do not differ.",
        resume_locked=True, omit_default=True, choices=("2015", "2017"),
    )
    tf32: int = switch(
        0, "1 = let a GPU's matrix products round to TF32, 3 digits", "not in the original",
        "Faster for large networks on an NVIDIA GPU, and less exact.",
        resume_locked=True,
    )
    resume: str = option(
        "", "resume the run of this checkpoint, or of the latest in checkpoint_dir: -resume latest",
        "not in the original",
        "Uses the options of that run and prints the lines that it would have printed without the interruption. "
        "Options marked with a * cannot be changed. Of a folder, it takes the best checkpoint.",
    )
    cell: str = option(
        "auto", "execution backend of the cells; identical results. auto = the fastest", "not in the original",
        "plain: one time step in PyTorch with autograd, the easiest to read; script: the same in TorchScript; fused: "
        "whole sequences with a hand-written backward pass, twice as fast; compiled: time steps in C, about three "
        "times as fast as plain, on a CPU with a C compiler (cc, or the one in CC); persistent: time steps in CUDA "
        "kernels, for the lstm on an NVIDIA GPU of compute capability 9.0 or higher. auto: compiled or persistent "
        "where available, else fused. With -resume, it may be changed.",
        choices=("auto", *BACKENDS),
    )
    optimizer: str = option(
        "rmsprop", "optimizer: how gradients update the parameters", "training methods",
        "adam and adamw have momentum. They need a different -learning_rate, and adamw a -weight_decay.",
        resume_locked=True, omit_default=True, choices=("rmsprop", "adam", "adamw"),
    )
    beta2: float = option(
        0.999, "decay rate of squared gradients, for adam and adamw", "training methods",
        "As -decay_rate for rmsprop: 0.999 averages about 1000 iterations, which is long for a short run; try 0.95 to "
        "0.99.",
        resume_locked=True, omit_default=True, minimum=0, below=1,
    )
    weight_decay: float = option(
        0.0, "weight decay of all parameters, 0 = none", "training methods",
        "For adamw, the fraction (times the learning rate) that each iteration subtracts from the parameters, try "
        "0.01. For the others, the factor of an L2 penalty, as in torch.optim.",
        resume_locked=True, omit_default=True, minimum=0,
    )
    lr_schedule: str = option(
        "decay", "learning rate schedule", "training methods",
        "decay: the original's, -learning_rate_decay after each epoch; cosine: half a cosine down to 0 at the end, so "
        "that -resume cannot change -max_epochs; plateau: -learning_rate_decay after each evaluation without a lower "
        "validation loss, from epoch -learning_rate_decay_after on.",
        resume_locked=True, omit_default=True, choices=("decay", "cosine", "plateau"),
    )
    warmup: int = option(
        0, "number of iterations in which the learning rate rises from 0", "training methods",
        "Lets adam and adamw begin with small steps; try 100.",
        resume_locked=True, omit_default=True, minimum=0,
    )
    clip_norm: float = option(
        0.0, "clip the norm of the whole gradient at this value, after -grad_clip; 0 = off", "training methods",
        "Keeps the gradient's direction, which -grad_clip does not. The gradient is a sum over time: -seq_length times "
        "that of the mean loss.",
        resume_locked=True, omit_default=True, minimum=0,
    )
    patience: int = option(
        0, "early stopping: end after this many evaluations without a lower validation loss, 0 = off",
        "training methods",
        "Ends a run that only overfits. With -resume, it may be raised.",
        omit_default=True, minimum=0,
    )
    config: str = option(
        "", "read options from this YAML file; the command line takes precedence", "training methods",
        "Its options count as if they were typed. See the examples in configs/.",
    )
    print_config: int = switch(
        0, "1 = print the resolved options as YAML and exit", "training methods",
        "The output is a file for -config.",
    )
    encoding: str = option(
        "bytes", "what a character is: a byte, or a Unicode character (the text is UTF-8)", "training methods",
        "With utf-8, é or 文 is one character instead of two or three bytes: the network cannot write invalid UTF-8, "
        "and -seq_length reaches further. A vocabulary of thousands takes more memory and time.",
        resume_locked=True, omit_default=True, choices=("bytes", "utf-8"),
    )
    min_count: int = option(
        1, "replace characters that occur less often by one unknown symbol", "training methods",
        "A larger number makes a smaller vocabulary. The unknown symbol counts in losses and is never sampled.",
        resume_locked=True, omit_default=True, minimum=1,
    )
    vocab: str = option(
        "same", "with -init_from: same = require the text's vocabulary; merge = accept any", "training methods",
        "merge keeps the parameters of characters that the checkpoint and the text share, initializes new ones, and "
        "drops those that only the checkpoint has.",
        resume_locked=True, omit_default=True, choices=("same", "merge"),
    )
    progress: int = switch(
        1, "0 = no progress bar; it needs a terminal as stderr, and tqdm", "monitoring",
        "Only the terminal's display changes.",
    )
    sample_every: int = option(
        0, "print a sample of 300 characters every N iterations; 0 = never", "monitoring",
        "Samples go to stderr. The run's numbers do not change.",
        omit_default=True, minimum=0,
    )
    log: int = switch(
        0, "1 = write all losses to a CSV file beside the checkpoints, savefile.csv", "monitoring",
        "One row per iteration: losses, learning rate, gradient norm, seconds. A resumed run appends to the file.",
        omit_default=True,
    )
    tensorboard: str = option(
        "", "write events for TensorBoard to this folder", "monitoring",
        "Shows losses, learning rate, gradient norm, the samples of -sample_every and the options.",
        omit_default=True,
    )
    dry_run: int = switch(
        0, "1 = only estimate sizes, memory and time", "monitoring",
        "Times a few iterations. Does not train and writes no file.",
    )

    def require_file_names(self) -> None:
        """Raise OptionError unless `checkpoint_dir` and `savefile` make valid file names inside that folder."""
        if not self.checkpoint_dir:
            raise OptionError("-checkpoint_dir: '' names no folder; the current folder is .")
        if any(separator in self.savefile for separator in (os.sep, os.altsep) if separator):
            raise OptionError(
                f"-savefile: {self.savefile!r} is part of a file name and cannot name another folder: "
                "use -checkpoint_dir for that"
            )
        for name in ("checkpoint_dir", "savefile"):
            value = getattr(self, name)
            try:
                invalid = b"\0" in os.fsencode(value)
            except UnicodeEncodeError:
                invalid = True
            if invalid:
                raise OptionError(f"-{name}: {value!r} cannot be in the name of a file")


@dataclass(frozen=True)
class SampleOptions(Options):
    """The options of sample.py: the original's, then those of this port."""

    model: str = model_argument()
    seed: int = seed_option("Another seed samples another text.", "sampling")
    sample: int = switch(
        1, "0 to use max at each timestep, 1 to sample at each timestep", "sampling",
        "0 is greedy sampling: always the most likely character, which soon repeats itself.",
    )
    primetext: str = option(
        "", "used as a prompt to seed the state of the network before we sample", "sampling",
        "The text begins with it.",
    )
    length: int = option(
        2000, "number of characters to sample; 0 = without end", "sampling",
        "Does not count the prime text. With 0 the text ends at Ctrl-C, at -stop, or when its reader ends (| head).",
        minimum=0,
    )
    temperature: float = option(
        1.0, "lower = more likely text, higher = more varied text", "sampling",
        "1 samples the model's distribution; 0.5 is safer and repeats itself; values above 1 are more varied and less "
        "accurate.",
        above=0,
    )
    verbose: int = switch(
        1, "set to 0 to ONLY print the sampled text, no diagnostics", "sampling",
        "Use 0 for pipes and files.",
    )
    gpuid: int = gpuid_option("On a GPU, sampling is in single precision. For small networks a CPU is as fast.")
    opencl: int = opencl_option()
    top_k: int = option(
        0, "sample from this many most likely characters only; 0 = all", "not in the original",
        "A smaller number makes fewer mistakes and less varied text; 1 is the same as -sample 0.",
        minimum=0,
    )
    top_p: float = option(
        1.0, "nucleus sampling: the fewest characters with this total probability; 1 = all", "not in the original",
        "Keeps few characters where the network is certain and many where it is not: 0.9 drops the unlikely tail.",
        above=0, maximum=1,
    )
    min_p: float = option(
        0.0, "drop characters below this times the highest probability; 0 = none", "not in the original",
        "0.05 drops mistakes, and lets text with a -temperature above 1 stay coherent.",
        minimum=0, maximum=1,
    )
    beam: int = option(
        0, "beam search for the most likely text, with this many candidates; 0 = sample", "not in the original",
        "Nothing is random then. 1 is the same as -sample 0. More find a more likely text, which repeats itself; time "
        "grows in proportion.",
        minimum=0,
    )
    primefile: str = option(
        "", "read the prime text from this file; - = stdin", "not in the original",
        "All bytes count, including a newline at the end.",
    )
    unknown: str = unknown_option("Applies to the prime text.", group="not in the original")
    stop: str = option(
        "", "stop sequence: end before this text, which is not printed", "not in the original",
        "The text ends there or at -length, whichever comes first.",
    )
    clamp: str = option(
        "", "fix outputs of units, by layer (from 1) and unit (from 0): 2:131=0.9,1:5=0", "not in the original",
        "Shows what a unit does, or with 0 what the network does without it (ablation). An output is between -1 and 1.",
    )
    n: int = option(
        1, "number of texts, with the seeds -seed, -seed + 1, ...", "not in the original",
        "Each text is the same as that of a run with its seed.",
        minimum=1,
    )
    output: str = option(
        "", "write the text to this file instead of stdout; {seed} is replaced by the seed", "not in the original",
        "The write is atomic: the file is complete or absent. With {seed} each of -n texts has its own file.",
    )
    interactive: int = switch(
        0, "1 = read prime texts from stdin in a loop, with the network loaded once", "not in the original",
        "Each line begins a text; /help lists the commands. From a pipe, each line is answered as it arrives.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        endless = self.length == 0 and not self.stop
        for wrong, why in (
            (self.primetext and self.primefile, "-primetext and -primefile are both given: leave one out"),
            (endless and self.output, "-length 0: a text without end never completes a file: give -length, or -stop"),
            (endless and self.n > 1, "-length 0: no second text can follow one without end: give -length, or -stop"),
            (self.beam and self.length == 0, "-length 0: -beam needs the length of the text: give -length"),
            (self.n > 1 and (self.beam or self.sample == 0), "-n: all texts would be the same without sampling"),
            (
                self.interactive and (self.primetext or self.primefile or self.output or self.beam or self.n > 1),
                "-interactive cannot be combined with -primetext, -primefile, -output, -n or -beam: leave them out",
            ),
        ):
            if wrong:
                raise OptionError(why)


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
class ConvertOptions(Options):
    """The options of `charrnn convert`."""

    source: str = model_argument()
    target: str = argument(
        "OUT", "the file to write: .t7 for the Lua original, .t7.pt for this port, or .safetensors"
    )


@dataclass(frozen=True)
class ExportOptions(Options):
    """The options of `charrnn export`."""

    checkpoint: str = model_argument()
    target: str = argument(
        "FILE",
        "the file to write; its extension chooses the format: .html, .mjs, .onnx, .pt2, .torchscript, .safetensors",
    )
    weights: str = option(
        "float64", "floating-point type of the weights; .safetensors keeps the checkpoint's", "result",
        "float32 halves the file and float16 (.html, .mjs) quarters it. Texts then differ from sample.py's.",
        choices=(*DTYPES, "float16"),
    )


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
        "FILE...", "texts to score, - for stdin; checkpoints before them are compared as well", many=True
    )
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
class TraceOptions(Options):
    """The options of `charrnn trace`."""

    checkpoint: str = model_argument()
    file: str = argument("FILE", "the text to read, - for stdin")
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
    unknown: str = unknown_option("With skip, the text is read without them.")
    dtype: str = dtype_option(
        "float64", "float32 takes half the space, with 7 digits.", "floating-point type to compute in and to write"
    )


@dataclass(frozen=True)
class ServeOptions(Options):
    """The options of `charrnn serve`."""

    checkpoints: tuple[str, ...] = argument(
        "MODEL...", "checkpoints of train.py, the Lua original or torch-rnn; of a folder, its best one", many=True
    )
    host: str = option(
        "127.0.0.1", "address to listen on", "where",
        "0.0.0.0 accepts other machines: use -api_key too, and read docs/serving.md.",
    )
    port: int = option(
        8000, "port to listen on, 0 = any free port", "where",
        "The address is printed to stderr.",
        minimum=0, maximum=65535,
    )
    workers: int = option(
        1, "processes that share the port", "where",
        "Each loads all networks and can use its own core. A process that dies is replaced.",
        minimum=1,
    )
    dtype: str = dtype_option(
        "float64", "float64 gives the texts of sample.py; float32 is faster, and its texts differ sooner or later.",
        group="networks",
    )
    reload: int = switch(
        0, "1 = load a newer checkpoint when the file changes", "networks",
        "Texts in progress are finished with the old network.",
    )
    unknown: str = unknown_option(
        "error refuses the request and names the first such character of the prompt.", group="networks"
    )
    api_key: str = option(
        "", "clients must send `Authorization: Bearer KEY`; default: $CHARRNN_API_KEY", "access",
        "Without a key, every client is served. Prefer the variable: other users of the machine see command lines.",
    )
    cors: str = option(
        "", "web origin that may send requests, such as https://example.org; * = all", "access",
        "Otherwise browsers let only the server's own page read its responses.",
    )
    max_length: int = option(
        16384, "maximum length of prompt and completion together, in characters", "limits",
        "Longer requests are refused.",
        minimum=1,
    )
    max_body: int = option(
        1_000_000, "maximum size of a request, in bytes", "limits",
        "Larger requests are refused before they are read.",
        minimum=1,
    )
    streams: int = option(
        64, "maximum number of concurrent texts, for each network", "limits",
        "More raise the total number of characters per second and slow each text.",
        minimum=1,
    )
    queue: int = option(
        256, "maximum number of waiting texts, for each network", "limits",
        "Further requests are refused with status 429 and may be sent again.",
        minimum=0,
    )
    timeout: float = option(
        300.0, "maximum time of a response, in seconds", "limits",
        "After it, the response ends with an error.",
        above=0,
    )


@dataclass(frozen=True)
class LookOptions(Options):
    """The options of `charrnn look`."""

    checkpoint: str = model_argument()
    file: str = argument("FILE", "the text to read, - for stdin; preferably not the training text")
    o: str = option(
        "look.html", "the file to write: .html for a page, .svg or .png for a figure of one unit", "result",
        "The page is a single file without dependencies. The write is atomic: the file is complete or absent.",
    )
    length: int = option(
        20000, "number of characters to read, from the beginning of the text", "reading",
        "More find rarer patterns and make a larger page, which shows fewer units.",
        minimum=2, maximum=200000,
    )
    units: str = option(
        "", "units to show, by layer (from 1) and unit (from 0): 2:131,1:5; one for a figure", "result",
        "By default, the page shows the most informative units first, up to its size limit.",
    )
    part: str = option(
        "", "for a figure: the gate or part of the state to show, such as c, h or forget", "result",
        "By default, the most informative part of the state.",
    )
    passage: str = option(
        "0-640", "for a figure: the range of characters to show, without the last", "result",
        "All of -length is read, so that the state there is the same as on the page.",
    )
    unknown: str = unknown_option("With skip, the text is read without them.")
    dtype: str = dtype_option("float32", "float64 takes longer; the page stores 8 bits of each value.")

"""Every option once: its name, type and default, its bounds, its group in the help, and what it does.

    options = TrainOptions(rnn_size=64)             # from Python; OptionError for a value that won't do
    options = TrainOptions(**{"rnn_size": "64"})    # from a command line or a file: text is read as Lua reads it

From these classes come the command line and -help (command_line.py), docs/options.md (a test holds it equal), the
check of what may be given beside -resume, and the check of options that were read from a checkpoint. An option is a
few lines: default and help, group, consequence, bounds. Nothing here needs torch, so that help comes at once.
"""

from dataclasses import dataclass

from charrnn_port.option_fields import OptionError, Options, argument, option

CELLS = ("lstm", "gru", "rnn")
BACKENDS = ("plain", "script", "fused", "compiled", "persistent")  # to run a cell, see model/__init__.py
DTYPES = ("float64", "float32")
CHECKPOINT = "a checkpoint, of train.py, the Lua original or torch-rnn, or a folder: the best one in it"
BENCHMARKS = ("training", "parts", "evaluation", "sampling", "start", "preprocessing")  # tables, in their order
MIXED = ("bfloat16", "float16")  # float32 with products in these
# fmt: off


@dataclass(frozen=True)
class TrainOptions(Options):
    """Those of train.py: the original's in its order, then ours."""

    data_dir: str = option(
        "data/tinyshakespeare",
        "data directory. Should contain the file input.txt with input data",
        "data",
        "Its input.txt is the text to learn. A cache, data.h5, appears beside it, or in your cache folder where that "
        "cannot be written. With -resume, any folder with the same text.",
    )
    rnn_size: int = option(
        128, "size of the cell's internal state", "model params",
        "More remembers more and overfits sooner; larger for texts of several MB. Time grows with its square.",
        resume_locked=True, minimum=1,
    )
    num_layers: int = option(
        2, "number of layers of cells", "model params",
        "2 or 3 are best; time grows in proportion.",
        resume_locked=True, minimum=1,
    )
    model: str = option(
        "lstm", "which cell", "model params",
        "lstm learns best, gru takes three quarters of its time, rnn forgets within some ten characters.",
        resume_locked=True, choices=CELLS,
    )
    learning_rate: float = option(
        2e-3, "learning rate", "optimization",
        "Halve it where the loss explodes or jumps about.",
        resume_locked=True, minimum=0,
    )
    learning_rate_decay: float = option(
        0.97, "factor on the learning rate after an epoch", "optimization",
        "Smaller ends the learning earlier; 1 never lowers the rate.",
        resume_locked=True, minimum=0,
    )
    learning_rate_decay_after: float = option(
        10.0, "in number of epochs, when to start decaying the learning rate", "optimization",
        "Lower it together with -max_epochs.",
        resume_locked=True,
    )
    decay_rate: float = option(
        0.95, "decay rate for rmsprop", "optimization",
        "How long RMSprop remembers the size of gradients: 0.95 is about 20 iterations; above 1 it makes no numbers.",
        resume_locked=True, minimum=0,
    )
    dropout: float = option(
        0.0, "dropout after each hidden layer, 0 = none; try 0.5 if it overfits", "optimization",
        "Try 0.5 where the validation loss is far above the training loss; learning takes longer.",
        resume_locked=True, minimum=0, below=1,
    )
    seq_length: int = option(
        50, "number of timesteps to unroll for", "optimization",
        "How far back gradients reach, in characters; memory and the time of an iteration grow in proportion.",
        resume_locked=True, minimum=1,
    )
    batch_size: int = option(
        50, "number of sequences to train on in parallel", "optimization",
        "Rows of text trained on side by side: more make an epoch faster and have fewer updates in it.",
        resume_locked=True, minimum=1,
    )
    max_epochs: float = option(
        50.0, "number of full passes through the training data, may be a fraction", "optimization",
        "When to stop; it may be raised with -resume.",
        above=0,
    )
    grad_clip: float = option(
        5.0, "clip gradients at this value", "optimization",
        "Every element of the gradient is clipped to ± this; lower it where the loss explodes.",
        resume_locked=True, above=0,
    )
    train_frac: float = option(
        0.95, "fraction of data that goes into train set", "optimization",
        "What is trained on, from the beginning of the text.",
        resume_locked=True, minimum=0, maximum=1,
    )
    val_frac: float = option(
        0.05, "fraction that goes into validation set; the rest is test", "optimization",
        "What the validation loss is measured on; what both fractions leave over is for testing.",
        resume_locked=True, minimum=0, maximum=1,
    )
    init_from: str = option(
        "", "initialize network parameters from checkpoint at this path", "optimization",
        "Starts a new run from a checkpoint's parameters, with that network's sizes; the vocabulary must be the same, "
        "or see -vocab. Of a folder it takes the best checkpoint.",
        resume_locked=True,
    )
    seed: int = option(
        123, "random number generator's seed", "bookkeeping",
        "Another one makes another run of the same kind.",
        resume_locked=True,
    )
    print_every: int = option(
        1, "how many steps/minibatches between printing out the loss", "bookkeeping",
        "More makes a shorter log.",
        minimum=1,
    )
    eval_val_every: int = option(
        1000, "every how many iterations to evaluate on validation data and save", "bookkeeping",
        "Less saves more often. It changes the run, since an evaluation leaves its state behind (see docs/quirks.md).",
        resume_locked=True, minimum=1,
    )
    checkpoint_dir: str = option(
        "cv", "output directory where checkpoints get written", "bookkeeping",
        "It is one run's at a time.",
    )
    savefile: str = option(
        "lstm", "part of the checkpoints' file names, which are inside checkpoint_dir", "bookkeeping",
        "Tells runs in one folder apart.",
    )
    keep_last: int = option(
        0, "how many of this run's newest checkpoints to keep, beside the best; 0 = all", "bookkeeping",
        "Older ones are deleted, but never the one with the lowest validation loss.",
        minimum=0,
    )
    accurate_gpu_timing: int = option(
        0, "1 = wait for the GPU before reading the clock; slower, but exact times", "bookkeeping",
        "Only the time/batch that is printed becomes another.",
    )
    gpuid: int = option(
        0, "which GPU to use, CUDA or else MPS. -1 = use CPU", "GPU/CPU",
        "Without a GPU the CPU is used, and told so; -1 takes it at once.",
    )
    opencl: int = option(
        0, "accepted for the original's sake: PyTorch has no OpenCL, 1 = use CPU", "GPU/CPU",
        "1 is another way to ask for the CPU.",
        resume_locked=True,
    )
    dtype: str = option(
        "auto", "auto = as the original: float64 on CPU, float32 on GPU", "not in the original",
        "float32 takes half the time of float64 and rounds at the seventh digit. bfloat16 and float16 (an NVIDIA GPU's "
        "only): float32 with the products in these; for large networks, see docs/training.md.",
        resume_locked=True, choices=("auto", *DTYPES, *MIXED),
    )
    state_carry: str = option(
        "alias", "alias = the original's, see docs/quirks.md; copy = a real copy", "not in the original",
        "copy carries a real copy of the state from batch to batch: cleaner, and other numbers than the original's.",
        resume_locked=True, choices=("alias", "copy"),
    )
    torch7: str = option(
        "2017", "which Torch7's log-softmax: 2015 = that until April 2016, on a CPU, of all runs of 2015",
        "not in the original",
        "2015 prints the digits that people saw then: others from the second to the fourth line on, see "
        "docs/reproducing.md. Losses change by 3e-7 at first, later by 2e-4; samples not at all.",
        resume_locked=True, omit_default=True, choices=("2015", "2017"),
    )
    tf32: int = option(
        0, "1 = let a GPU's products round to TF32, 3 digits: faster at large sizes, not the same numbers",
        "not in the original",
        "On an NVIDIA GPU products become faster where they are large, and less exact.",
        resume_locked=True,
    )
    resume: str = option(
        "", "go on with the run of this checkpoint, or of the latest in checkpoint_dir: -resume latest",
        "not in the original",
        "The options are those of its run, and the lines those it would have printed had it never stopped; options "
        "that are part of a run's identity cannot be changed. Of a folder it takes the best checkpoint.",
    )
    cell: str = option(
        "auto", "how to run the cells; the same numbers. auto = the fastest", "not in the original",
        "plain: one step in PyTorch under autograd, for reading; script: the same step in TorchScript; fused: whole "
        "sequences with a hand-written backward pass, twice as fast; compiled: that with its time steps in C, about "
        "three times as fast as plain, on a CPU with a C compiler (cc, or what CC names); persistent: that with its "
        "time steps in CUDA kernels, for the lstm on an NVIDIA GPU of compute capability 9.0 or more. auto: compiled "
        "or persistent where it can be had, else fused. With -resume, any.",
        choices=("auto", *BACKENDS),
    )
    optimizer: str = option(
        "rmsprop", "what gradients do to parameters", "steering",
        "adam and adamw have momentum; they want a -learning_rate of their own, and adamw a -weight_decay.",
        resume_locked=True, omit_default=True, choices=("rmsprop", "adam", "adamw"),
    )
    beta2: float = option(
        0.999, "decay rate for adam and adamw, of the squares of gradients", "steering",
        "As -decay_rate for rmsprop: 0.999 is about 1000 iterations, long for a short run; try 0.95 to 0.99.",
        resume_locked=True, omit_default=True, minimum=0, below=1,
    )
    weight_decay: float = option(
        0.0, "how strongly all parameters are drawn to 0, 0 = not", "steering",
        "For adamw the share, times the learning rate, that an iteration takes off them, try 0.01; for the others the "
        "factor of an L2 penalty, as in torch.optim.",
        resume_locked=True, omit_default=True, minimum=0,
    )
    lr_schedule: str = option(
        "decay", "how the learning rate changes", "steering",
        "decay: the original's, by -learning_rate_decay an epoch; cosine: along half a cosine to 0 at the end, so "
        "-max_epochs cannot be changed with -resume; plateau: by -learning_rate_decay after each evaluation without a "
        "better validation loss, from the epoch -learning_rate_decay_after on.",
        resume_locked=True, omit_default=True, choices=("decay", "cosine", "plateau"),
    )
    warmup: int = option(
        0, "in number of iterations, how long the learning rate rises from 0", "steering",
        "Lets adam and adamw begin with small steps; try 100.",
        resume_locked=True, omit_default=True, minimum=0,
    )
    clip_norm: float = option(
        0.0, "clip the norm of the whole gradient at this value, after -grad_clip; 0 = not", "steering",
        "Keeps the gradient's direction, which -grad_clip does not. It is a sum over time: -seq_length times that of "
        "the mean loss.",
        resume_locked=True, omit_default=True, minimum=0,
    )
    patience: int = option(
        0, "stop after this many evaluations without a better validation loss, 0 = never", "steering",
        "Ends a run that only overfits any more; it may be raised with -resume.",
        omit_default=True, minimum=0,
    )
    config: str = option(
        "", "a YAML file of options; those of the command line come first", "steering",
        "Its options count as if they were typed. configs/ has three.",
    )
    print_config: int = option(
        0, "1 = print all options as such a file, and do no more", "steering",
        "What it prints can be given to -config.",
    )
    encoding: str = option(
        "bytes", "what the text's characters are: its bytes, or Unicode's, which UTF-8 stands for", "steering",
        "With utf-8 é or 文 is one character, not two or three: the network cannot write halves of them, and "
        "-seq_length reaches further. The vocabulary may then have thousands, and takes memory and time.",
        resume_locked=True, omit_default=True, choices=("bytes", "utf-8"),
    )
    min_count: int = option(
        1, "characters that the text has less often than this become one unknown symbol", "steering",
        "More make a smaller vocabulary; the unknown symbol counts in losses and is never sampled.",
        resume_locked=True, omit_default=True, minimum=1,
    )
    vocab: str = option(
        "same", "same = -init_from a checkpoint with the text's vocabulary only; merge = with any",
        "steering",
        "merge keeps what the network knows of the characters that both have, begins anew with those that only the "
        "text has, and leaves out those that only the checkpoint has.",
        resume_locked=True, omit_default=True, choices=("same", "merge"),
    )
    progress: int = option(
        1, "0 = no bar, which is on stderr where that is a terminal and tqdm is installed", "watching",
        "Only what a terminal shows becomes another.",
    )
    sample_every: int = option(
        0, "every how many iterations to show 300 characters that the network writes by now; 0 = never", "watching",
        "They go to stderr, and the run's numbers stay what they are.",
        omit_default=True, minimum=0,
    )
    log: int = option(
        0, "1 = write a table of all losses beside the checkpoints, savefile.csv", "watching",
        "A row for each iteration: losses, learning rate, norm, seconds. With -resume the run goes on in it.",
        omit_default=True,
    )
    tensorboard: str = option(
        "", "folder to write events for TensorBoard to; none if empty", "watching",
        "Losses, learning rate and norm, the samples of -sample_every and the options are to be seen there.",
        omit_default=True,
    )
    dry_run: int = option(
        0, "1 = only tell what the run would be: sizes, memory, time", "watching",
        "Nothing is trained and no file is written; a few iterations are timed and forgotten.",
    )


@dataclass(frozen=True)
class SampleOptions(Options):
    """Those of sample.py: the original's, then ours."""

    model: str = argument("MODEL", CHECKPOINT)
    seed: int = option(
        123, "random number generator's seed", "sampling",
        "Another one draws another text.",
    )
    sample: int = option(
        1, "0 to use max at each timestep, 1 to sample at each timestep", "sampling",
        "0 takes the likeliest character each time, and soon goes round in circles.",
    )
    primetext: str = option(
        "", "used as a prompt to seed the state of the network before we sample", "sampling",
        "The text begins with it and goes on in its manner.",
    )
    length: int = option(
        2000, "number of characters to sample; 0 = without end", "sampling",
        "Counts what comes after the prime text. With 0 Ctrl-C ends the text, or -stop, or whoever reads it (| head).",
        minimum=0,
    )
    temperature: float = option(
        1.0, "lower is likelier, duller text, higher is more varied", "sampling",
        "0.5 is safe and repeats itself, 1 is as the network believes, above 1 come more mistakes.",
        above=0,
    )
    verbose: int = option(
        1, "set to 0 to ONLY print the sampled text, no diagnostics", "sampling",
        "0 is for pipes and files.",
    )
    gpuid: int = option(
        0, "which GPU to use, CUDA or else MPS. -1 = use CPU", "GPU/CPU",
        "On a GPU sampling is in single precision; a CPU is as fast at small sizes.",
    )
    opencl: int = option(
        0, "accepted for the original's sake: PyTorch has no OpenCL, 1 = use CPU", "GPU/CPU",
        "1 is another way to ask for the CPU.",
    )
    top_k: int = option(
        0, "draw from this many likeliest characters only; 0 = all", "not in the original",
        "Fewer make fewer slips and less variety; 1 is like -sample 0.",
        minimum=0,
    )
    top_p: float = option(
        1.0, "draw from the fewest likeliest characters that have this probability together; 1 = all",
        "not in the original",
        "Narrow where the network is sure and wide where it is not: 0.9 leaves out slips and keeps variety.",
        above=0, maximum=1,
    )
    min_p: float = option(
        0.0, "draw from characters with at least this times the probability of the likeliest; 0 = all",
        "not in the original",
        "0.05 leaves out slips, and lets a -temperature above 1 keep its words.",
        minimum=0, maximum=1,
    )
    beam: int = option(
        0, "write the likeliest text, searched for among this many at a time; 0 = draw", "not in the original",
        "Nothing is drawn. 1 is -sample 0; more find a likelier text in as many times the time, and repeat themselves.",
        minimum=0,
    )
    primefile: str = option(
        "", "read the prime text from this file; - = stdin", "not in the original",
        "All of its bytes count, the last newline too.",
    )
    unknown: str = option(
        "error", "what to do about characters of a prime text that the training text never has", "not in the original",
        "error: end and name the first; skip: leave them out.",
        choices=("error", "skip"),
    )
    stop: str = option(
        "", "end the text before this one comes, which is not printed", "not in the original",
        "The text ends there or at -length, whichever comes first.",
    )
    clamp: str = option(
        "", "hold the outputs of units, named by layer (from 1) and unit (from 0): 2:131=0.9,1:5=0",
        "not in the original",
        "Shows what a unit is for: the network writes as if it saw that all the time. An output is between -1 and 1.",
    )
    n: int = option(
        1, "number of texts, with the seeds -seed, -seed + 1, ...", "not in the original",
        "Each is the text of a run of its own with its seed.",
        minimum=1,
    )
    output: str = option(
        "", "write the text to this file, and not to stdout; {seed} in its name stands for the seed",
        "not in the original",
        "The file appears when it is whole, or not at all. With {seed} each of -n texts has a file of its own.",
    )
    interactive: int = option(
        0, "1 = ask for one prime text after the other, with the network kept loaded", "not in the original",
        "Each line begins a text; /help lists what else can be typed. From a pipe, lines are read as they come.",
        minimum=0, maximum=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        endless = self.length == 0 and not self.stop
        for wrong, why in (
            (self.primetext and self.primefile, "-primetext and -primefile are both given: leave one out"),
            (endless and self.output, "-length 0: a text without end is never a whole file: give -length, or -stop"),
            (endless and self.n > 1, "-length 0: after a text without end comes no other: give -length, or -stop"),
            (self.beam and self.length == 0, "-length 0: -beam looks for the likeliest text of a length: give one"),
            (self.n > 1 and (self.beam or self.sample == 0), "-n: they would all be the same, since none is drawn"),
            (
                self.interactive and (self.primetext or self.primefile or self.output or self.beam or self.n > 1),
                "-interactive goes without -primetext, -primefile, -output, -n and -beam: leave them out",
            ),
        ):
            if wrong:
                raise OptionError(why)


@dataclass(frozen=True)
class InspectOptions(Options):
    """Those of `charrnn inspect`."""

    file: str = argument("FILE", CHECKPOINT)
    json: bool = option(
        False, "print all of it as JSON, for programs", "result",
        "One object on stdout instead of a table.",
    )


@dataclass(frozen=True)
class EvaluateOptions(Options):
    """Those of `charrnn evaluate`."""

    model: str = argument("MODEL", CHECKPOINT)
    split: str = option(
        "val", "which part of the text, as the run cut it; all = the whole text", "text",
        "val is what the run's validation losses are of; test is what -train_frac and -val_frac left over; all is for "
        "another text.",
        choices=("train", "val", "test", "all"),
    )
    data_dir: str = option(
        "", "data directory with the file input.txt; otherwise the run's", "text",
        "Its text may lack characters that the network knows, but has none that it does not.",
    )
    batch_size: int = option(
        0, "rows of text side by side, 0 = as the run", "text",
        "Each row begins with an empty state: 1 gives each character all that comes before it, and takes longer. "
        "Another value cuts the text at other places.",
        minimum=0,
    )
    seq_length: int = option(
        0, "number of characters at once, 0 = as the run", "text",
        "Less takes less memory; the state goes on from one batch to the next. Another value cuts the text at other "
        "places.",
        minimum=0,
    )
    gpuid: int = option(
        0, "which GPU to use, CUDA or else MPS. -1 = use CPU", "GPU/CPU",
        "Without a GPU the CPU is used, and told so; -1 takes it at once.",
    )
    dtype: str = option(
        "auto", "auto = as the run's parameters", "GPU/CPU",
        "With another precision than the run's the loss differs from the recorded one by its rounding.",
        choices=("auto", *DTYPES),
    )
    cell: str = option(
        "auto", "how to run the cells, as in train.py; the same numbers", "GPU/CPU",
        "auto is the fastest.",
        choices=("auto", *BACKENDS),
    )
    torch7: str = option(
        "auto", "which Torch7's log-softmax, on a CPU: 2015 = that until April 2016. auto = the run's", "GPU/CPU",
        "A .t7 file does not tell, and is taken to be of 2017; with 2015 those from before April 2016 give the loss "
        "that they record.",
        choices=("auto", "2015", "2017"),
    )
    json: bool = option(
        False, "print all of it as JSON, for programs", "result",
        "One object on stdout instead of a table.",
    )


@dataclass(frozen=True)
class CompareOptions(Options):
    """Those of `charrnn compare`."""

    a: str = argument("A", "a run: a log of train.py or train.lua, a CSV file, a checkpoint; of a folder, the newest")
    b: str = argument("B", "another one")
    json: bool = option(
        False, "print all of it as JSON, for programs", "result",
        "One object on stdout instead of tables.",
    )


@dataclass(frozen=True)
class PlotOptions(Options):
    """Those of `charrnn plot`."""

    runs: tuple[str, ...] = argument(
        "RUN...", "runs: logs of train.py or train.lua, CSV files, checkpoints; of a folder, the newest", many=True
    )
    o: str = option(
        "curves.png", "the file to write: its name ends in .png, .svg or .pdf", "result",
        "Its ending says of which kind it is.",
    )
    x: str = option(
        "epochs", "what is on the horizontal axis", "result",
        "iterations compares steps, epochs compares how much of the text was seen.",
        choices=("epochs", "iterations"),
    )


@dataclass(frozen=True)
class ConvertOptions(Options):
    """Those of `charrnn convert`."""

    source: str = argument("IN", f"what to read: {CHECKPOINT}")
    target: str = argument(
        "OUT", "the file to write: it ends in .t7 for the Lua original, in .t7.pt for this port, or in .safetensors"
    )


@dataclass(frozen=True)
class ExportOptions(Options):
    """Those of `charrnn export`."""

    checkpoint: str = argument("CHECKPOINT", CHECKPOINT)
    target: str = argument(
        "FILE",
        "the file to write; what its name ends in says in which format: .html, .mjs, .onnx, .pt2, .torchscript, "
        ".safetensors",
    )
    weights: str = option(
        "float64", "in which precision the file has the weights; .safetensors: always the checkpoint's", "result",
        "float32 halves the file and float16 (.html, .mjs) quarters it; texts are then others than sample.py's.",
        choices=(*DTYPES, "float16"),
    )


@dataclass(frozen=True)
class BenchmarkOptions(Options):
    """Those of `charrnn benchmark`."""

    sizes: str = option(
        "128x2,256x2,512x3", "networks, as rnn_size x num_layers; largest ones also at batch 100", "what to time",
        "Fewer or smaller ones take less time to measure.",
    )
    tables: str = option(
        ",".join(BENCHMARKS), "which tables, one comma between two", "what to time",
        "training is the long one: at all sizes it takes most of the time.",
    )
    repeats: int = option(
        10, "timed iterations of each kind", "what to time",
        "More make the medians steadier.",
        minimum=3,
    )
    device: str = option(
        "cpu", "cpu, cuda or mps", "where",
        "Which one is timed.",
        choices=("cpu", "cuda", "mps"),
    )
    threads: int = option(
        0, "CPU threads, 0 = as PyTorch chooses", "where",
        "1 shows what one core does.",
        minimum=0,
    )
    load: int = option(
        0, "time training alone, beside so many busy processes, and two at once; 0 = all the rest", "what to time",
        "Tells how training fares on a machine that does something else too: of the sizes the first is timed.",
        minimum=0,
    )
    serve: int = option(
        0, "time `charrnn serve` with so many texts at a time; 0 = all the rest", "what to time",
        "Its texts are compared with sample.py's, and its memory looked at: of the sizes the first is timed.",
        minimum=0,
    )
    json: str = option(
        "", "write all figures to this file too", "result",
        "Each single time is in it, in seconds.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.tables.split(","):
            if name not in BENCHMARKS:
                raise OptionError(f"-tables: {name!r} is not one of {', '.join(BENCHMARKS)}")


@dataclass(frozen=True)
class VerifyOptions(Options):
    """Those of `charrnn verify`."""

    cell: str = option(
        "auto", "how to run the cells, as in train.py; plain and script take several times as long", "what to verify",
        "The recorded runs are repeated with this one, and small networks with all that can be had here. auto takes "
        "persistent where it can be had.",
        choices=("auto", *(backend for backend in BACKENDS if backend != "persistent")),
    )
    dtype: str = option(
        "auto", "float64 or float32, as in train.py", "what to verify",
        "All of the original's bits are promised of compiled cells in float64 on a CPU, and of other cells its digits "
        "as far as rounding leaves them certain; in float32, that losses stay within what rounding makes.",
        choices=("auto", *DTYPES),
    )
    gpuid: int = option(
        0, "which GPU to use, CUDA or else MPS. -1 = use CPU", "what to verify",
        "Random streams and files are the CPU's in any case.",
    )
    json: str = option(
        "", "write all results to this file too", "result",
        "Each single comparison is in it, with its figures and what is promised of them.",
    )


@dataclass(frozen=True)
class ScoreOptions(Options):
    """Those of `charrnn score`."""

    checkpoint: str = argument("CHECKPOINT", "a checkpoint, of train.py or of the Lua original")
    files: tuple[str, ...] = argument(
        "FILES", "texts to score, - for stdin; before them more checkpoints, to tell which a text is likeliest under",
        many=True,
    )
    lines: int = option(
        0, "1 = tell of each line too, the most surprising first", "result",
        "Lines are kept to be sorted, so that memory grows with the text.",
        minimum=0, maximum=1,
    )
    heat: int = option(
        0, "1 = show the text, coloured by how much each character surprises", "result",
        "On a terminal only; with NO_COLOR, by underlines and bold letters alone.",
        minimum=0, maximum=1,
    )
    json: bool = option(
        False, "print the figures as JSON, for programs", "result",
        "One object, or a list of them for several texts or checkpoints.",
    )
    csv: bool = option(
        False, "print a row for each character: its log-probability, rank, and the prediction's entropy", "result",
        "Nats; rank 1 is the likeliest. For one checkpoint and one text.",
    )
    dynamic: float = option(
        0.0, "learning rate of dynamic evaluation: the network learns from what it has scored; 0 = it does not",
        "reading",
        "Texts that are unlike the training text, or repeat themselves, become less surprising; try 0.0003. The "
        "checkpoint stays as it is.",
        minimum=0, maximum=1,
    )
    unknown: str = option(
        "error", "what to do with characters that the training text never has: stop, or leave them out", "reading",
        "With skip, the text is scored as though it had none of them; with several checkpoints, none that one lacks.",
        choices=("error", "skip"),
    )
    dtype: str = option(
        "auto", "auto = float64 on CPU, float32 on GPU", "GPU/CPU",
        "float32 is faster and rounds at the seventh digit.",
        choices=("auto", *DTYPES),
    )
    gpuid: int = option(
        0, "which GPU to use, CUDA or else MPS. -1 = use CPU", "GPU/CPU",
        "A text is read a character at a time, for which a GPU is no faster unless the network is large.",
    )


@dataclass(frozen=True)
class TraceOptions(Options):
    """Those of `charrnn trace`."""

    checkpoint: str = argument("CHECKPOINT", "a checkpoint, of train.py or of the Lua original")
    file: str = argument("FILE", "the text to read, - for stdin")
    o: str = option(
        "", "the file to write, in HDF5: trace.h5", "result",
        "It is written whole or not at all.",
    )
    layers: str = option(
        "", "of which layers, from 1, such as 1,2 or 1-3; all if not given", "what to keep",
        "Fewer make a smaller file.",
    )
    units: str = option(
        "", "which units of each layer, from 0, such as 0-9,131; all if not given", "what to keep",
        "Fewer make a smaller file.",
    )
    gates: str = option(
        "", "which gates and parts of the state, by name, such as c,forget; all if not given", "what to keep",
        "lstm: in, forget, out, transform, c, h; gru: update, reset, candidate, h; rnn: h.",
    )
    unknown: str = option(
        "error", "what to do with characters that the training text never has: stop, or leave them out", "reading",
        "With skip, the text is read as though it had none of them.",
        choices=("error", "skip"),
    )
    dtype: str = option(
        "float64", "in which precision to compute, and to write", "reading",
        "float32 takes half the space, and rounds at the seventh digit.",
        choices=DTYPES,
    )


@dataclass(frozen=True)
class ServeOptions(Options):
    """Those of `charrnn serve`."""

    checkpoints: tuple[str, ...] = argument(
        "CHECKPOINT...", "checkpoints, of train.py or of the Lua original; of a folder the best one in it", many=True
    )
    host: str = option(
        "127.0.0.1", "address to listen on", "where",
        "0.0.0.0 lets other machines in: give -api_key too, and read docs/serving.md.",
    )
    port: int = option(
        8000, "port to listen on, 0 = any that is free", "where",
        "The line on stderr tells the address.",
        minimum=0, maximum=65535,
    )
    workers: int = option(
        1, "processes that share the port", "where",
        "Each loads all networks, and can use a core of its own. One that dies is replaced.",
        minimum=1,
    )
    dtype: str = option(
        "float64", "in which precision to compute", "networks",
        "With float64 texts are sample.py's; float32 is faster, and its texts differ from them sooner or later.",
        choices=DTYPES,
    )
    reload: int = option(
        0, "1 = take a newer checkpoint when the file changes", "networks",
        "Texts in progress are finished with the network they began with.",
        minimum=0, maximum=1,
    )
    unknown: str = option(
        "error", "what to do about characters of a prompt that the training text never has", "networks",
        "error: refuse the request and name the first; skip: leave them out.",
        choices=("error", "skip"),
    )
    api_key: str = option(
        "", "what clients must send as `Authorization: Bearer KEY`; if not given, $CHARRNN_API_KEY, if any", "access",
        "Without it whoever reaches the port is served. Other users of the machine see a command line, not a variable.",
    )
    cors: str = option(
        "", "origin whose pages may ask, such as https://example.org; * = all", "access",
        "Otherwise browsers let only the server's own page read its answers.",
    )
    max_length: int = option(
        16384, "characters of a prompt and of what follows it, together", "limits",
        "A request for more is refused.",
        minimum=1,
    )
    max_body: int = option(
        1_000_000, "bytes of a request", "limits",
        "A larger one is refused before it is read.",
        minimum=1,
    )
    streams: int = option(
        64, "texts that are written at the same time, for each network", "limits",
        "More raise the number of characters a second in all, and slow each text.",
        minimum=1,
    )
    queue: int = option(
        256, "texts that wait for their turn, for each network", "limits",
        "Those beyond are refused with status 429, and may come again.",
        minimum=0,
    )
    timeout: float = option(
        300.0, "seconds that an answer may take", "limits",
        "It ends with an error then.",
        above=0,
    )


@dataclass(frozen=True)
class LookOptions(Options):
    """Those of `charrnn look`."""

    checkpoint: str = argument("CHECKPOINT", CHECKPOINT)
    file: str = argument("FILE", "the text to read, - for stdin; best one that the network was not trained on")
    o: str = option(
        "look.html", "the file to write: a page ends in .html, a picture of one unit in .svg or .png", "result",
        "The page is one file that needs nothing else. It is written whole or not at all.",
    )
    length: int = option(
        20000, "characters to read, from the text's beginning", "reading",
        "More find rarer things, and make a larger page that has room for fewer units.",
        minimum=2, maximum=200000,
    )
    units: str = option(
        "", "units to show in any case, as layer (from 1) and unit (from 0): 2:131,1:5; of a picture, the one",
        "result",
        "Otherwise those are shown that tell most, and what there is room for of the others.",
    )
    part: str = option(
        "", "of a picture: what to show of the unit, such as c, h or forget", "result",
        "Otherwise the part of its state that tells most.",
    )
    passage: str = option(
        "0-640", "of a picture: from which character to before which", "result",
        "All that -length says is read, so that the state is what it is there.",
    )
    unknown: str = option(
        "error", "what to do with characters that the training text never has: stop, or leave them out", "reading",
        "With skip, the text is read as though it had none of them.",
        choices=("error", "skip"),
    )
    dtype: str = option(
        "float32", "in which precision to compute", "reading",
        "float64 takes longer; the page has 8 bits of it.",
        choices=DTYPES,
    )

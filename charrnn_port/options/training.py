"""Defines the options of train.py."""

import os
from dataclasses import dataclass

from charrnn_port.options.fields import OptionError, Options, option, switch
from charrnn_port.options.shared import BACKENDS, CELLS, DTYPES, MIXED, gpuid_option, opencl_option, seed_option

# fmt: off


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
        "The validation loss is measured on it: the piece of each row after its training piece, not the end of the "
        "text. What both fractions leave over is the test set.",
        resume_locked=True, minimum=0, maximum=1,
    )
    init_from: str = option(
        "", "initialize network parameters from checkpoint at this path", "optimization",
        "Starts a new run with a checkpoint's parameters and sizes. The vocabulary must be the same, unless -vocab "
        "is merge. Of a folder, it takes the best checkpoint of the latest run.",
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
        "Options marked with a * cannot be changed. Of a folder, it takes the best checkpoint of the latest run.",
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
        "bytes", "what a character is: a byte, a Unicode character (the text is UTF-8), a word, or a token of bytes",
        "training methods",
        "With utf-8, é or 文 is one character instead of two or three bytes: the network cannot write invalid UTF-8, "
        "and -seq_length reaches further. With words, each word is one, and so is each character between words; use "
        "-min_count. With bpe, -vocab_size tokens of several bytes are learned by byte pair encoding. A vocabulary of "
        "thousands takes more memory and time.",
        resume_locked=True, omit_default=True, choices=("bytes", "utf-8", "words", "bpe"),
    )
    vocab_size: int = option(
        1000, "with -encoding bpe: the number of tokens to learn, with the 256 bytes", "training methods",
        "A larger vocabulary has longer tokens, and a larger first layer and decoder. A short text may have fewer "
        "tokens.",
        resume_locked=True, omit_default=True, minimum=257, maximum=1_000_000,
    )
    min_count: int = option(
        1, "replace characters that occur less often by one unknown symbol", "training methods",
        "A larger number makes a smaller vocabulary. The unknown symbol counts in losses and is never sampled.",
        resume_locked=True, omit_default=True, minimum=1,
    )
    separator: str = option(
        "", r"what ends each of many short texts in input.txt: \n for lines; \n, \t and \x41 are escapes",
        "training methods",
        "Each text, such as a name, begins from the zero state, and sample.py samples one. A data_dir with several "
        ".txt files instead of input.txt is the same, with a text in each file (see docs/training.md).",
        resume_locked=True, omit_default=True,
    )
    split_by: str = option(
        "rows", "what validates: the last part of each row of the text (as the original), or the text's end",
        "training methods",
        "With rows, validation text is from all over the text, between training text. With end, the first -train_frac "
        "of the text trains, the next -val_frac validates, and the rest is the test set.",
        resume_locked=True, omit_default=True, choices=("rows", "end"),
    )
    val_file: str = option(
        "", "validate on this file; all of input.txt trains then", "training methods",
        "Its characters must be in the vocabulary of input.txt. -train_frac, -val_frac and -split_by are ignored.",
        resume_locked=True, omit_default=True,
    )
    test_file: str = option(
        "", "with -val_file: the file of the test set", "training methods",
        "charrnn evaluate -split test measures on it.",
        resume_locked=True, omit_default=True,
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding != "bpe" and self.vocab_size != TrainOptions.vocab_size:
            raise OptionError(f"-vocab_size {self.vocab_size}: needs -encoding bpe, which learns so many tokens")
        if self.encoding == "bpe" and self.min_count > 1:
            raise OptionError("-min_count: with -encoding bpe no symbol is unknown: lower -vocab_size instead")
        if self.test_file and not self.val_file:
            raise OptionError("-test_file: needs -val_file, the file to validate on")

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

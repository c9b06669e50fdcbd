"""Train a character-level language model (char-rnn's train.lua).

    python train.py                                              # tinyshakespeare, fetched once
    python train.py -data_dir data/some_folder -rnn_size 512 -num_layers 2 -dropout 0.5
    python train.py -resume latest                               # go on where a run stopped
    python train.py -init_from cv/lm_lstm_epoch26.00_1.3861.t7.pt   # go on from saved parameters

The text is data_dir/input.txt; checkpoints go to cv/. See `python train.py -help` for all options.
"""

import math
import sys
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import NoReturn

import click
import torch

from charrnn_port import checkpoint, graphed, texts
from charrnn_port import checkpoint_folder as folder
from charrnn_port.checkpoint import Checkpoint
from charrnn_port.command_line import command, fail, option, options
from charrnn_port.device import DTYPES, choose_device, choose_dtype, synchronize
from charrnn_port.parallel import Alone, processes
from charrnn_port.torch7.random import Generator
from charrnn_port.torch7.rmsprop import RMSprop
from charrnn_port.torch7.strfmt import lua_format
from charrnn_port.training import Training, initialize, open_forget_gates
from model import NETWORKS, fastest
from model.char_rnn import CELLS
from util.errors import UserError
from util.minibatch_loader import MinibatchLoader

echo = click.echo


@command(example="python train.py -data_dir data/some_folder -rnn_size 512 -num_layers 2 -dropout 0.5")
@options(
    "data",
    option("-data_dir", texts.TINYSHAKESPEARE, "data directory. Should contain the file input.txt with input data"),
)
@options(
    "model params",
    option("-rnn_size", 128, "size of LSTM internal state", minimum=1),
    option("-num_layers", 2, "number of layers in the LSTM", minimum=1),
    option("-model", "lstm", "which cell", choices=list(CELLS)),
)
@options(
    "optimization",
    option("-learning_rate", 2e-3, "learning rate", minimum=0),
    option("-learning_rate_decay", 0.97, "factor on the learning rate after an epoch", minimum=0),
    option("-learning_rate_decay_after", 10.0, "in number of epochs, when to start decaying the learning rate"),
    option("-decay_rate", 0.95, "decay rate for rmsprop", minimum=0, below=1),
    option("-dropout", 0.0, "dropout after each hidden layer, 0 = none; try 0.5 if it overfits", minimum=0, below=1),
    option("-seq_length", 50, "number of timesteps to unroll for", minimum=1),
    option("-batch_size", 50, "number of sequences to train on in parallel", minimum=1),
    option("-max_epochs", 50.0, "number of full passes through the training data, may be a fraction", above=0),
    option("-grad_clip", 5.0, "clip gradients at this value", above=0),
    option("-train_frac", 0.95, "fraction of data that goes into train set", minimum=0, maximum=1),
    option("-val_frac", 0.05, "fraction that goes into validation set; the rest is test", minimum=0, maximum=1),
    option("-init_from", "", "initialize network parameters from checkpoint at this path"),
)
@options(
    "bookkeeping",
    option("-seed", 123, "random number generator's seed"),
    option("-print_every", 1, "how many steps/minibatches between printing out the loss", minimum=1),
    option("-eval_val_every", 1000, "every how many iterations to evaluate on validation data and save", minimum=1),
    option("-checkpoint_dir", "cv", "output directory where checkpoints get written"),
    option("-savefile", "lstm", "part of the checkpoints' file names, which are inside checkpoint_dir"),
    option("-keep_last", 0, "how many of this run's newest checkpoints to keep, beside the best; 0 = all", minimum=0),
    option("-accurate_gpu_timing", 0, "1 = wait for the GPU before reading the clock; slower, but exact times"),
)
@options(
    "GPU/CPU",
    option("-gpuid", 0, "which GPU to use, CUDA or else MPS. -1 = use CPU"),
    option("-opencl", 0, "accepted for the original's sake: PyTorch has no OpenCL, 1 = use CPU"),
)
@options(
    "not in the original",
    option("-dtype", "auto", "auto = as the original: float64 on CPU, float32 on GPU", choices=["auto", *DTYPES]),
    option(
        "-state_carry", "alias", "alias = the original's, see README; copy = a real copy", choices=["alias", "copy"]
    ),
    option("-tf32", 0, "1 = let a GPU's products round to TF32, 3 digits: faster at large sizes, not the same numbers"),
    option("-resume", "", "go on with the run of this checkpoint, or of the latest in checkpoint_dir: -resume latest"),
    option("-cell", "auto", "how to run the cells; the same numbers. auto = the fastest", choices=["auto", *NETWORKS]),
)
def main(opt: SimpleNamespace) -> None:
    """Train a character-level language model."""
    with processes() as run, ExitStack() as claimed:
        with run.first_alone():
            resumed = take_options_of_run(opt) if opt.resume else None
            if run.rank == 0:
                claimed.enter_context(folder.claim(opt.checkpoint_dir))
            training = prepare(opt, resumed, run)
        train(opt, training, resumed)


# What may be given beside -resume: the other options change the numbers, and must be those of the run.
BOOKKEEPING = set("resume max_epochs print_every checkpoint_dir savefile keep_last accurate_gpu_timing gpuid".split())


def take_options_of_run(opt: SimpleNamespace) -> Checkpoint:
    """The checkpoint to go on from; `opt` gets the options of its run."""
    saved = folder.load_latest(opt.checkpoint_dir) if opt.resume == "latest" else checkpoint.load(opt.resume)
    if not saved.progress:
        raise UserError(f"{opt.resume} is of the Lua original, which kept too little to go on: use -init_from")
    for name, value in saved.opt.items():
        if name not in opt.given:
            setattr(opt, name, value)
        elif name not in BOOKKEEPING and getattr(opt, name) != value:
            raise UserError(
                f"-{name} {getattr(opt, name)} would change the run, which has {value}: leave it out, "
                "or start another run with -init_from"
            )
    return saved


def prepare(opt: SimpleNamespace, resumed: Checkpoint | None = None, run: Alone | None = None) -> Training:
    """Text, network and optimiser, before the first iteration or where a run stopped; `run` are its processes.

    With -init_from, `opt` gets the sizes of that network.
    """
    run = run or Alone()
    if opt.train_frac + opt.val_frac > 1 + 1e-12:
        raise UserError(
            f"-train_frac {opt.train_frac:g} and -val_frac {opt.val_frac:g} add up to more than 1: lower one of them"
        )
    random = Generator(opt.seed)
    rows = run.rows(opt.batch_size)
    device = run.device(choose_device(opt.gpuid, opt.opencl == 1, echo))
    dtype = choose_dtype(opt.dtype, device)
    torch.backends.cuda.matmul.allow_tf32 = opt.tf32 == 1

    data_dir = texts.provide(opt.data_dir, "data_dir" in opt.given, echo)
    loader = MinibatchLoader(data_dir, opt.batch_size, opt.seq_length, opt.train_frac, opt.val_frac, echo, rows)
    require_batches(loader, opt.max_epochs * loader.ntrain, opt.eval_val_every)
    echo(f"vocab size: {loader.vocab_size}")

    cell = fastest(dtype, device) if opt.cell == "auto" else opt.cell
    if resumed:
        echo(f"going on after iteration {resumed.i}")
        require_same_vocab(resumed.vocab, loader.vocab)
        network = resumed.build(cell, dtype, device)
    elif opt.init_from:
        echo(f"loading a model from checkpoint {opt.init_from}")
        saved = checkpoint.load(opt.init_from)
        require_same_vocab(saved.vocab, loader.vocab)
        for name in ("rnn_size", "num_layers", "model", "dropout"):
            setattr(opt, name, saved.opt[name])
        echo(
            f"overwriting rnn_size={opt.rnn_size}, num_layers={opt.num_layers}, model={opt.model} "
            "based on the checkpoint."
        )
        network = saved.build(cell, dtype, device)
    else:
        echo(f"creating an {opt.model} with {opt.num_layers} layers")
        network = NETWORKS[cell](opt.model, loader.vocab_size, opt.rnn_size, opt.num_layers, dtype=dtype, device=device)
        initialize(network, random)
    if opt.model == "lstm" and not resumed:  # after -init_from too, as in the original
        for layer in range(opt.num_layers):
            echo(f"setting forget gate biases to 1 in LSTM layer {layer + 1}")
            open_forget_gates(network, layer)
    echo(f"number of parameters in the model: {network.params.numel()}")

    optimizer = RMSprop(network.params, opt.learning_rate, opt.decay_rate)
    training = graphed.training(
        network,
        loader,
        optimizer,
        random,
        dropout=opt.dropout,
        grad_clip=opt.grad_clip,
        alias_state=opt.state_carry == "alias",
        processes=run,
    )
    if resumed:
        training.go_on(resumed.i, resumed.progress)
    return training


def train(opt: SimpleNamespace, training: Training, resumed: Checkpoint | None) -> None:
    """The loop: iterate, decay, evaluate and save, print."""
    with training.processes.interrupts as interrupts:
        loop(opt, training, resumed)
    if interrupts.received:
        sys.exit(128 + interrupts.received)


GOOD_EVERY = 50  # iterations from one state held in memory, for when the loss explodes, to the next


def loop(opt: SimpleNamespace, training: Training, resumed: Checkpoint | None) -> None:
    """Until the iterations are done, the loss explodes or somebody interrupts."""
    echo = training.processes.interrupts.echo
    first = training.processes.rank == 0
    loader = training.loader
    iterations = opt.max_epochs * loader.ntrain  # a fraction is possible, and then never reached
    train_losses = resumed.train_losses if resumed else []
    val_losses = resumed.val_losses if resumed else {}

    def state() -> Checkpoint:
        """A copy of what there is after the last iteration."""
        return Checkpoint(
            opt={name: value for name, value in vars(opt).items() if name not in ("given", "resume")},
            vocab=loader.vocab,
            params=training.network.params.to("cpu", copy=True),
            i=len(train_losses),
            epoch=len(train_losses) / loader.ntrain,
            train_losses=train_losses.copy(),
            val_losses=val_losses.copy(),
            val_loss=val_losses[max(val_losses)] if val_losses else math.nan,
            progress=training.progress(),
        )

    def save(path: str) -> None:
        echo(f"saving checkpoint to {path}")
        saved = state()
        if first:
            checkpoint.save(saved, path)

    if resumed and resumed.i >= int(iterations):
        echo(f"nothing left to do: all {int(iterations)} iterations are done; raise -max_epochs to go on")
    good = candidate = None
    for i in range(len(train_losses) + 1, int(iterations) + 1):
        epoch = i / loader.ntrain
        if candidate is None or i % GOOD_EVERY == 1:
            candidate = state()

        start = time.perf_counter()
        train_loss = training.iteration()
        if opt.accurate_gpu_timing == 1:
            synchronize(training.network.params.device)
        seconds = time.perf_counter() - start
        train_losses.append(train_loss)

        if i % loader.ntrain == 0 and opt.learning_rate_decay < 1 and epoch >= opt.learning_rate_decay_after:
            training.optimizer.learning_rate *= opt.learning_rate_decay
            echo(
                f"decayed learning rate by a factor {opt.learning_rate_decay:.14g} "
                f"to {training.optimizer.learning_rate:.14g}"
            )

        if i % opt.eval_val_every == 0 or i == iterations:
            val_losses[i] = training.evaluate(2, echo)
            save(folder.path(opt, epoch, val_losses[i]))
            if opt.keep_last and first:
                folder.delete_older(opt, val_losses, loader.ntrain)

        if i % opt.print_every == 0:
            echo(
                f"{i}/{int(iterations)} (epoch {lua_format(epoch, '.3f')}), "
                f"train_loss = {lua_format(train_loss, '.8f')}, "
                f"grad/param norm = {lua_format(training.norm_ratio(), '.4e')}, time/batch = {seconds:.4f}s"
            )

        if math.isnan(train_loss):
            echo(
                "loss is NaN.  This usually indicates a bug.  Please check the issues page for existing issues, "
                "or create a new issue, if none exist.  Ideally, please state: your operating system, "
                "32-bit/64-bit, your blas version, cpu/cuda/cl?"
            )
            abort(opt, i, good, first)
        if train_loss > train_losses[0] * 3:
            echo("loss is exploding, aborting.")
            abort(opt, i, good, first)
        good = candidate  # all that is in it went into this loss, or into that of an iteration since
        if training.processes.interrupted():
            path = folder.interrupted_path(opt)
            save(path)
            echo(f"interrupted; to go on: python train.py -resume {path}")
            break


def abort(opt: SimpleNamespace, i: int, good: Checkpoint | None, first: bool) -> NoReturn:
    """End the program after a loss that is no good, with the last good state saved where there is one."""
    if not first:  # of several processes one saves and tells
        sys.exit(3)
    if good is None:
        fail(
            f"the first loss, at iteration {i}, is no good, so there is no state worth saving: "
            "start from another checkpoint or with other options",
            3,
        )
    path = folder.interrupted_path(opt)
    checkpoint.save(good, path)
    fail(
        f"the loss at iteration {i} is no good; the state after iteration {good.i}, when it was, is saved: start again "
        f"from it with -init_from {path} and a -learning_rate below {good.progress['learning_rate']:g}",
        3,
    )


def require_batches(loader: MinibatchLoader, iterations: float, eval_val_every: int) -> None:
    """Stop now where there is nothing to train on, or where an evaluation would come with nothing to evaluate."""
    advice = f"the text makes {loader.nbatches} batches: lower -batch_size or -seq_length, or change the fractions"
    if loader.ntrain == 0:
        raise UserError(f"no batches in the train split; {advice}")
    evaluates = iterations >= eval_val_every or iterations == int(iterations)
    if loader.nval == 0 and evaluates:
        raise UserError(f"no batches in the validation split, and an evaluation would come; {advice}")


def require_same_vocab(saved: bytes, vocab: bytes) -> None:
    """The ids of two texts mean the same only where both use the same byte values."""
    if saved == vocab:
        return
    byte = min(set(saved) ^ set(vocab))
    where = "the checkpoint but not the text" if byte in saved else "the text but not the checkpoint"
    raise UserError(
        "the character vocabulary for this dataset and the one in the saved checkpoint are not the same: "
        f"{bytes([byte])!r} is in {where}. Train on a text with the {len(saved)} characters of the checkpoint"
    )


if __name__ == "__main__":
    main()

"""Prints the log lines of train.lua, character for character."""

import math
from collections.abc import Callable, Iterable, Iterator

from charrnn_port.command_line import command_of, quoted
from charrnn_port.options import TrainOptions
from charrnn_port.torch7.strfmt import lua_format
from charrnn_port.training.events import (
    Evaluated,
    Evaluating,
    Event,
    Exploded,
    Interrupted,
    Iteration,
    RateDecayed,
    Saved,
    Saving,
    Started,
)


def print_lines(events: Iterable[Event], echo: Callable[[str], None]) -> Iterator[Event]:
    """Pass the line of each event that has one to `echo`."""
    iterations = options = last = None
    for event in events:
        match event:
            case Started():
                iterations, options = int(event.iterations), event.options
                if event.i >= iterations and options.resume:
                    echo(f"nothing left to do: all {iterations} iterations are done; {after_the_end(options)}")
            case RateDecayed():
                echo(f"decayed learning rate by a factor {event.factor:.14g} to {event.learning_rate:.14g}")
            case Evaluating(done=0):
                echo(f"evaluating loss over split index {event.split_index}")
            case Evaluating():
                echo(f"{event.done}/{event.count}...")
            case Saving() if isinstance(last, Evaluated | Interrupted):
                echo(f"saving checkpoint to {event.path}")
            case Iteration() if event.i % options.print_every == 0:
                echo(
                    f"{event.i}/{iterations} (epoch {lua_format(event.epoch, '.3f')}), "
                    f"train_loss = {lua_format(event.train_loss, '6.8f')}, "
                    f"grad/param norm = {lua_format(event.grad_param_norm, '6.4e')}, "
                    f"time/batch = {event.seconds:.4f}s"
                )
            case Exploded() if math.isnan(event.train_loss):
                echo(
                    "loss is NaN.  This usually indicates a bug.  Please check the issues page for existing issues, "
                    "or create a new issue, if none exist.  Ideally, please state: your operating system, "
                    "32-bit/64-bit, your blas version, cpu/cuda/cl?"
                )
            case Exploded():
                echo("loss is exploding, aborting.")
            case Saved() if isinstance(last, Interrupted):
                echo(f"interrupted; to go on: {command_of('train')} -resume {quoted(event.path)}")
        if not isinstance(event, Saving | Saved):
            last = event
        yield event


def after_the_end(options: TrainOptions) -> str:
    """Return how to train a network further after all iterations of its run."""
    if options.lr_schedule == "cosine":  # -resume refuses another -max_epochs, which would change all learning rates
        path = options.checkpoint_dir if options.resume == "latest" else options.resume
        return f"a cosine schedule cannot be extended: start a new run with -init_from {path}"
    return "raise -max_epochs to continue"

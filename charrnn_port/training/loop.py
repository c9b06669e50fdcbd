"""The training loop of train.lua: iterate, decay the learning rate, evaluate, until the run ends.

It yields events (events.py). It prints nothing and writes no files.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from charrnn_port.checkpoints import best_evaluation
from charrnn_port.config import with_config
from charrnn_port.device import synchronize
from charrnn_port.options import TrainOptions
from charrnn_port.training.events import (
    Evaluated,
    Event,
    Exploded,
    Finished,
    Interrupted,
    Iteration,
    RateDecayed,
    Snapshot,
    Started,
    Stopped,
)
from charrnn_port.training.iteration import Training
from charrnn_port.training.preparation import prepare, resumed

SNAPSHOT_EVERY = 50  # iterations between the states kept in memory in case the loss explodes
VALIDATION = 2  # the index of the split


def train(options: TrainOptions | None = None, **values: Any) -> Iterator[Event]:
    """Train a network and yield the events of the run. Prints nothing and writes no checkpoints.

    The options, their defaults and the results are those of train.py.

        for event in charrnn_port.train(data_dir="data/tinyshakespeare", rnn_size=64):
            if isinstance(event, Iteration): print(event.i, event.train_loss)

    Pass a TrainOptions, or its fields by name, or both: names override. To stop, leave the loop. To save checkpoints,
    pass the events through `recorders.save_checkpoints`, or save `event.checkpoint` of an Evaluated event.

    Raises UserError where train.py would stop with an error: for invalid options at the call, for the text and the
    rest when the loop begins.
    """
    options = TrainOptions(**(options.values() if options else {}) | values)
    given = frozenset(name for name, value in options.values().items() if value != getattr(TrainOptions(), name))
    given |= set(values)
    if options.config:
        options, given = with_config(options, given)
    return start(options, given)


def start(options: TrainOptions, given: frozenset[str]) -> Iterator[Event]:
    """Prepare a run when its first event is requested, then run it to its end."""
    saved = None
    if options.resume:
        options, saved = resumed(options, given)
    yield from run(prepare(options, given, saved))


def run(
    training: Training,
    interrupted: Callable[[], bool] = lambda: False,
    save_wanted: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Run the training loop to its end and yield its events.

    `interrupted` is called after each iteration and before each batch of an evaluation; if it returns True, the run
    ends there. `save_wanted` is called after each iteration; if it returns True, a Snapshot follows.
    """
    options, ntrain = training.options, training.loader.ntrain
    iterations = options.max_epochs * ntrain
    done = training.pending_evaluation  # the iteration whose evaluation was interrupted in the run that is resumed
    first = training.i + (done is None)
    yield Started(options, first - 1, iterations, ntrain)
    # A snapshot counts as good once the next iteration, which starts from it, has a finite loss that is not too large.
    snapshot = last_good = None
    for i in range(first, int(iterations) + 1):
        if done is None:
            if best := out_of_patience(training):
                yield Stopped(training.i, best, training.val_losses[best])
                return
            if snapshot is None or i % SNAPSHOT_EVERY == 1:
                snapshot = training.checkpoint()
            done = iterate(training, i)
            factor = training.schedule.after_iteration(i)
            if factor is not None:
                yield RateDecayed(i, factor, training.optimizer.learning_rate)

        if i % options.eval_val_every == 0 or i == iterations:
            val_loss = yield from training.evaluate(VALIDATION, interrupted)
            if val_loss is None:
                training.pending_evaluation = done
                yield Interrupted(i, training.checkpoint())
                return
            training.pending_evaluation, training.val_losses[i] = None, val_loss
            factor = training.schedule.after_evaluation(i, val_loss)
            yield Evaluated(i, done.epoch, val_loss, training.checkpoint(), done)
            if factor is not None:
                yield RateDecayed(i, factor, training.optimizer.learning_rate)

        yield done
        train_loss, done = done.train_loss, None
        if math.isnan(train_loss) or train_loss > training.train_losses[0] * 3:
            yield Exploded(i, train_loss, last_good)
            return
        last_good = snapshot
        if interrupted():
            yield Interrupted(i, training.checkpoint())
            return
        if save_wanted():
            yield Snapshot(i, training.checkpoint())
    ends_unsaved = training.i >= first and training.i not in training.val_losses
    yield Finished(training.i, training.checkpoint() if ends_unsaved else None)


def out_of_patience(training: Training) -> int | None:
    """Return the iteration with the best validation loss if the last `-patience` evaluations did not improve on it.

    Returns None if the run should continue.
    """
    best = best_evaluation(training.val_losses) if training.options.patience else None
    if best is not None and sum(i > best for i in training.val_losses) >= training.options.patience:
        return best
    return None


def iterate(training: Training, i: int) -> Iteration:
    """Run iteration `i` and return its event."""
    learning_rate = training.optimizer.learning_rate
    start = time.perf_counter()
    train_loss = training.iteration()
    if training.options.accurate_gpu_timing == 1:
        synchronize(training.network.params.device)
    seconds = time.perf_counter() - start
    epoch = i / training.loader.ntrain
    return Iteration(i, epoch, train_loss, training.grad_param_norm(), learning_rate, seconds)

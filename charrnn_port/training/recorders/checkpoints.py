"""Saves checkpoints: after each evaluation, on request, and when a run ends without an evaluation."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from charrnn_port.checkpoints import Checkpoint, folder, save_checkpoint
from charrnn_port.training.events import (
    Evaluated,
    Event,
    Exploded,
    Finished,
    Interrupted,
    Saved,
    Saving,
    Snapshot,
    Started,
)

HOW = {Interrupted: "interrupted", Finished: "finished", Snapshot: "snapshot"}


def save_checkpoints(events: Iterable[Event]) -> Iterator[Event]:
    """Save the checkpoints of the events to the run's checkpoint_dir, and add the events Saving and Saved.

    Raises UserError if saving fails. Earlier checkpoints are not changed.
    """
    started = options = None
    for event in events:
        yield event
        if isinstance(event, Started):
            started, options = event, event.options
        elif isinstance(event, Evaluated):
            yield from write(event.checkpoint, folder.path(options, event.epoch, event.val_loss))
            if options.keep_last:
                folder.delete_older(options, event.checkpoint, started.ntrain)
        elif isinstance(event, Interrupted | Finished | Snapshot) and event.checkpoint is not None:
            yield from write(event.checkpoint, folder.path_without_evaluation(options, HOW[type(event)]))
        elif isinstance(event, Exploded) and event.last_good is not None:
            yield from write(event.last_good, folder.path_without_evaluation(options, "interrupted"))


def write(checkpoint: Checkpoint, wanted: str) -> Iterator[Event]:
    """Save a checkpoint at `wanted`, or under a free name beside it if a checkpoint of another run has that name."""
    path = folder.free_for(checkpoint, wanted)
    yield Saving(path, checkpoint.i, wanted)
    Path(path).parent.mkdir(parents=True, exist_ok=True)  # train.py has made it already, a Python program may not
    save_checkpoint(checkpoint, path)
    yield Saved(path, checkpoint.i)

"""Writes the checkpoints: after each evaluation, and when a run ends before its time."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from charrnn_port.checkpoints import Checkpoint, folder, save_checkpoint
from charrnn_port.options import TrainOptions
from charrnn_port.training.events import Evaluated, Event, Exploded, Interrupted, Saved, Saving, Started


def save_checkpoints(events: Iterable[Event], options: TrainOptions) -> Iterator[Event]:
    """Save to -checkpoint_dir what the events bring, and say so by the events Saving and Saved.

    Raises UserError where that fails; what was saved before is untouched.
    """
    ntrain = 0
    for event in events:
        yield event
        if isinstance(event, Started):
            ntrain = event.ntrain
        elif isinstance(event, Evaluated):
            yield from write(event.checkpoint, folder.path(options, event.epoch, event.val_loss))
            if options.keep_last:
                folder.delete_older(options, event.checkpoint.val_losses, ntrain)
        elif isinstance(event, Interrupted):
            yield from write(event.checkpoint, folder.interrupted_path(options))
        elif isinstance(event, Exploded) and event.last_good is not None:
            path = folder.interrupted_path(options)
            save_checkpoint(event.last_good, path)
            yield Saved(path, event.last_good.i)


def write(checkpoint: Checkpoint, path: str) -> Iterator[Event]:
    """Save the state that the run is in."""
    yield Saving(path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)  # train.py has claimed it; from Python nobody may have
    save_checkpoint(checkpoint, path)
    yield Saved(path, checkpoint.i)

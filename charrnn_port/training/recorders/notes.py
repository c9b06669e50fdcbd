"""Logs to stderr what train.lua does not print: validation losses, samples, and checkpoints without an evaluation."""

from collections.abc import Callable, Iterable, Iterator

from charrnn_port.checkpoints import best_evaluation
from charrnn_port.command_line import command_of, quoted
from charrnn_port.options import TrainOptions
from charrnn_port.training.events import Evaluated, Event, Finished, Sampled, Saved, Saving, Snapshot, Started, Stopped


def log_notes(events: Iterable[Event], log: Callable[[str], None]) -> Iterator[Event]:
    """Pass the note of each event that has one to `log`."""
    last = options = None
    for event in events:
        match event:
            case Started():
                options = event.options
            case Evaluated():
                log(validation(event))
            case Saving() if event.path != event.wanted:
                log(f"{event.wanted} belongs to another run: saving to {event.path} instead")
            case Saved() if isinstance(last, Snapshot):
                log(f"saved the state after iteration {event.i} to {event.path}")
            case Saved() if isinstance(last, Finished):
                log(
                    f"finished after iteration {event.i}, where no evaluation was due: the state is saved to "
                    f"{event.path}; {how_to_go_on(options, event.path)}"
                )
            case Sampled():
                log(f"{f'-- after iteration {event.i} --':-<40}\n{event.text}\n{'':-<40}")
            case Stopped():
                folder = "" if options.checkpoint_dir == "cv" else f" -checkpoint_dir {quoted(options.checkpoint_dir)}"
                log(
                    f"stopped after iteration {event.i} (early stopping): the best validation loss is "
                    f"{event.val_loss:.4f}, after iteration {event.best}; "
                    f"to go on: {command_of('train')} -resume latest{folder} with another -patience"
                )
        if not isinstance(event, Saving | Saved):
            last = event
        yield event


def how_to_go_on(options: TrainOptions, path: str) -> str:
    """Return the command that trains the network in a checkpoint further, after all iterations of its run."""
    if options.lr_schedule == "cosine":  # -resume refuses another -max_epochs, which would change all learning rates
        return f"to train it further: {command_of('train')} -init_from {quoted(path)}, a new run with its own schedule"
    return f"to go on: {command_of('train')} -resume {quoted(path)} with a larger -max_epochs"


def validation(event: Evaluated) -> str:
    """Return a line with the validation loss and the best one so far."""
    losses = event.checkpoint.val_losses
    line = f"validation loss {event.val_loss:.4f} after iteration {event.i} (epoch {event.epoch:.2f})"
    best = best_evaluation(losses)
    if best is None:
        return f"{line}: no batches to evaluate"
    return f"{line}, the best so far" if best == event.i else f"{line}; best {losses[best]:.4f} after iteration {best}"

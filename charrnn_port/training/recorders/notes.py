"""Says on stderr what the original never said: validation losses, samples, where states go that were not evaluated."""

from collections.abc import Callable, Iterable, Iterator

from charrnn_port.checkpoints import best_evaluation
from charrnn_port.command_line import command_of
from charrnn_port.training.events import Evaluated, Event, Finished, Sampled, Saved, Saving, Snapshot, Stopped


def log_notes(events: Iterable[Event], log: Callable[[str], None]) -> Iterator[Event]:
    """Give `log` a line for each event that has one."""
    last = None
    for event in events:
        match event:
            case Evaluated():
                log(validation(event))
            case Saving() if event.path != event.wanted:
                log(f"{event.wanted} is of another run: this one's goes to {event.path}")
            case Saved() if isinstance(last, Snapshot):
                log(f"saved the state after iteration {event.i} to {event.path}")
            case Saved() if isinstance(last, Finished):
                log(
                    f"finished after iteration {event.i}, where no evaluation was due: the state is saved to "
                    f"{event.path}; to go on: {command_of('train')} -resume {event.path} with a larger -max_epochs"
                )
            case Sampled():
                log(f"{f'-- after iteration {event.i} --':-<40}\n{event.text}\n{'':-<40}")
            case Stopped():
                log(
                    f"stopped after iteration {event.i}: the best validation loss is still {event.val_loss:.4f}, after "
                    f"iteration {event.best}; to go on: {command_of('train')} -resume latest with another -patience"
                )
        if not isinstance(event, Saving | Saved):
            last = event
        yield event


def validation(event: Evaluated) -> str:
    """The validation loss, and how it compares."""
    losses = event.checkpoint.val_losses
    line = f"validation loss {event.val_loss:.4f} after iteration {event.i} (epoch {event.epoch:.2f})"
    best = best_evaluation(losses)
    if best is None:
        return f"{line}: no batches to evaluate"
    return f"{line}, the best so far" if best == event.i else f"{line}; best {losses[best]:.4f} after iteration {best}"

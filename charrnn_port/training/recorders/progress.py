"""Shows on a terminal how far the run is: a bar under the lines."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from charrnn_port.training.events import Evaluated, Evaluating, Event, Interrupted, Iteration, Started
from charrnn_port.util import progress

RECENT = 100  # iterations that the loss and the speed are the mean of


def show_progress(events: Iterable[Event]) -> Iterator[Event]:
    """Keep a bar up to date with the run, and another one in its place during an evaluation."""
    recent: deque[Iteration] = deque(maxlen=RECENT)
    validation: list[str] = []

    def facts() -> list[str]:
        loss = sum(each.train_loss for each in recent) / len(recent)
        speed = characters * len(recent) / sum(each.seconds for each in recent)
        return [f"loss {loss:.3f}", *validation, f"epoch {recent[-1].epoch:.1f}", f"{short(speed)} char/s"]

    with ExitStack() as whole, ExitStack() as evaluation:
        for event in events:
            match event:
                case Started():
                    bar = whole.enter_context(progress.bar("", int(event.iterations), done=event.i, delay=0))
                    characters = event.options.batch_size * event.options.seq_length
                case Evaluating(done=0):
                    evaluating = evaluation.enter_context(progress.bar("evaluating", event.count))
                case Evaluating():
                    evaluating.reach(event.done)
                case Evaluated() | Interrupted():
                    evaluation.close()
                    if isinstance(event, Evaluated):
                        validation = losses(event)
                case Iteration():
                    recent.append(event)
                    bar.reach(event.i, facts)
            yield event


def losses(event: Evaluated) -> list[str]:
    """The last validation loss and the best one."""
    best = min((loss for loss in event.checkpoint.val_losses.values() if not math.isnan(loss)), default=math.nan)
    return [f"val {event.val_loss:.3f}", f"best {best:.3f}"]


def short(number: float) -> str:
    """A number with two or three digits."""
    for unit in ("", "k"):
        if number < 999.5:
            return f"{number:.0f}{unit}"
        number /= 1000
    return f"{number:.1f}M"

"""Shows a progress bar on the terminal, below the log lines."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from charrnn_port.training.events import Evaluated, Evaluating, Event, Interrupted, Iteration, Started
from charrnn_port.util import progress

RECENT = 100  # iterations over which loss and speed are averaged


def show_progress(events: Iterable[Event]) -> Iterator[Event]:
    """Update a bar after each iteration, and show another bar during an evaluation."""
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
    """Return the last and the best validation loss, in words."""
    best = min((loss for loss in event.checkpoint.val_losses.values() if not math.isnan(loss)), default=math.nan)
    return [f"val {event.val_loss:.3f}", f"best {best:.3f}"]


def short(number: float) -> str:
    """Return a number in words with two or three digits, such as 40k."""
    for unit in ("", "k"):
        if number < 999.5:
            return f"{number:.0f}{unit}"
        number /= 1000
    return f"{number:.1f}M"

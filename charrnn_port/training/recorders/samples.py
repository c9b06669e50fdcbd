"""Samples text from the network at intervals during training."""

from collections.abc import Callable, Iterable, Iterator

from charrnn_port.training.events import Event, Iteration, Sampled


def add_samples(events: Iterable[Event], every: int, draw: Callable[[], bytes]) -> Iterator[Event]:
    """Add a Sampled event with the text that `draw` returns, every `every` iterations.

    `draw` must not change the state of the run.
    """
    for event in events:
        yield event
        if isinstance(event, Iteration) and event.i % every == 0:
            yield Sampled(event.i, draw().decode(errors="replace"))

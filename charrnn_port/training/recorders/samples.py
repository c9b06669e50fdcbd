"""Lets the network write now and then, to show what it has learned by now."""

from collections.abc import Callable, Iterable, Iterator

from charrnn_port.training.events import Event, Iteration, Sampled


def add_samples(events: Iterable[Event], every: int, draw: Callable[[], bytes]) -> Iterator[Event]:
    """After every `every` iterations add an event with what `draw` returns; that must leave the run as it is."""
    for event in events:
        yield event
        if isinstance(event, Iteration) and event.i % every == 0:
            yield Sampled(event.i, draw().decode(errors="replace"))

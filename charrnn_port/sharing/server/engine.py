"""Continuous batching: all texts in progress on a model advance together, one character each per step.

A text may join or leave at any step. Each gets the same characters as alone, since the arithmetic of a row of the batch
does not depend on the other rows (charrnn_port/sampling/batch.py).
"""

import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from charrnn_port.sampling import BatchedSession, Model, Session, samplers
from charrnn_port.sharing.server.stream import Stream


class BusyError(Exception):
    """The queue is full."""


class Engine:
    """Generates the texts of one model: at most `at_once` together, while at most `queue` more wait."""

    def __init__(self, model: Model, at_once: int, queue: int) -> None:
        self.model = model
        self._start = Session(model).scores  # before the first character of any text
        self._draw = samplers.BatchedCategorical(model.sampling_dtype, model.vocab.unknown)
        self._at_once, self._queue = at_once, queue
        self._waiting: deque[Stream] = deque()
        self._clear()

    @property
    def load(self) -> tuple[int, int]:
        """The numbers of texts in progress and of texts that wait."""
        return len(self._flight), len(self._waiting)

    def submit(self, streams: Sequence[Stream]) -> None:
        """Queue some texts. Raises BusyError, and queues none, where there is no place for all of them."""
        if len(streams) > self._at_once + self._queue - sum(self.load):
            raise BusyError
        self._waiting.extend(streams)

    def cancel(self, streams: Sequence[Stream]) -> None:
        """Cancel some texts: those in progress end with the next step, those that wait never start."""
        for stream in streams:
            stream.cancel()
            with suppress(ValueError):
                self._waiting.remove(stream)

    def step(self) -> None:
        """Start waiting texts where there is a place, and advance each text by one character. Any thread may call."""
        old = len(self._flight)
        with suppress(IndexError):  # the queue is empty
            while len(self._flight) < self._at_once:
                self._flight.append(self._waiting.popleft())
        try:
            self._step(old)
        except Exception:  # a bug: these texts end with an error, and the engine keeps serving others
            traceback.print_exc()
            for stream in self._flight:
                stream.finish("error")
            self._clear()

    def _clear(self) -> None:
        self._flight: list[Stream] = []
        self._sessions = BatchedSession(self.model, 0)

    def _step(self, old: int) -> None:
        """Feed the first `old` texts, which were in progress before, then choose the next character of all texts."""
        count, flight = len(self._flight), self._flight
        if old:
            self._sessions.feed([stream.last for stream in flight[:old]])
            scores = self._sessions.scores.T
        plain = [place for place in range(old) if flight[place].plain]
        if plain:
            randoms, temperatures = zip(*(flight[place].plain for place in plain), strict=True)
            drawn = self._draw(randoms, temperatures, scores if len(plain) == old else scores[plain])
            for place, id_ in zip(plain, drawn, strict=True):
                flight[place].add(id_)
        if len(plain) < count:
            for place in sorted(set(range(count)).difference(plain)):
                flight[place].choose(scores[place] if place < old else self._start)
        going = [place for place in range(count) if flight[place].goes_on]
        if old < count or len(going) < count:
            stay = [place for place in going if place < old]
            self._sessions.keep(stay, len(going) - len(stay))
            self._flight = [flight[place] for place in going]

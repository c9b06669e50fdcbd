"""Continuous batching: all texts in progress on a model go on together, a character each at a time.

A text may join or leave at any step. Each gets the characters that it would get alone, whoever else is there: the
arithmetic of a text depends on nothing but itself (charrnn_port/sampling/batch.py).
"""

import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from charrnn_port.sampling import BatchedSession, Model, Session, samplers
from charrnn_port.sharing.server.stream import Stream


class BusyError(Exception):
    """There is no room for more texts, not even to wait."""


class Engine:
    """The texts in progress on one model: `at_once` of them together, while `queue` more wait."""

    def __init__(self, model: Model, at_once: int, queue: int) -> None:
        self.model = model
        self._start = Session(model).scores  # before the first character of any text
        self._draw = samplers.BatchedCategorical(model.sampling_dtype, model.vocab.unknown)
        self._at_once, self._queue = at_once, queue
        self._waiting: deque[Stream] = deque()
        self._clear()

    @property
    def load(self) -> tuple[int, int]:
        """How many texts are in progress, and how many wait."""
        return len(self._flight), len(self._waiting)

    def submit(self, streams: Sequence[Stream]) -> None:
        """Begin some texts. Raises BusyError where there is no room for all of them; then none begins."""
        if len(streams) > self._at_once + self._queue - sum(self.load):
            raise BusyError
        self._waiting.extend(streams)

    def cancel(self, streams: Sequence[Stream]) -> None:
        """Nobody waits for these: those in progress end before the next step, and others never begin."""
        for stream in streams:
            stream.cancel()
            with suppress(ValueError):
                self._waiting.remove(stream)

    def step(self) -> None:
        """Begin what waits, where there is room, and go on by a character in each text. May be called in any thread."""
        old = len(self._flight)
        with suppress(IndexError):  # nobody waits
            while len(self._flight) < self._at_once:
                self._flight.append(self._waiting.popleft())
        try:
            self._step(old)
        except Exception:  # an error of ours: those who wait for these texts are to know, and others to be served
            traceback.print_exc()
            for stream in self._flight:
                stream.finish("error")
            self._clear()

    def _clear(self) -> None:
        self._flight: list[Stream] = []
        self._next: list[int] = []  # what each of them is to be fed
        self._sessions = BatchedSession(self.model, 0)

    def _step(self, old: int) -> None:
        """Feed the `old` texts in progress, the first, then choose the next character of all."""
        count, flight = len(self._flight), self._flight
        if old:
            self._sessions.feed(self._next)
            scores = self._sessions.scores.T
        ids = [0] * count
        plain = [place for place in range(old) if flight[place].plain]
        if plain:
            randoms, temperatures = zip(*(flight[place].plain for place in plain), strict=True)
            drawn = self._draw(randoms, temperatures, scores if len(plain) == old else scores[plain])
            for place, id_ in zip(plain, drawn, strict=True):
                ids[place] = id_
                flight[place].add(id_)
        if len(plain) < count:
            for place in sorted(set(range(count)).difference(plain)):
                ids[place] = flight[place].choose(scores[place] if place < old else self._start)
        going = [place for place in range(count) if flight[place].goes_on]
        self._next = [ids[place] for place in going]
        if old < count or len(going) < count:
            stay = [place for place in going if place < old]
            self._sessions.keep(stay, len(going) - len(stay))
            self._flight = [flight[place] for place in going]

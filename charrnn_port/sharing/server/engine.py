"""Continuous batching: all texts in progress on a model go on together, a character each at a time.

A text may join or leave at any step. Each gets the characters that it would get alone, whoever else is there: the
arithmetic of a text depends on nothing but itself (charrnn_port/sampling/batch.py).
"""

import threading
import traceback
from collections import deque
from collections.abc import Sequence

from charrnn_port.sampling import Model, Session, Sessions, choices
from charrnn_port.sharing.server.stream import Stream


class BusyError(Exception):
    """There is no room for more texts, not even to wait."""


class Engine:
    """A thread that steps the texts in progress on one model: `at_once` of them together, while `queue` more wait."""

    def __init__(self, model: Model, at_once: int, queue: int) -> None:
        self.model = model
        self.characters = 0  # drawn so far
        self._start = Session(model).scores  # before the first character of any text
        self._at_once, self._queue = at_once, queue
        self._change, self._closing = threading.Condition(), False
        self._waiting: deque[Stream] = deque()
        self._clear()
        self._thread = threading.Thread(target=self._run, daemon=True, name="engine")
        self._thread.start()

    @property
    def load(self) -> tuple[int, int]:
        """How many texts are in progress, and how many wait."""
        return len(self._flight), len(self._waiting)

    def submit(self, streams: Sequence[Stream]) -> None:
        """Begin some texts. Raises BusyError where there is no room for all of them; then none begins."""
        with self._change:
            room = self._at_once + self._queue - len(self._flight) - len(self._waiting)
            if len(streams) > room or self._closing:
                raise BusyError
            self._waiting.extend(streams)
            self._change.notify()

    def close(self) -> None:
        """Begin no more; the thread ends once all texts have."""
        with self._change:
            self._closing = True
            self._change.notify()

    def join(self) -> None:
        """Wait until it has."""
        self._thread.join()

    def _clear(self) -> None:
        self._flight: list[Stream] = []
        self._next: list[int] = []  # what each of them is to be fed
        self._sessions = Sessions(self.model, 0)

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._flight or self._waiting or self._closing)
                if not (self._flight or self._waiting):
                    return
                count = min(len(self._waiting), self._at_once - len(self._flight))
                new = [self._waiting.popleft() for _ in range(count)]
                flight = self._flight = self._flight + new
            try:
                self._step(len(new))
            except Exception:  # an error of ours: those who wait for these texts are to know, and others to be served
                traceback.print_exc()
                for stream in flight:
                    stream.finish("error")
                self._clear()

    def _step(self, new: int) -> None:
        """Feed all texts in progress but the `new` ones, the last, then choose the next character of each."""
        old = len(self._flight) - new
        rows = [self._start] * new
        if old:
            self._sessions.feed(self._next)
            scores = self._sessions.scores.T
            rows = [*scores, *rows]
        ids = [stream.given() for stream in self._flight]
        plain = [place for place in range(old) if ids[place] is None and self._flight[place].plainly]
        if plain:
            randoms, temperatures = zip(*(self._flight[place].plainly for place in plain), strict=True)
            drawn = choices.drawn_together(
                randoms, temperatures, scores[plain], self.model.drawn_from, self.model.vocab.unknown
            )
            for place, id_ in zip(plain, drawn, strict=True):
                ids[place] = id_
        for place, stream in enumerate(self._flight):
            if ids[place] is None:
                ids[place] = stream.choose(rows[place])
            stream.take(ids[place], rows[place])
        going = [place for place, stream in enumerate(self._flight) if stream.goes_on]
        self._next = [ids[place] for place in going]
        if new or len(going) < len(self._flight):
            stay = [place for place in going if place < old]
            self._sessions.keep(stay, len(going) - len(stay))
            with self._change:
                self._flight = [self._flight[place] for place in going]

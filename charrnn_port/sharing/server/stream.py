"""One text in progress: a buffer between the engine, which generates it, and the response, which reads it."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from charrnn_port.sampling import StopSequenceBuffer, log_probs_of, samplers
from charrnn_port.torch7.random import Generator


class Token(NamedTuple):
    """One character of a text, and the prediction for it."""

    id: int
    log_prob: float | None  # in nats; None if not requested, and for the first character of a prime text
    top: list[tuple[int, float]]  # the most likely ids and their log-probabilities in nats, in descending order


class Stream:
    """A text in progress: `length` characters after `prime`.

    The reader calls `read`, the engine all other methods. The engine never waits for a reader: unread tokens are kept.
    """

    def __init__(
        self,
        prime: Sequence[int],
        length: int,
        choose: samplers.Sampler,
        notify: Callable[[], None],
        *,
        plainly: tuple[Generator, float] | None,
        top: int | None,
        echo: bool,
        stops: Sequence[bytes],
        decode: Callable[[list[int]], bytes],
    ) -> None:
        """Create a stream; the engine calls `notify` after the first readable character and after the last.

        `plainly`: the random stream and the temperature, if `choose` is plain categorical sampling. `top`: the number
        of most likely characters to report with log-probabilities; None for no log-probabilities. `echo`: include the
        prime text. The text ends before the first stop sequence of `stops`, which are bytes as `decode` returns them.
        """
        self.finish_reason: str | None = None  # stop, length or error; once it is set, all characters are there
        self.goes_on = True  # False once the text is complete or cancelled
        self.created, self.first = time.monotonic(), None  # in seconds; `first`: time of the first readable character
        self.last: int  # the newest id, which the engine feeds to the network in the next step
        # Set once the rest of the text needs only categorical sampling, which the engine does for many texts at once.
        self.plain: tuple[Generator, float] | None = None
        self._plainly = None if stops or top is not None else plainly
        self._prime, self._begun, self._left = deque(prime), False, length
        self._choose, self._top, self._echo = choose, top, echo
        self._notify, self._decode = notify, decode
        self._held = StopSequenceBuffer(stops) if stops else None
        self._held_tokens: deque[tuple[Token, int]] = deque()  # tokens held back, with their sizes in bytes
        self._shown = 0  # leading bytes of them that cannot be the beginning of a stop sequence
        self._tokens: deque[Token] = deque()

    def read(self) -> list[Token]:
        """Return the tokens that were added since the last call."""
        return [self._tokens.popleft() for _ in range(len(self._tokens))]

    def cancel(self) -> None:
        """Make the engine drop this text after its next step."""
        self.goes_on = False

    def choose(self, scores: np.ndarray) -> None:
        """Add the next id: from the prime text, or sampled from scores `[V]` (unnormalized log-probs)."""
        if self._prime:
            id_ = self._prime.popleft()
            if self._echo:
                self._emit(self._token(id_, scores if self._begun else None))
            self._begun = True
        else:
            id_ = self._choose(scores)
            self._left -= 1
            token = self._token(id_, scores)
            if self._held:
                self._hold(token)
            else:
                self._emit(token)
        if not self._prime:
            self.plain = self._plainly
            if not self._left:
                self._emit(*(token for token, _ in self._held_tokens))
                self.finish("length")
        self.last = id_

    def add(self, id_: int) -> None:
        """Add an id that the engine sampled for this text, which must be `plain`."""
        self.last = id_
        self._left -= 1
        self._emit(Token(id_, None, []))
        if not self._left:
            self.finish("length")

    def finish(self, reason: str) -> None:
        """Mark the text as complete. Only the first reason is kept."""
        if not self.finish_reason:
            self.finish_reason, self.goes_on = reason, False
            self._notify()

    def _token(self, id_: int, scores: np.ndarray | None) -> Token:
        if self._top is None or scores is None:
            return Token(id_, None, [])
        log_probs = log_probs_of(scores)
        top = np.argsort(-log_probs, kind="stable")[: self._top]
        return Token(id_, float(log_probs[id_]), [(int(each), float(log_probs[each])) for each in top])

    def _hold(self, token: Token) -> None:
        """Emit the tokens that cannot be part of a stop sequence, and hold back the others."""
        text = self._decode([token.id])
        self._held_tokens.append((token, len(text)))
        self._shown += len(self._held.push(text))
        while self._held_tokens and self._held_tokens[0][1] <= self._shown:
            token, size = self._held_tokens.popleft()
            self._shown -= size
            self._emit(token)
        if self._held.reached:
            self._held_tokens.clear()
            self.finish("stop")

    def _emit(self, *tokens: Token) -> None:
        self._tokens.extend(tokens)
        if tokens and self.first is None:
            self.first = time.monotonic()
            self._notify()

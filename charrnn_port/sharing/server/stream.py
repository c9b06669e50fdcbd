"""One text that somebody has asked for, between the engine, which writes it, and the one who reads it."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from charrnn_port.sampling import StopSequenceBuffer, log_probs_of, samplers
from charrnn_port.torch7.random import Generator


class Token(NamedTuple):
    """One character of a text, and what the network foretold in its place."""

    id: int
    log_prob: float | None  # in nats; None where it was not asked for, and for the first of a prime text
    top: list[tuple[int, float]]  # the ids foretold as the likeliest with their log-probabilities, the likeliest first


class Stream:
    """A text in progress: `length` characters after `prime`.

    The reader calls `read`, the engine all else. Nothing waits for a reader: what he has not read is kept.
    """

    def __init__(
        self,
        prime: Sequence[int],
        length: int,
        choose: samplers.Sampler,
        notify: Callable[[], None],
        *,
        plainly: tuple[Generator, float] | None = None,
        top: int | None = None,
        echo: bool = False,
        stops: Sequence[bytes] = (),
        decode: Callable[[list[int]], bytes],
    ) -> None:
        """`notify` is called, by the engine, after the first character that can be read and after the last.

        `plainly`: the random stream and the temperature, where `choose` only draws. `top`: how many of the likeliest
        characters to tell beside log-probabilities; None for no log-probabilities. `echo`: the prime text counts as
        part of the text. The text ends before the first of `stops`, which are in `decode`'s bytes.
        """
        self.finish_reason: str | None = None  # stop, length, error; once it is there, so are all characters
        self.goes_on = True  # whether there is more to come, for somebody
        self.created, self.first = time.monotonic(), None  # in seconds; `first`: when a character could be read
        # Where a character is only to be drawn and told, which the engine does for many texts together: from now on.
        self.plain: tuple[Generator, float] | None = None
        self._plainly = None if stops or top is not None else plainly
        self._prime, self._begun, self._left = deque(prime), False, length
        self._choose, self._top, self._echo = choose, top, echo
        self._notify, self._decode = notify, decode
        self._held = StopSequenceBuffer(stops) if stops else None
        self._held_tokens: deque[tuple[Token, int]] = deque()  # with their sizes in bytes
        self._shown = 0  # bytes of them that surely do not begin a stop
        self._tokens: deque[Token] = deque()

    def read(self) -> list[Token]:
        """What has come since it was called last."""
        return [self._tokens.popleft() for _ in range(len(self._tokens))]

    def cancel(self) -> None:
        """Nobody reads on: the engine leaves off before its next step."""
        self.goes_on = False

    def choose(self, scores: np.ndarray) -> int:
        """Go on by a character: the next of the prime text, or one chosen from these scores `[V]`."""
        if self._prime:
            id_ = self._prime.popleft()
            if self._echo:
                self._tell(self._token(id_, scores if self._begun else None))
            self._begun = True
        else:
            id_ = self._choose(scores)
            self._left -= 1
            token = self._token(id_, scores)
            if self._held:
                self._hold(token)
            else:
                self._tell(token)
        if not self._prime:
            self.plain = self._plainly
            if not self._left:
                self._tell(*(token for token, _ in self._held_tokens))
                self.finish("length")
        return id_

    def add(self, id_: int) -> None:
        """Go on by a character that was drawn for this text, which is `plain`."""
        self._left -= 1
        self._tell(Token(id_, None, []))
        if not self._left:
            self.finish("length")

    def finish(self, reason: str) -> None:
        """Nothing more will come; of several reasons the first counts."""
        if not self.finish_reason:
            self.finish_reason, self.goes_on = reason, False
            self._notify()

    def _token(self, id_: int, scores: np.ndarray | None) -> Token:
        if self._top is None or scores is None:
            return Token(id_, None, [])
        log_probs = log_probs_of(scores)
        likeliest = np.argsort(-log_probs, kind="stable")[: self._top]
        return Token(id_, float(log_probs[id_]), [(int(each), float(log_probs[each])) for each in likeliest])

    def _hold(self, token: Token) -> None:
        """Tell of those characters that surely do not begin a stop."""
        text = self._decode([token.id])
        self._held_tokens.append((token, len(text)))
        self._shown += len(self._held.push(text))
        while self._held_tokens and self._held_tokens[0][1] <= self._shown:
            token, size = self._held_tokens.popleft()
            self._shown -= size
            self._tell(token)
        if self._held.reached:
            self._held_tokens.clear()
            self.finish("stop")

    def _tell(self, *tokens: Token) -> None:
        self._tokens.extend(tokens)
        if tokens and self.first is None:
            self.first = time.monotonic()
            self._notify()

"""What one request for texts gets, all at once or as it is written."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from charrnn_port.sharing.server.completions import Completion
from charrnn_port.sharing.server.errors import RequestError
from charrnn_port.sharing.server.metrics import Metrics
from charrnn_port.sharing.server.models import Served

# To send a piece takes as long as to write some ten characters. So with many texts each comes in longer pieces.
PAUSE = 0.05  # seconds between two pieces of a text, at least
PIECES = 500  # a second, of all texts on a network together, at most


class Answer:
    """The texts that one request gets, which begin with it. Raises BusyError where there is no room for them."""

    def __init__(self, asked: Completion, model: Served, metrics: Metrics, seconds: float) -> None:
        """`seconds` is the time it may take."""
        self._asked, self._model, self._metrics = asked, model, metrics
        self._texts, self._news, self._loop = asked.texts(), asyncio.Event(), asyncio.get_running_loop()
        self._deadline = time.monotonic() + seconds
        self._streams = asked.streams(self._notify)
        model.write(self._streams)

    def leave(self) -> None:
        """Nobody waits for the rest."""
        self._model.engine.cancel([stream for stream in self._streams if stream.goes_on])
        self._metrics.ended(self._model.id, self._streams, sum(text.count for text in self._texts))

    async def whole(self) -> dict:
        """All at once. Raises RequestError where it takes too long, or the engine failed."""
        while not all(stream.finish_reason for stream in self._streams):
            await self._wait()
        return self._asked.answer(self._parts(range(len(self._streams))), self._asked.usage(self._texts))

    async def events(self) -> AsyncIterator[str]:
        """As it is written: server-sent events, in each the next characters of one text."""
        usage = {"usage": None} if self._asked.with_usage else {}
        going, pause = range(len(self._streams)), None
        try:
            while going:
                await self._wait(pause)
                parts = self._parts(going)
                ended = [part["index"] for part in parts if part["finish_reason"]]
                going = [place for place in going if place not in ended]
                events = [self._asked.answer([part]) | usage for part in parts]
                if usage and not going:
                    events.append(self._asked.answer([], self._asked.usage(self._texts)))
                if events:
                    pause = max(PAUSE, self._model.engine.load[0] / PIECES)
                    yield "".join(map(event_of, events)) + ("" if going else END)
        except RequestError as error:
            yield event_of(error.body()) + END

    def _parts(self, places: Sequence[int]) -> list[dict]:
        """What has come of these texts, of those of which something has."""
        parts = []
        for place in places:
            stream = self._streams[place]
            reason = stream.finish_reason  # first: once it is there, so are all characters
            if reason == "error":
                raise RequestError("the server failed to write this text", status=500)
            if (tokens := stream.read()) or reason:
                parts.append(self._texts[place].part(tokens, reason))
        return parts

    async def _wait(self, pause: float | None = None) -> None:
        """Until there is news, at most for a pause; not beyond the time that there is."""
        left = self._deadline - time.monotonic()
        with anyio.move_on_after(left if pause is None else min(left, pause)):
            await self._news.wait()
        if time.monotonic() >= self._deadline:
            raise RequestError("the text takes too long: ask for a shorter one", status=504, code="timeout")
        self._news.clear()

    def _notify(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # a step in a thread
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                self._loop.call_soon_threadsafe(self._news.set)
        else:
            self._news.set()


END = "data: [DONE]\n\n"


def event_of(value: dict) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


class Events(StreamingResponse):
    """An answer as server-sent events. Its texts end with it, whether it was read to the end or not."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As Starlette's."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.leave()

"""The response to one completion request, whole or streamed as server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from charrnn_port.sharing.server.completions import Completion
from charrnn_port.sharing.server.errors import RequestError
from charrnn_port.sharing.server.metrics import Metrics
from charrnn_port.sharing.server.models import Served

# Sending an event takes about as long as computing ten characters. With many texts, each is sent in longer pieces.
PAUSE = 0.05  # least number of seconds between two events of a text
PIECES = 500  # most events a second, for all texts on a network together


class Answer:
    """The texts of one request, which start when it is created. Raises BusyError where the queue is full."""

    def __init__(self, asked: Completion, model: Served, metrics: Metrics, seconds: float) -> None:
        """Start the texts of a completion; `seconds` is the time limit of the whole response."""
        self._asked, self._model, self._metrics = asked, model, metrics
        self._news, self._loop = asyncio.Event(), asyncio.get_running_loop()
        self._deadline = time.monotonic() + seconds
        self._stopping = False
        self._texts = asked.texts(self._notify)
        model.write(self._texts)

    def stop(self) -> None:
        """End the response with an error, because the server stops."""
        self._stopping = True
        self._news.set()

    def leave(self) -> None:
        """Cancel the texts that are still in progress, and count the response in the metrics."""
        ended_here = self._stopping or time.monotonic() >= self._deadline  # not by the client
        gone = not ended_here and not all(text.finish_reason for text in self._texts)
        self._model.engine.cancel([text for text in self._texts if text.goes_on])
        self._metrics.ended(self._model.id, self._texts, gone)

    async def whole(self) -> dict:
        """Return the whole response. Raises RequestError as `_wait`, and where the engine failed."""
        while not all(text.finish_reason for text in self._texts):
            await self._wait()
        return self._asked.answer([text.choice() for text in self._texts], self._asked.usage(self._texts))

    async def events(self) -> AsyncIterator[str]:
        """Yield the response as server-sent events, each with the next characters of one text."""
        usage = {"usage": None} if self._asked.with_usage else {}
        going, pause = self._texts, None
        try:
            while going:
                await self._wait(pause)
                choices = [choice for text in going if (choice := text.choice())]
                going = [text for text in going if not text.ended]
                events = [self._asked.answer([choice]) | usage for choice in choices]
                if usage and not going:
                    events.append(self._asked.answer([], self._asked.usage(self._texts)))
                if events:
                    pause = max(PAUSE, self._model.engine.load[0] / PIECES)
                    yield "".join(map(event_of, events)) + ("" if going else END)
        except RequestError as error:
            yield event_of(error.body()) + END

    async def _wait(self, pause: float | None = None) -> None:
        """Wait for new characters, at most `pause` seconds.

        Raises RequestError after the time limit, and when the server stops.
        """
        left = self._deadline - time.monotonic()
        with anyio.move_on_after(left if pause is None else min(left, pause)):
            await self._news.wait()
        if self._stopping:
            raise RequestError("the server is stopping: send the request again", status=503, code="server_stopping")
        if time.monotonic() >= self._deadline:
            raise RequestError("the request timed out: lower max_tokens", status=504, code="timeout")
        self._news.clear()

    def _notify(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # called by a step that runs in a thread, where there is no event loop
            with suppress(RuntimeError):  # the event loop has been closed, so no response is waiting
                self._loop.call_soon_threadsafe(self._news.set)
        else:
            self._news.set()


END = "data: [DONE]\n\n"


def event_of(value: dict) -> str:
    """Return a value as a server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


class Events(StreamingResponse):
    """A response of server-sent events that calls `leave` when it ends or the client disconnects."""

    def __init__(self, answer: Answer, leave: Callable[[Answer], None]) -> None:
        super().__init__(answer.events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._answer, self._leave = answer, leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `StreamingResponse.__call__`."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave(self._answer)

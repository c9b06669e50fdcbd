"""uvicorn's HTTP connections with a timeout for request headers."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 15.0  # seconds from the start of a connection, or from a request's first bytes, to the end of its headers


class Protocol(H11Protocol):
    """An HTTP connection that is closed when the headers are late; uvicorn itself waits for them without a limit."""

    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the timeout on a new connection."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Process data; cancel the timeout unless the headers are still incomplete.

        It runs as well while the rest of a body arrives whose request has been answered, such as with 413.
        """
        super().data_received(data)
        if self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE:
            self._wait()
        elif self._impatience:
            self._impatience.cancel()
            self._impatience = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout of a closed connection."""
        super().connection_lost(exc)
        if self._impatience:
            self._impatience.cancel()

    def _wait(self) -> None:
        if not self._impatience:
            self._impatience = self.loop.call_later(PATIENCE, self.transport.close)

"""Connections: uvicorn's, with an end to those on which no whole request comes."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 15.0  # seconds from a connection, or from a request's first bytes, to the end of its headers


class Protocol(H11Protocol):
    """uvicorn itself would wait for ever for the rest of a request's headers."""

    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """As uvicorn's, and wait for a request from now on."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """As uvicorn's; waits on where these are but a part of a request's headers."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait()
        elif self._impatience:
            self._impatience.cancel()
            self._impatience = None

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's."""
        super().connection_lost(exc)
        if self._impatience:
            self._impatience.cancel()

    def _wait(self) -> None:
        if not self._impatience:
            self._impatience = self.loop.call_later(PATIENCE, self.transport.close)

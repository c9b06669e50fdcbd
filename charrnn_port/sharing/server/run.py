"""Run the server in this process."""

import asyncio
import gc
import logging
import socket
from contextlib import suppress

import torch
import uvicorn

from charrnn_port.command_line import log_line
from charrnn_port.options import ServeOptions
from charrnn_port.sharing.server.app import Server
from charrnn_port.sharing.server.models import Models
from charrnn_port.sharing.server.protocol import Protocol

CLIENT_SECONDS = 1  # seconds that clients have to read the last event before their connections are closed


class StoppingServer(uvicorn.Server):
    """uvicorn's server, except for its end: uvicorn cancels the tasks of responses, and logs a traceback for each."""

    def __init__(self, config: uvicorn.Config, server: Server, last_seconds: int) -> None:
        super().__init__(config)
        self._server, self._last_seconds = server, last_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server.shutdown`; texts that take longer than `last_seconds` end with an error."""
        if self._server.in_progress:
            count = f"{self._server.in_progress} response{'s' * (self._server.in_progress > 1)} in progress"
            log_line(f"stopping: waiting up to {self._last_seconds} s for {count} (Ctrl-C: do not wait)")
        later = asyncio.get_running_loop().call_later
        later(self._last_seconds, self._server.stop)
        later(self._last_seconds + CLIENT_SECONDS, self._close_connections)
        await super().shutdown(sockets)
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # after a second Ctrl-C, tasks are cancelled

    def _close_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def run(options: ServeOptions, listening: socket.socket, last_seconds: int, models: Models | None = None) -> None:
    """Answer requests until SIGINT or SIGTERM; texts in progress then have `last_seconds` to finish.

    Loads the models unless they are given. Raises UserError for a checkpoint that cannot be loaded.
    """
    server = Server(options, models or Models(options))
    config = uvicorn.Config(
        server.app(),
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
    )
    torch.set_num_threads(1)  # most steps are so short that synchronizing threads would cost more than they save
    gc.freeze()  # the objects that exist now are permanent; without this, each full collection scans them for 0.1 s
    with suppress(KeyboardInterrupt):  # Ctrl-C is how to stop a server, and uvicorn raises it again at the end
        StoppingServer(config, server, last_seconds).run(sockets=[listening])

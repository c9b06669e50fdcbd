"""A server in this process."""

import gc
import socket

import torch
import uvicorn

from charrnn_port.options import ServeOptions
from charrnn_port.sharing.server.app import Server
from charrnn_port.sharing.server.models import Models
from charrnn_port.sharing.server.protocol import Protocol


def run(options: ServeOptions, listening: socket.socket, last_seconds: int, models: Models | None = None) -> None:
    """Answer until SIGINT or SIGTERM; texts in progress have `last_seconds` then. Loads the models unless given."""
    config = uvicorn.Config(
        Server(options, models or Models(options)).app(),
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=last_seconds,
    )
    torch.set_num_threads(1)  # most steps are so short that threads would only wait for each other
    gc.freeze()  # what is there now stays: searching it for garbage, again and again, would take 0.1 s each time
    uvicorn.Server(config).run(sockets=[listening])

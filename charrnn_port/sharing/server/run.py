"""Run the server in this process."""

import gc
import socket

import torch
import uvicorn

from charrnn_port.options import ServeOptions
from charrnn_port.sharing.server.app import Server
from charrnn_port.sharing.server.models import Models
from charrnn_port.sharing.server.protocol import Protocol


def run(options: ServeOptions, listening: socket.socket, last_seconds: int, models: Models | None = None) -> None:
    """Answer requests until SIGINT or SIGTERM; texts in progress then have `last_seconds` to finish.

    Loads the models unless they are given. Raises UserError for a checkpoint that cannot be loaded.
    """
    config = uvicorn.Config(
        Server(options, models or Models(options)).app(),
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=last_seconds,
    )
    torch.set_num_threads(1)  # most steps are so short that synchronizing threads would cost more than they save
    gc.freeze()  # the objects that exist now are permanent; without this, each full collection scans them for 0.1 s
    uvicorn.Server(config).run(sockets=[listening])

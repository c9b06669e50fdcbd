"""`charrnn serve`: serve networks over HTTP."""

import socket

from charrnn_port.command_line import log_line
from charrnn_port.options import ServeOptions
from charrnn_port.util.errors import UserError, how_to_install

LAST_SECONDS = 10  # seconds that texts in progress have to finish after SIGINT or SIGTERM
BACKLOG = 2048  # connections that may wait to be accepted


def serve(options: ServeOptions) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Raises UserError where starlette or uvicorn is missing, a checkpoint cannot be loaded or the port cannot be opened.
    """
    try:
        from charrnn_port.sharing.server.models import Models
        from charrnn_port.sharing.server.run import run
        from charrnn_port.sharing.server.workers import keep_working
    except ImportError as error:
        raise UserError(
            f"charrnn serve needs starlette and uvicorn ({error}): {how_to_install('serve')}"
        ) from None
    models = Models(options)
    listening = listen(options.host, options.port)
    host, port = listening.getsockname()[:2]
    names = ", ".join(model.id for model in models)
    log_line(f"serving {names} at http://{f'[{host}]' if ':' in host else host}:{port} (press Ctrl-C to stop)")
    if options.workers == 1:
        run(options, listening, LAST_SECONDS, models)
        return
    keep_working(options.workers, run, options, listening, LAST_SECONDS, last_seconds=LAST_SECONDS + 2)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises UserError for an invalid address and a port that is in use."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen on {host}, port {port}: {reason}") from error

"""`charrnn serve`: serve networks over HTTP."""

import socket

from charrnn_port.command_line import log_line
from charrnn_port.options import ServeOptions
from charrnn_port.util.errors import UserError, how_to_install

LAST_SECONDS = 7  # seconds that texts in progress have to finish after SIGINT or SIGTERM; docker kills after ten
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
    keep_working(options.workers, run, options, listening, LAST_SECONDS, last_seconds=LAST_SECONDS + 1.7)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises UserError for an invalid address and a port that is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # An IPv6 socket for all addresses accepts IPv4 too, where the system can.
        both = host == "::" and socket.has_dualstack_ipv6()
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen on {host}, port {port}: {reason}") from error
    # Connections inherit this. Without it, each response of a kept connection waits 40 ms for the client's delayed
    # acknowledgement, since its headers and its body are two packets (Nagle's algorithm). asyncio does not set it on
    # connections of a socket that it has not created itself.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening

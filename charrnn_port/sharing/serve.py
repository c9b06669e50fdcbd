"""`charrnn serve`: networks over HTTP."""

import socket
from functools import partial

from charrnn_port.command_line import tell
from charrnn_port.options import ServeOptions
from util.errors import UserError

LAST_SECONDS = 10  # that texts in progress have once the server is to end
BACKLOG = 2048


def serve(options: ServeOptions) -> None:
    """Answer until a signal ends it. Raises UserError for what cannot be loaded or listened on."""
    try:
        import uvicorn
        from uvicorn.supervisors import Multiprocess

        from charrnn_port.sharing.server.app import create_app
        from charrnn_port.sharing.server.models import Models
        from charrnn_port.sharing.server.protocol import Protocol
    except ImportError as error:
        raise UserError(
            f'charrnn serve needs starlette and uvicorn ({error}): pip install -c constraints.txt -e ".[serve]"'
        ) from None
    # With several processes each loads its own; here it is only tried.
    models = Models(options)
    if options.workers > 1:
        models.close()
    listening = listen(options.host, options.port)
    config = uvicorn.Config(
        partial(create_app, options, models if options.workers == 1 else None),
        factory=True,
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_SECONDS,
        workers=options.workers,
    )
    host, port = listening.getsockname()[:2]
    names = ", ".join(model.id for model in models)
    tell(f"serving {names} at http://{f'[{host}]' if ':' in host else host}:{port} (Ctrl-C ends it)")
    server = uvicorn.Server(config)
    if options.workers > 1:
        Multiprocess(config, target=server.run, sockets=[listening]).run()
    else:
        server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket to accept from. Raises UserError where there can be none."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        raise UserError(f"cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}") from error

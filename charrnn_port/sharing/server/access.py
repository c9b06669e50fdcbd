"""Who may use the server: clients with the API key, and no web pages of other sites.

A browser sends a request of any page to a server on this machine. Two checks protect it, as it may have no API key:

- The header Host must be a name of this server. After "DNS rebinding", where a site gives its own name the address
  127.0.0.1, its pages have the same origin as the server, but the name stays the site's.
- A POST of a page must come from this server's own page or from an origin of -cors.
"""

import hmac
import ipaddress
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from charrnn_port.options import ServeOptions
from charrnn_port.sharing.server.errors import RequestError

OPEN = ("/", "/health", "/openapi.json")  # paths that need no API key
LOCAL = (".localhost", ".local", ".internal")  # domains that no site on the internet can have


class Access:
    """The API key, the names of this server and the origins that may send requests."""

    def __init__(self, options: ServeOptions) -> None:
        self._key = options.api_key.encode()
        self._hosts = {options.host.lower(), socket.gethostname().lower(), *options.hosts.split()}
        self._origins = options.cors.split()

    def require(self, path: str, headers: Headers) -> None:
        """Raise RequestError for a name of another server, and for a missing or invalid API key."""
        if not self._is_own(host := headers.get("host", "")):
            message = f"this server is not named {host[:100]!r}: -hosts adds a name, such as that of a proxy"
            raise RequestError(message, status=403, code="unknown_host")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if self._key and path not in OPEN:
            # Starlette decodes headers as Latin-1, which keeps all bytes.
            valid = hmac.compare_digest(given.strip().encode("latin-1"), self._key)
            if not valid or scheme.lower() != "bearer":
                raise RequestError("missing or invalid API key", status=401, code="invalid_api_key")

    def require_same_site(self, headers: Headers) -> None:
        """Raise RequestError for a request of a page of another site, unless -cors allows it."""
        origin = headers.get("origin")
        own = origin is None or origin.partition("://")[2] == headers.get("host", "").lower()
        if not (own or "*" in self._origins or origin in self._origins):
            message = f"pages of {origin[:100]!r} may not send requests: -cors allows an origin"
            raise RequestError(message, status=403, code="unknown_origin")

    def _is_own(self, host: str) -> bool:
        """Return whether a value of the header Host is a name of this server.

        All IP addresses are, and names without a dot, such as localhost and those of containers: no site has these.
        """
        with suppress(ValueError):  # for an invalid host or address
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
            if "." not in name and ":" not in name:
                return True
            if "*" in self._hosts or name in self._hosts or name.endswith(LOCAL):
                return True
            return bool(ipaddress.ip_address(name))
        return False


class Guarded:
    """Middleware that refuses requests without access."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI request, or answer it with status 401 or 403."""
        if scope["type"] == "http":
            try:
                self._access.require(scope["path"], Headers(scope=scope))
            except RequestError as error:
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

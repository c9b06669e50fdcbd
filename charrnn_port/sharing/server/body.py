"""Reads the JSON object in the body of a request, within limits of size and time."""

import json
from typing import Any

import anyio
from starlette.requests import ClientDisconnect, Request

from charrnn_port.sharing.server.errors import RequestError

BODY_SECONDS = 15.0  # time limit for a client to send the request body
GONE = 499  # nginx's status for a client that disconnected before the response
# "curl -d" says that its data is a form. Other kinds, such as text/plain, are probably a mistake.
JSON_TYPES = ("", "application/json", "application/x-www-form-urlencoded")


def require_json(request: Request) -> None:
    """Raise RequestError if the headers say that the body is not JSON, or compressed."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in JSON_TYPES and not kind.endswith("+json"):
        raise RequestError(f"content type {kind[:100]!r} is not supported: send application/json", status=415)
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise RequestError(f"content encoding {coding[:100]!r} is not supported: send plain JSON", status=415)


async def json_body(request: Request, most: int) -> dict[str, Any]:
    """Return the JSON object in the body, of at most `most` bytes.

    Raises RequestError for invalid JSON, a large body, a slow client and one that disconnects.
    """

    def require_size(size: int) -> None:
        if size > most:
            raise RequestError(f"the request body is larger than {most} bytes", status=413)

    body = bytearray()
    try:
        require_size(int(request.headers.get("content-length", 0)))
        with anyio.fail_after(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                require_size(len(body))
        value = json.loads(body)
    except TimeoutError:
        message = f"timeout: the request body was not received within {BODY_SECONDS:g} s"
        raise RequestError(message, status=408) from None
    except ClientDisconnect:
        raise RequestError("the client disconnected", status=GONE) from None
    except (ValueError, RecursionError):
        raise RequestError("the request body is not valid JSON") from None
    if not isinstance(value, dict):
        raise RequestError("the request body must be a JSON object")
    return value

"""Errors of requests, in the form of OpenAI's API."""

from collections.abc import Mapping

from starlette.responses import JSONResponse, Response

HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    408: {"Connection": "close"},  # the rest of a late request would be read as the next one
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1"},
}


class RequestError(Exception):
    """A request cannot be answered; the message says why, and `param` names the invalid parameter, if it is one."""

    def __init__(self, message: str, param: str | None = None, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code

    def body(self) -> dict:
        """Return the body of the error response."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        if self.status == 429:
            kind = "rate_limit_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the error response, with the headers of its status and these."""
        return JSONResponse(self.body(), self.status, HEADERS.get(self.status, {}) | dict(headers or {}))

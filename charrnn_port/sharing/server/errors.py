"""Errors of requests, in the form of OpenAI's API."""


class RequestError(Exception):
    """A request cannot be answered; the message says why, and `param` names the invalid parameter, if it is one."""

    def __init__(self, message: str, param: str | None = None, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code

    def body(self) -> dict:
        """Return the body of the error response."""
        kind = "invalid_request_error" if self.status < 429 else "server_error"
        if self.status == 429:
            kind = "rate_limit_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

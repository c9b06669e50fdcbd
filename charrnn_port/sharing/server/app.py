"""The ASGI application: routes, authentication, limits on requests, and error responses."""

import asyncio
import hmac
import json
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from charrnn_port.options import ServeOptions
from charrnn_port.sharing.server.answer import Answer, Events
from charrnn_port.sharing.server.completions import Completion, Limits, ids_of
from charrnn_port.sharing.server.engine import BusyError
from charrnn_port.sharing.server.errors import RequestError
from charrnn_port.sharing.server.metrics import Metrics
from charrnn_port.sharing.server.models import Models, Served
from charrnn_port.sharing.server.page import POLICY, server_page

BODY_SECONDS = 15.0  # time limit for a client to send the request body
OPEN = ("/", "/health")  # paths that need no API key
GONE = 499  # nginx's status for a client that disconnected before the response


class Server:
    """The routes of a server for some models."""

    def __init__(self, options: ServeOptions, models: Models) -> None:
        self.options, self.models, self.metrics = options, models, Metrics()
        self._limits = Limits(options.max_length, options.unknown)
        self._page = server_page()
        self._key = (options.api_key or os.environ.get("CHARRNN_API_KEY", "")).encode()

    def app(self) -> Starlette:
        """Return the Starlette application."""
        get, post = partial(Route, methods=["GET"]), partial(Route, methods=["POST"])
        middleware = [Middleware(Counted, metrics=self.metrics)]
        if self.options.cors:
            allowed = {"allow_origins": [self.options.cors], "allow_methods": ["*"], "allow_headers": ["*"]}
            middleware.append(Middleware(CORSMiddleware, **allowed))
        middleware.append(Middleware(Guarded, key=self._key))
        return Starlette(
            routes=[
                get("/", self.page),
                get("/health", self.health),
                get("/metrics", self.metrics_text),
                get("/v1/models", self.list_models),
                get("/v1/models/{id:path}", self.get_model),
                post("/v1/completions", self.complete),
                post("/tokenize", self.tokenize),
                post("/detokenize", self.detokenize),
                get("/tokenizer_info", self.tokenizer_info),
            ],
            middleware=middleware,
            exception_handlers={RequestError: refuse, HTTPException: refuse_http, Exception: fail},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(self.models.watch()) if self.options.reload else None
        yield
        if watching:
            watching.cancel()

    async def page(self, request: Request) -> Response:
        """Return the web page to try the models on."""
        return HTMLResponse(self._page, headers={"Content-Security-Policy": POLICY})

    async def health(self, request: Request) -> Response:
        """Return a constant response, for health checks."""
        return JSONResponse({"status": "ok"})

    async def metrics_text(self, request: Request) -> Response:
        """Return metrics for Prometheus, of the process that answers."""
        return PlainTextResponse(self.metrics.text({model.id: model.engine.load for model in self.models}))

    async def list_models(self, request: Request) -> Response:
        """Return descriptions of all models."""
        return JSONResponse({"object": "list", "data": [model.facts for model in self.models]})

    async def get_model(self, request: Request) -> Response:
        """Return the description of one model."""
        return JSONResponse(self.models.get(request.path_params["id"]).facts)

    async def tokenize(self, request: Request) -> Response:
        """Return the token ids of a text, in vLLM's form."""
        body, model = await self._asked(request)
        if not isinstance(body.get("prompt"), str):
            raise RequestError("prompt must be a string", "prompt")
        ids = ids_of(body["prompt"], model.vocab, self.options.unknown)
        return JSONResponse({"count": len(ids), "max_model_len": self.options.max_length, "tokens": ids})

    async def detokenize(self, request: Request) -> Response:
        """Return the text of some token ids; bytes that are not valid UTF-8 become U+FFFD."""
        body, model = await self._asked(request)
        if not isinstance(body.get("tokens"), list):
            raise RequestError("tokens must be a list of token ids", "tokens")
        ids = ids_of(body["tokens"], model.vocab, self.options.unknown)
        return JSONResponse({"prompt": model.vocab.decode(ids).decode(errors="replace")})

    async def tokenizer_info(self, request: Request) -> Response:
        """Return a description for evaluation harnesses, which require BOS and EOS tokens: a newline, if known."""
        vocab = self.models.get(request.query_params.get("model")).vocab
        newline = "\n" if (b"\n" if isinstance(vocab.symbols, bytes) else "\n") in vocab.symbols else None
        return JSONResponse(
            {
                "tokenizer_class": "CharacterTokenizer",
                "vocab_size": len(vocab),
                "model_max_length": self.options.max_length,
                "bos_token": newline,
                "eos_token": newline,
                "pad_token": None,
                "chat_template": None,
            }
        )

    async def complete(self, request: Request) -> Response:
        """Answer a request of OpenAI's completions API."""
        body, model = await self._asked(request)
        asked = Completion(body, model.id, model.engine.model, self._limits)
        try:
            answer = Answer(asked, model, self.metrics, self.options.timeout)
        except BusyError:
            raise RequestError("the queue is full: try again later", status=429, code="busy") from None
        if asked.stream:
            return Events(answer)
        try:
            return JSONResponse(await unless_gone(request, answer.whole()))
        finally:
            answer.leave()

    async def _asked(self, request: Request) -> tuple[dict[str, Any], Served]:
        """Return the request body and the model that it names."""
        body = await self._body(request)
        return body, self.models.get(body.get("model"))

    async def _body(self, request: Request) -> dict[str, Any]:
        """Return the JSON object in the body. Raises RequestError for invalid JSON, a large body and a slow client."""
        body = bytearray()
        try:
            if int(request.headers.get("content-length", 0)) > self.options.max_body:
                raise RequestError(f"the request body is larger than {self.options.max_body} bytes", status=413)
            with anyio.fail_after(BODY_SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self.options.max_body:
                        raise RequestError(f"the request body is larger than {self.options.max_body} bytes", status=413)
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


async def unless_gone(request: Request, work: Coroutine) -> Any:
    """Return the result of `work`. Cancels it and raises RequestError if the client disconnects before it is done."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(gone())
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise RequestError("the client disconnected", status=GONE)
    finally:
        working.cancel()
        leaving.cancel()


class Counted:
    """Middleware that counts requests by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI request and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = scope.get("route")
            self._metrics.requests[route.path if route else "other", status] += 1


class Guarded:
    """Middleware that requires the API key, if one is set."""

    def __init__(self, app: ASGIApp, key: bytes) -> None:
        self._app, self._key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI request, or answer it with status 401."""
        if scope["type"] == "http" and self._key and scope["path"] not in OPEN:
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._key):
                error = RequestError("missing or invalid API key", status=401, code="invalid_api_key")
                await answer_of(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def answer_of(error: RequestError) -> Response:
    """Return an error response in OpenAI's form."""
    headers = {429: {"Retry-After": "1"}, 401: {"WWW-Authenticate": "Bearer"}}.get(error.status)
    return JSONResponse(error.body(), error.status, headers)


async def refuse(request: Request, error: RequestError) -> Response:
    """Handle a RequestError."""
    return answer_of(error)


async def refuse_http(request: Request, error: HTTPException) -> Response:
    """Handle an unknown path and a method that is not allowed."""
    message = f"{request.method} {request.url.path[:100]}: {error.detail}"
    return answer_of(RequestError(message, status=error.status_code))


async def fail(request: Request, error: Exception) -> Response:
    """Handle an unexpected exception, whose traceback is in the log."""
    return answer_of(RequestError("internal server error", status=500))

"""The routes: what is asked over HTTP, and what is answered."""

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

BODY_SECONDS = 15.0  # for a client to send what it asks
OPEN = ("/", "/health")  # without a key
GONE = 499  # as nginx has it: the client left, and gets no answer


class Server:
    """What answers requests about some models."""

    def __init__(self, options: ServeOptions, models: Models) -> None:
        self.options, self.models, self.metrics = options, models, Metrics()
        self._limits = Limits(options.max_length, options.unknown)
        self._page = server_page()
        self._key = (options.api_key or os.environ.get("CHARRNN_API_KEY", "")).encode()

    def app(self) -> Starlette:
        """As Starlette has it."""
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
                get("/v1/models/{id:path}", self.tell_model),
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
        """A page to try the models on."""
        return HTMLResponse(self._page, headers={"Content-Security-Policy": POLICY})

    async def health(self, request: Request) -> Response:
        """That it answers at all."""
        return JSONResponse({"status": "ok"})

    async def metrics_text(self, request: Request) -> Response:
        """Counts for Prometheus; with several processes, those of the one that answers."""
        return PlainTextResponse(self.metrics.text({model.id: model.engine.load for model in self.models}))

    async def list_models(self, request: Request) -> Response:
        """All of them."""
        return JSONResponse({"object": "list", "data": [model.facts for model in self.models]})

    async def tell_model(self, request: Request) -> Response:
        """One of them."""
        return JSONResponse(self.models.get(request.path_params["id"]).facts)

    async def tokenize(self, request: Request) -> Response:
        """The ids of a text's characters, as vLLM answers."""
        body, model = await self._asked(request)
        if not isinstance(body.get("prompt"), str):
            raise RequestError("prompt must be a text", "prompt")
        ids = ids_of(body["prompt"], model.vocab, self.options.unknown)
        return JSONResponse({"count": len(ids), "max_model_len": self.options.max_length, "tokens": ids})

    async def detokenize(self, request: Request) -> Response:
        """The text of some ids; bytes that are no character are U+FFFD in it."""
        body, model = await self._asked(request)
        if not isinstance(body.get("tokens"), list):
            raise RequestError("tokens must be a list of token ids", "tokens")
        ids = ids_of(body["tokens"], model.vocab, self.options.unknown)
        return JSONResponse({"prompt": model.vocab.decode(ids).decode(errors="replace")})

    async def tokenizer_info(self, request: Request) -> Response:
        """What evaluation harnesses want to know. A text begins and ends with a line, if with anything."""
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
        """Texts, as OpenAI's completions."""
        body, model = await self._asked(request)
        asked = Completion(body, model.id, model.engine.model, self._limits)
        try:
            answer = Answer(asked, model, self.metrics, self.options.timeout)
        except BusyError:
            raise RequestError("too many texts are being written: try again", status=429, code="busy") from None
        if asked.stream:
            return Events(answer)
        try:
            return JSONResponse(await unless_gone(request, answer.whole()))
        finally:
            answer.leave()

    async def _asked(self, request: Request) -> tuple[dict[str, Any], Served]:
        """What is asked for, and of which model."""
        body = await self._body(request)
        return body, self.models.get(body.get("model"))

    async def _body(self, request: Request) -> dict[str, Any]:
        """The JSON object in a request. Raises RequestError where there is none, or it is too large or too slow."""
        body = bytearray()
        try:
            if int(request.headers.get("content-length", 0)) > self.options.max_body:
                raise RequestError(f"the request is larger than {self.options.max_body} bytes", status=413)
            with anyio.fail_after(BODY_SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self.options.max_body:
                        raise RequestError(f"the request is larger than {self.options.max_body} bytes", status=413)
            value = json.loads(body)
        except TimeoutError:
            raise RequestError(f"the request was not there after {BODY_SECONDS:g} s", status=408) from None
        except ClientDisconnect:
            raise RequestError("nobody waits for an answer", status=GONE) from None
        except (ValueError, RecursionError):
            raise RequestError("the request is no JSON") from None
        if not isinstance(value, dict):
            raise RequestError("the request is no JSON object")
        return value


async def unless_gone(request: Request, work: Coroutine) -> Any:
    """What `work` comes to. Raises RequestError where the client leaves before it is done, and gives it up."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(gone())
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise RequestError("nobody waits for an answer", status=GONE)
    finally:
        working.cancel()
        leaving.cancel()


class Counted:
    """Counts requests by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
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
    """Lets only those in who have the key, if there is one."""

    def __init__(self, app: ASGIApp, key: bytes) -> None:
        self._app, self._key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] == "http" and self._key and scope["path"] not in OPEN:
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._key):
                error = RequestError("the API key is missing or wrong", status=401, code="invalid_api_key")
                await answer_of(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def answer_of(error: RequestError) -> Response:
    """An error in OpenAI's form."""
    headers = {429: {"Retry-After": "1"}, 401: {"WWW-Authenticate": "Bearer"}}.get(error.status)
    return JSONResponse(error.body(), error.status, headers)


async def refuse(request: Request, error: RequestError) -> Response:
    """For what cannot be answered."""
    return answer_of(error)


async def refuse_http(request: Request, error: HTTPException) -> Response:
    """For paths and methods that there are not."""
    message = f"{request.method} {request.url.path[:100]}: {error.detail}"
    return answer_of(RequestError(message, status=error.status_code))


async def fail(request: Request, error: Exception) -> Response:
    """For errors of ours, of which the log tells."""
    return answer_of(RequestError("the server failed", status=500))

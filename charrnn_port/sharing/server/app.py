"""The ASGI application: routes and error responses."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from charrnn_port.options import ServeOptions
from charrnn_port.sharing.server.access import Access, Guarded
from charrnn_port.sharing.server.answer import Answer, Events
from charrnn_port.sharing.server.body import GONE, json_body, require_json
from charrnn_port.sharing.server.completions import Completion, Limits
from charrnn_port.sharing.server.engine import BusyError
from charrnn_port.sharing.server.errors import RequestError
from charrnn_port.sharing.server.generate import completion_request, editor_response
from charrnn_port.sharing.server.metrics import Metrics
from charrnn_port.sharing.server.models import Models, Served
from charrnn_port.sharing.server.openapi import description
from charrnn_port.sharing.server.page import POLICY, server_page
from charrnn_port.sharing.server.parameters import ids_of, is_id

EOS = "<|endoftext|>"
NO_CHAT = "a network of characters has no chat format: send a text as `prompt` to /v1/completions, and it goes on"
# What other servers call a route, by the last word of the path.
OTHER_NAMES = dict.fromkeys(
    ["completion", "completions", "generate", "generate_stream", "infill", "responses"], "/v1/completions"
) | dict.fromkeys(["models", "tags", "model"], "/v1/models")


class Server:
    """The routes of a server for some models."""

    def __init__(self, options: ServeOptions, models: Models) -> None:
        self.options, self.models, self.metrics = options, models, Metrics()
        self._limits = Limits(options.max_length, options.unknown)
        self._page, self._description = server_page(), description(options)
        self._access = Access(options)
        self._answers: set[Answer] = set()  # in progress

    def app(self) -> Starlette:
        """Return the Starlette application."""
        get, post = partial(Route, methods=["GET"]), partial(Route, methods=["POST"])
        middleware = [Middleware(Counted, metrics=self.metrics)]
        if self.options.cors:
            allowed = {"allow_origins": self.options.cors.split(), "allow_methods": ["*"], "allow_headers": ["*"]}
            # Browsers ask whether a public page may send requests to an address of a private network.
            middleware.append(Middleware(CORSMiddleware, **allowed, allow_private_network=True))
        middleware.append(Middleware(Guarded, access=self._access))
        return Starlette(
            routes=[
                get("/", self.page),
                get("/health", self.health),
                get("/openapi.json", self.openapi),
                get("/metrics", self.metrics_text),
                get("/v1/models", self.list_models),
                get("/v1/models/{id:path}", self.get_model),
                post("/v1/completions", self.complete),
                get("/generate", self.generate),
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

    async def openapi(self, request: Request) -> Response:
        """Return the OpenAPI description of this server."""
        return JSONResponse(self._description)

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
        ids = ids_of("\n" if body["prompt"] == EOS else body["prompt"], model.vocab, self.options.unknown)
        return JSONResponse({"count": len(ids), "max_model_len": self.options.max_length, "tokens": ids})

    async def detokenize(self, request: Request) -> Response:
        """Return the text of some token ids; bytes that are not valid UTF-8 become U+FFFD."""
        body, model = await self._asked(request)
        if not isinstance(tokens := body.get("tokens"), list) or not all(map(is_id, tokens)):
            raise RequestError("tokens must be a list of token ids", "tokens")
        ids = ids_of(tokens, model.vocab, self.options.unknown, "tokens")
        return JSONResponse({"prompt": model.vocab.decode(ids).decode(errors="replace")})

    async def tokenizer_info(self, request: Request) -> Response:
        """Return a description for evaluation harnesses, which require BOS and EOS tokens: a newline, if known.

        EOS has a text of its own, which no network generates, because harnesses add it to the stop sequences.
        """
        vocab = self.models.get(request.query_params.get("model")).vocab
        newline = bool(vocab.encode(b"\n", unknown="skip"))
        return JSONResponse(
            {
                "tokenizer_class": "CharacterTokenizer",
                "vocab_size": len(vocab),
                "model_max_length": self.options.max_length,
                "bos_token": "\n" if newline else None,
                "eos_token": EOS if newline else None,
                "pad_token": None,
                "chat_template": None,
            }
        )

    async def complete(self, request: Request) -> Response:
        """Answer a request of OpenAI's completions API."""
        body, model = await self._asked(request)
        asked = Completion(body, model.id, model.engine.model, self._limits)
        answer = self._start(asked, model)
        if asked.stream:
            return Events(answer, self._leave)
        return JSONResponse(await self._whole(request, answer))

    async def generate(self, request: Request) -> Response:
        """Answer a text editor: continuations of `start_text`, up to a sentence. Unknown characters are left out."""
        self._access.require_same_site(request.headers)
        body = completion_request(request.query_params)
        model = self.models.get(body["model"])
        limits = Limits(self.options.max_length, "skip")
        answer = self._start(Completion(body, model.id, model.engine.model, limits), model)
        return JSONResponse(editor_response(body["prompt"], await self._whole(request, answer)))

    def _start(self, asked: Completion, model: Served) -> Answer:
        """Give a request to the engine. Raises RequestError if the queue is full."""
        try:
            answer = Answer(asked, model, self.metrics, self.options.timeout)
        except BusyError:
            raise RequestError("the queue is full: try again later", status=429, code="busy") from None
        self._answers.add(answer)
        return answer

    async def _whole(self, request: Request, answer: Answer) -> dict[str, Any]:
        """Return a whole response. Raises RequestError if the client disconnects before it is done."""
        try:
            return await unless_gone(request, answer.whole())
        finally:
            self._leave(answer)

    @property
    def in_progress(self) -> int:
        """The number of responses in progress."""
        return len(self._answers)

    def stop(self) -> None:
        """End all responses in progress with an error that says that the server stops."""
        for answer in self._answers:
            answer.stop()

    def _leave(self, answer: Answer) -> None:
        answer.leave()
        self._answers.discard(answer)

    async def _asked(self, request: Request) -> tuple[dict[str, Any], Served]:
        """Return the request body and the model that it names. Raises RequestError for a request that is refused."""
        require_json(request)
        self._access.require_same_site(request.headers)
        body = await json_body(request, self.options.max_body)
        return body, self.models.get(body.get("model"))


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


async def refuse(request: Request, error: RequestError) -> Response:
    """Handle a RequestError."""
    return error.response()


async def refuse_http(request: Request, error: HTTPException) -> Response:
    """Handle an unknown path and a method that is not allowed; the message names the path that was probably meant."""
    message = f"{request.method} {request.url.path[:100]}: {error.detail}"
    if error.status_code in (404, 405):
        words = request.url.path.lower().split("/")
        known = {route.path for route in request.app.routes}
        path = "/" + "/".join(filter(None, words))
        better = path if path in known else OTHER_NAMES.get(words[-1])
        if error.status_code == 405:
            better = OTHER_NAMES.get(words[-1], path)
        if "chat" in words:
            message += f": {NO_CHAT}"
        elif better != request.url.path:
            message += f": did you mean {better}?" if better else ": /openapi.json describes all paths"
    return RequestError(message, status=error.status_code).response(error.headers)


async def fail(request: Request, error: Exception) -> Response:
    """Handle an unexpected exception, whose traceback is in the log."""
    return RequestError("internal server error", status=500).response()

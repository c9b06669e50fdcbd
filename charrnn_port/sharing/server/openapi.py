"""The OpenAPI description of the server, for client generators, API browsers and fuzzers (https://spec.openapis.org).

tests/sharing/test_openapi.py compares it with the routes and with responses.
"""

from typing import Any

from charrnn_port.options import ServeOptions
from charrnn_port.sharing.server import generate
from charrnn_port.sharing.server.completions import MOST_LOGPROBS, MOST_TEXTS
from charrnn_port.sharing.server.parameters import MOST_BIAS, MOST_STOPS, MOST_TEMPERATURE, WITHOUT_EFFECT

ERRORS = {
    400: "the request is invalid; `param` names the parameter",
    401: "the API key is missing or invalid",
    403: "the header Host names another server, or the request comes from a page of another site",
    404: "there is no such model or path",
    408: "the body of the request did not arrive in time",
    413: "the body of the request is too large",
    415: "the body of the request is not JSON, or compressed",
    429: "the queue is full: send the request again after the seconds in the header Retry-After",
    500: "an internal error",
    503: "the server is stopping: send the request again",
    504: "the time limit of the response was reached",
}
OF_ALL = (401, 403, 500)  # statuses that every request may get
OF_BODIES = (400, 404, 408, 413, 415)  # and those of requests with a body
STRING, NUMBER, BOOLEAN = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 0}
OPTIONAL_NUMBER = {"type": ["number", "null"]}


def description(options: ServeOptions) -> dict[str, Any]:
    """Return the description of a server with these limits."""
    secured = {"security": [{"key": []}]} if options.api_key else {}
    retry = {"Retry-After": {"schema": STRING, "description": "seconds"}}
    errors = {
        str(status): {"description": text, "content": json_of(reference("Error"))}
        | ({"headers": retry} if status in (429, 503) else {})
        for status, text in ERRORS.items()
    }

    def operation(about: str, content: dict, *statuses: int, body: str = "", is_open: bool = False, **rest) -> dict:
        found = {"200": {"description": "success", "content": content}}
        for status in sorted({*OF_ALL, *statuses, *(OF_BODIES if body else ())}):
            found[str(status)] = {"$ref": f"#/components/responses/{status}"}
        request = {"requestBody": {"required": True, "content": json_of(reference(body))}} if body else {}
        return {"summary": about, "responses": found} | request | ({} if is_open else secured) | rest

    model_id = {"name": "id", "in": "path", "required": True, "schema": STRING}
    model_query = {"name": "model", "in": "query", "schema": STRING, "description": "an id of /v1/models"}
    answer = json_of(reference("Completion"))
    # OpenAPI 3.1 has no schema for the events of a stream.
    events = "Server-sent events: each has a Completion or, at the end, an Error as JSON. The last one is [DONE]."
    answer["text/event-stream"] = {"schema": {"description": events}}
    models = object_of({"object": {"const": "list"}, "data": list_of(reference("Model"))})
    health = object_of({"status": {"const": "ok"}})
    paths = {
        "/": {"get": operation("A web page to try the models", {"text/html": {"schema": STRING}}, is_open=True)},
        "/health": {"get": operation("Whether the server runs", json_of(health), is_open=True)},
        "/openapi.json": {"get": operation("This description", json_of({"type": "object"}), is_open=True)},
        "/metrics": {"get": operation("Metrics for Prometheus", {"text/plain": {"schema": STRING}})},
        "/v1/models": {"get": operation("The models", json_of(models))},
        "/v1/models/{id}": {"get": operation("A model", json_of(reference("Model")), 404, parameters=[model_id])},
        "/v1/completions": {
            "post": operation("Continue one or several texts", answer, 429, 503, 504, body="CompletionRequest")
        },
        "/generate": {
            "get": operation(
                "Continuations for a text editor", json_of(reference("Continuations")), 400, 404, 429, 503, 504,
                parameters=editor_query(),
            )
        },
        "/tokenize": {"post": operation("Token ids of a text", json_of(reference("Tokens")), body="TokenizeRequest")},
        "/detokenize": {
            "post": operation("Text of token ids", json_of(object_of({"prompt": STRING})), body="DetokenizeRequest")
        },
        "/tokenizer_info": {
            "get": operation("The vocabulary", json_of(reference("TokenizerInfo")), 404, parameters=[model_query])
        },
    }
    components = {"schemas": schemas(options.max_length), "responses": errors}
    if options.api_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    info = {"title": "charrnn serve", "version": "1", "description": "OpenAI's completions API for characters"}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}


def schemas(most: int) -> dict[str, dict]:
    """Return the schemas of requests and responses; `most` is the limit of characters in a text."""
    ids = list_of(COUNT)
    error = {"message": STRING, "type": STRING, "param": optional(STRING), "code": optional(STRING)}
    log_probs = {
        "tokens": list_of(STRING),
        "token_logprobs": list_of(OPTIONAL_NUMBER),
        "top_logprobs": list_of(optional({"type": "object", "additionalProperties": OPTIONAL_NUMBER})),
        "text_offset": list_of(COUNT),
    }
    choice = {
        "index": COUNT,
        "text": STRING,
        "logprobs": optional(reference("LogProbs")),
        "finish_reason": {"enum": ["length", "stop", None]},
        "seed": {"type": "integer"},
    }
    usage = dict.fromkeys(["prompt_tokens", "completion_tokens", "total_tokens"], COUNT)
    completion = {
        "id": STRING,
        "object": {"const": "text_completion"},
        "created": COUNT,
        "model": STRING,
        "choices": list_of(object_of(choice, token_ids=ids)),
    }
    length = {"type": "integer", "minimum": 0, "maximum": most}
    prompt = [STRING, ids, {**list_of(STRING), "minItems": 1}, {**list_of(ids), "minItems": 1}]
    request = {
        "prompt": {"anyOf": prompt, "default": ""},
        "max_tokens": {**length, "default": 16},
        "max_completion_tokens": {**length, "description": "another name of max_tokens"},
        "temperature": {**NUMBER, "minimum": 0, "maximum": MOST_TEMPERATURE, "default": 1},
        "top_p": {**NUMBER, "exclusiveMinimum": 0, "maximum": 1, "default": 1},
        "top_k": {"type": "integer", "minimum": -1, "maximum": 2**31, "default": 0},
        "min_p": {**NUMBER, "minimum": 0, "exclusiveMaximum": 1, "default": 0},
        "n": {"type": "integer", "minimum": 1, "maximum": MOST_TEXTS, "default": 1},
        "best_of": {"type": "integer", "description": "must equal n"},
        "seed": {"type": "integer", "minimum": -(2**63), "maximum": 2**63, "description": "-1: a random seed"},
        "stop": {"anyOf": [STRING, {**list_of(STRING), "maxItems": MOST_STOPS}]},
        "logit_bias": {
            "type": "object",
            "additionalProperties": {**NUMBER, "minimum": -MOST_BIAS, "maximum": MOST_BIAS},
            "description": f"added to log-probabilities, by token id; -{MOST_BIAS} bans a character",
        },
        "echo": {**BOOLEAN, "default": False},
        "logprobs": {"type": "integer", "minimum": 0, "maximum": MOST_LOGPROBS},
        "stream": {**BOOLEAN, "default": False},
        "stream_options": {"type": "object", "properties": {"include_usage": optional(BOOLEAN)}},
        "return_token_ids": {**BOOLEAN, "default": False},
    }
    request |= {name: {"const": neutral, "description": "not supported"} for name, neutral in WITHOUT_EFFECT.items()}
    tokens = {"count": COUNT, "max_model_len": COUNT, "tokens": ids}
    info = {"tokenizer_class": STRING, "vocab_size": COUNT, "model_max_length": COUNT}
    info |= dict.fromkeys(["bos_token", "eos_token", "pad_token", "chat_template"], optional(STRING))
    named = dict.fromkeys(["id", "owned_by", "cell", "dtype", "encoding"], STRING)
    counts = dict.fromkeys(["created", "max_model_len", "rnn_size", "num_layers", "parameters"], COUNT)
    losses = dict.fromkeys(["epoch", "train_loss", "val_loss"], OPTIONAL_NUMBER)
    val_losses = {"type": "object", "additionalProperties": OPTIONAL_NUMBER}
    model = {"object": {"const": "model"}, **named, **counts, "iteration": NUMBER, **losses, "val_losses": val_losses}
    return {
        "Error": object_of({"error": object_of(error)}),
        "LogProbs": object_of(log_probs),
        "Completion": object_of(completion, usage=optional(object_of(usage))),
        "CompletionRequest": request_of(request),
        "Continuations": object_of({"start_text": STRING, "completions": list_of(STRING)}),
        "Tokens": object_of(tokens),
        "TokenizeRequest": request_of({}, prompt=STRING),
        "DetokenizeRequest": request_of({}, tokens=ids),
        "TokenizerInfo": object_of(info),
        "Model": object_of(model | {"vocabulary": list_of(STRING)}),
    }


def editor_query() -> list[dict]:
    """Return the parameters of /generate."""
    count = {"type": "integer", "minimum": 1, "maximum": generate.MOST_TEXTS, "default": 1}
    temperature = {**NUMBER, "minimum": 0, "maximum": MOST_TEMPERATURE, "default": generate.TEMPERATURE}
    kinds = {"start_text": STRING, "n": count, "temperature": temperature, "seed": {"type": "integer"}, "model": STRING}
    return [{"name": name, "in": "query", "schema": schema} for name, schema in kinds.items()]


def reference(name: str) -> dict:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def json_of(schema: dict) -> dict:
    """Return the content of a JSON body."""
    return {"application/json": {"schema": schema}}


def list_of(schema: dict) -> dict:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def optional(schema: dict) -> dict:
    """Return a schema that allows null as well."""
    return {"anyOf": [schema, {"type": "null"}]}


def object_of(required: dict[str, dict], **more: dict) -> dict:
    """Return the schema of an object with properties that it always has, and those that it has sometimes."""
    return {"type": "object", "required": list(required), "properties": required | more}


def request_of(properties: dict[str, dict], **required: dict) -> dict:
    """Return the schema of a request's body, where null means that a parameter is missing. It names the model."""
    nullable = {name: optional(schema) for name, schema in ({"model": STRING} | properties).items()}
    return object_of(required, **nullable)

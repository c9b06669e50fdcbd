"""The OpenAPI description: every route, and schemas that real requests and responses conform to."""

import pytest
from served import GRU, LSTM, client_of, events
from starlette.routing import Route

from charrnn_port.options import ServeOptions
from charrnn_port.sharing.server.app import Server
from charrnn_port.sharing.server.models import Models
from charrnn_port.sharing.server.openapi import description

OPTIONS = ServeOptions((str(LSTM),), max_length=3000)


@pytest.fixture(scope="module")
def client():
    with client_of(LSTM, GRU, max_length=3000) as client:
        yield client


def test_it_has_every_route_and_method():
    routes = Server(OPTIONS, Models(OPTIONS)).app().routes
    expected = {
        (route.path.replace(":path", ""), method.lower())
        for route in routes
        if isinstance(route, Route)
        for method in route.methods - {"HEAD"}
    }
    assert {(path, method) for path, each in description(OPTIONS)["paths"].items() for method in each} == expected


def test_statuses():
    """All requests may be refused or fail; 429 and 503 say when to try again."""
    body, found = "400 404 408 413 415", description(OPTIONS)
    statuses = {
        "/v1/models/{id}": "404",
        "/tokenizer_info": "404",
        "/generate": "400 404 429 503 504",
        "/v1/completions": f"{body} 429 503 504",
        "/tokenize": body,
        "/detokenize": body,
    }
    for path, methods in found["paths"].items():
        (operation,) = methods.values()
        assert list(operation["responses"]) == sorted(["200", "401", "403", "500", *statuses.get(path, "").split()])
        assert operation.get("requestBody", {}).get("required") == (True if "post" in methods else None)
    assert list(found["paths"]["/v1/completions"]["post"]["responses"]["200"]["content"]) == [
        "application/json", "text/event-stream",
    ]  # fmt: skip
    assert found["paths"]["/v1/models/{id}"]["get"]["parameters"][0]["required"] is True
    responses = found["components"]["responses"]
    assert [status for status in responses if "Retry-After" in responses[status].get("headers", {})] == ["429", "503"]


def test_limits_and_defaults_of_parameters():
    schemas = description(OPTIONS)["components"]["schemas"]
    properties = {name: each["anyOf"][0] for name, each in schemas["CompletionRequest"]["properties"].items()}
    query = description(OPTIONS)["paths"]["/generate"]["get"]["parameters"]
    limits = {
        "max_tokens": (0, 3000, 16),
        "max_completion_tokens": (0, 3000, None),
        "temperature": (0, 100, 1),
        "top_k": (-1, 2**31, 0),
        "n": (1, 128, 1),
        "seed": (-(2**63), 2**63, None),
        "logprobs": (0, 20, None),
    }
    found = {name: tuple(map(each.get, ("minimum", "maximum", "default"))) for name, each in properties.items()}
    assert {name: found[name] for name, each in properties.items() if "maximum" in each and "minimum" in each} == limits
    assert properties["top_p"] == {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1}
    assert properties["min_p"] == {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0}
    assert [name for name, each in properties.items() if each.get("default") is False] == [
        "echo", "stream", "return_token_ids",
    ]  # fmt: skip
    assert properties["logit_bias"]["additionalProperties"] == {"type": "number", "minimum": -100, "maximum": 100}
    assert properties["stop"]["anyOf"][1]["maxItems"] == 16
    assert [each.get("minItems") for each in properties["prompt"]["anyOf"]] == [None, None, 1, 1]
    by_name = {each["name"]: each["schema"] for each in query}
    assert by_name["n"] == {"type": "integer", "minimum": 1, "maximum": 16, "default": 1}
    assert by_name["temperature"] == {"type": "number", "minimum": 0, "maximum": 100, "default": 0.7}


def test_the_api_key_is_named_if_there_is_one():
    keyed = description(ServeOptions((str(LSTM),), api_key="secret"))
    assert keyed["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    secured = {path for path, methods in keyed["paths"].items() for each in methods.values() if "security" in each}
    assert set(keyed["paths"]) - secured == {"/", "/health", "/openapi.json"}
    assert "security" not in str(description(OPTIONS))


def test_all_references_resolve(client):
    found = client.get("/openapi.json").json()

    def references(value):
        if isinstance(value, dict):
            yield from [value["$ref"]] if "$ref" in value else []
            value = list(value.values())
        for each in value if isinstance(value, list) else []:
            yield from references(each)

    for reference in references(found):
        part = found
        for word in reference.removeprefix("#/").split("/"):
            part = part[word]


def test_requests_and_responses_conform(client):
    """Each response is checked against the schema of its status, each valid request against the schema of bodies."""
    jsonschema = pytest.importorskip("jsonschema")
    found = client.get("/openapi.json").json()

    def check(value, schema):
        jsonschema.Draft202012Validator({**schema, "components": found["components"]}).validate(value)

    def check_response(answer, operation):
        response = operation["responses"][str(answer.status_code)]
        if "$ref" in response:
            response = found["components"]["responses"][response["$ref"].rpartition("/")[2]]
        check(answer.json(), response["content"]["application/json"]["schema"])

    for path in ("/health", "/openapi.json", "/v1/models", "/tokenizer_info"):
        check_response(client.get(path), found["paths"][path]["get"])
    for id_ in ("lstm", "none"):
        check_response(client.get(f"/v1/models/{id_}"), found["paths"]["/v1/models/{id}"]["get"])
    for path, name in (("/tokenizer_info", "TokenizerInfo"), ("/v1/models/lstm", "Model")):
        assert client.get(path).json().keys() == set(found["components"]["schemas"][name]["required"])
    bodies = [
        ("/tokenize", {"prompt": "The "}, 200),
        ("/tokenize", {"prompt": 1}, 400),
        ("/detokenize", {"tokens": [1, 2], "model": None}, 200),
        ("/detokenize", {"tokens": [10**6]}, 400),
        ("/v1/completions", {}, 200),
        ("/v1/completions", {"prompt": "The ", "echo": True, "logprobs": 2, "max_tokens": 3, "stop": None}, 200),
        ("/v1/completions", {"prompt": [[1], [2, 3]], "return_token_ids": True, "top_k": -1, "suffix": ""}, 200),
        ("/v1/completions", {"model": "none"}, 404),
        ("/v1/completions", {"temperature": -1}, 400),
        ("/v1/completions", {"repetition_penalty": 1.2}, 400),
    ]
    for path, body, status in bodies:
        operation = found["paths"][path]["post"]
        answer = client.post(path, json=body)
        assert answer.status_code == status, (body, answer.text)
        check_response(answer, operation)
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        if status == 200:
            check(body, schema)
    for body in ({"temperature": -1}, {"repetition_penalty": 1.2}, {"prompt": {}}, {"n": 0}, {"stream": 1}):
        with pytest.raises(jsonschema.ValidationError):
            check(body, schema)
    for event in events(client, max_tokens=5, stream_options={"include_usage": True}):
        check(event, found["components"]["schemas"]["Completion"])

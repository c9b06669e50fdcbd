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

"""Who may use the server: API key, names of hosts, pages of other sites; requests that are not meant for it."""

import gzip
import json
import socket

import pytest
from click.testing import CliRunner
from conftest import assert_one_line_error
from served import LSTM, client_of

from charrnn_port import __main__ as charrnn
from charrnn_port.options import OptionError, ServeOptions
from charrnn_port.sharing.server import body

BODY = json.dumps({"max_tokens": 3, "seed": 1})
EVIL = {"Origin": "https://evil.example"}


@pytest.fixture(scope="module")
def client():
    with client_of(LSTM, max_length=3000, max_body=100_000) as client:
        yield client


def error_of(answer, status):
    """Return the error message of a response in OpenAI's form, with this status."""
    assert answer.status_code == status, answer.text
    return answer.json()["error"]["message"]


def test_a_key(monkeypatch):
    """The key comes from the option or the environment; the page and /health need none."""
    monkeypatch.setenv("CHARRNN_API_KEY", "from the environment\n")
    for options, key in (({"api_key": " given"}, "given"), ({}, "from the environment")):
        with client_of(LSTM, **options) as client:
            for path in ("/", "/health", "/openapi.json"):
                assert client.get(path).status_code == 200
            for path in ("/v1/models", "/metrics", "/tokenizer_info"):
                for wrong in ({}, {"Authorization": "Bearer gïven".encode()}, {"Authorization": f"Basic {key}"}):
                    refused = client.get(path, headers=wrong)
                    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
                for scheme in ("Bearer", "bearer", "BEARER"):
                    assert client.get(path, headers={"Authorization": f"{scheme} {key}"}).status_code == 200


@pytest.mark.parametrize("key", ["\n", " ", "a\nb"])
def test_a_key_that_no_client_can_send_is_an_error_at_the_start(key, monkeypatch):
    assert_one_line_error(CliRunner().invoke(charrnn.serve, [str(LSTM), "-api_key", key]), 2, "-api_key: no valid")
    monkeypatch.setenv("CHARRNN_API_KEY", key)
    assert_one_line_error(CliRunner().invoke(charrnn.serve, [str(LSTM)]), 2, "CHARRNN_API_KEY: no valid API key")


def test_cors_headers_require_the_option(client):
    origin = {"Origin": "https://example.org"}
    assert "access-control-allow-origin" not in client.get("/v1/models", headers=origin).headers
    preflight = origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with client_of(LSTM, cors="https://Example.org/, http://b:80", api_key="secret") as other:
        assert other.options("/v1/completions", headers=preflight).status_code == 200
        private = other.options("/", headers=preflight | {"Access-Control-Request-Private-Network": "true"})
        assert (private.status_code, private.headers["access-control-allow-private-network"]) == (200, "true")
        assert other.options("/", headers=preflight | EVIL).status_code == 400
        for given in ("https://example.org", "http://b"):
            allowed = other.get("/health", headers={"Origin": given}).headers
            assert allowed["access-control-allow-origin"] == given


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("", ""),
        ("*", "*"),
        ("https://a/", "https://a"),
        ("https://A:443 http://b:80/,http://c:8080", "https://a http://b http://c:8080"),
        ("http://[::1]:3000,null", "http://[::1]:3000 null"),
    ],
)
def test_origins_are_as_browsers_send_them(given, origins):
    assert ServeOptions((str(LSTM),), cors=given).cors == origins


@pytest.mark.parametrize("given", "example.org https://a/path https:// http://a:port http://[ https://a?b".split())
def test_what_is_no_origin_is_an_error(given):
    with pytest.raises(OptionError, match=r"-cors: .* is not an origin, such as https"):
        ServeOptions((str(LSTM),), cors=given)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "evil.example.", "[x", "a.b@c.d"]
)
def test_other_names_than_the_servers_own_are_refused(client, host):
    """A site may give its own name the address 127.0.0.1 (DNS rebinding): its pages would have the server's origin."""
    assert "this server is not named" in error_of(client.get("/health", headers={"Host": host}), 403)


def test_names_of_the_server(client):
    own = ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "10.0.0.3", "a.localhost", "charrnn"]
    for host in [*own, "printer.local", "host.docker.internal", socket.gethostname()]:
        assert client.get("/health", headers={"Host": host}).status_code == 200, host
    for hosts in ("texts.example.org, b.example", "*"):
        with client_of(LSTM, hosts=hosts) as other:
            assert other.get("/health", headers={"Host": "Texts.example.org"}).status_code == 200


def test_pages_of_other_sites_may_not_use_it(client):
    """What a browser sends without asking: a form or a text. The server's own page, -cors and other clients may."""
    assert "-cors" in error_of(client.get("/generate", headers=EVIL), 403)
    kinds = ["application/json", "application/x-www-form-urlencoded"]
    for kind in kinds:
        for origin in ("https://evil.example", "null", "http://localhost:3000"):
            headers = {"Content-Type": kind, "Host": "localhost:8000", "Origin": origin}
            assert "-cors" in error_of(client.post("/v1/completions", content=BODY, headers=headers), 403)
        for origin in ({}, {"Origin": "http://localhost:8000"}, {"Origin": "https://localhost:8000"}):
            headers = {"Content-Type": kind, "Host": "localhost:8000", **origin}
            assert client.post("/v1/completions", content=BODY, headers=headers).status_code == 200
    for cors in ("https://evil.example", "*"):
        with client_of(LSTM, cors=cors) as other:
            assert other.post("/v1/completions", content=BODY, headers=EVIL).status_code == 200


def test_bodies_that_are_not_json(client):
    """By content type, from any origin; and compressed ones."""
    for kind in ("text/plain", "text/plain;charset=UTF-8", "multipart/form-data", "application/xml"):
        for origin in ({}, EVIL):
            answer = client.post("/tokenize", content=BODY, headers={"Content-Type": kind} | origin)
            assert "send application/json" in error_of(answer, 415)
    headers = {"Content-Type": "application/json; charset=utf-8", "Content-Encoding": "gzip"}
    assert "gzip" in error_of(client.post("/tokenize", content=gzip.compress(BODY.encode()), headers=headers), 415)
    headers["Content-Encoding"] = "identity"
    assert client.post("/v1/completions", content=BODY, headers=headers).status_code == 200


def test_the_limit_of_a_body(client):
    """With and without Content-Length, whose number counts before the body arrives."""
    largest = BODY.encode().ljust(100_000)
    for content in (largest, iter([largest[:9], largest[9:]])):
        assert client.post("/v1/completions", content=content).status_code == 200
    assert client.post("/v1/completions", content=b"", headers={"Content-Length": "100001"}).status_code == 413
    assert client.post("/v1/completions", content=b"x" * 100_001).status_code == 413
    assert client.post("/v1/completions", content=iter([b"x" * 60_000] * 2)).status_code == 413


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("//v1/completions", "did you mean /v1/completions?"),
        ("/completion", "did you mean /v1/completions?"),
        ("/api/generate", "did you mean /v1/completions?"),
        ("/v1/v1/completions", "did you mean /v1/completions?"),
        ("/api/tags", "did you mean /v1/models?"),
        ("/v1/chat/completions", "has no chat format: send a text as `prompt` to /v1/completions"),
        ("/x", "/openapi.json describes all paths"),
    ],
)
def test_an_unknown_path_names_the_right_one(client, path, words):
    message = error_of(client.request("POST", f"http://localhost{path}", content=BODY), 404)
    assert message.startswith(f"POST {path}: Not Found")
    assert words in message


def test_a_method_that_is_not_allowed(client):
    answer = client.get("/v1/completions")
    assert error_of(answer, 405) == "GET /v1/completions: Method Not Allowed"
    assert answer.headers["allow"] == "POST"


def test_a_body_that_does_not_arrive_in_time(monkeypatch):
    """The connection is closed: the rest of the body would be read as the next request."""

    async def late(request):
        yield b"{"
        raise TimeoutError

    monkeypatch.setattr(body.Request, "stream", late)
    with client_of(LSTM) as client:
        answer = client.post("/tokenize", content=BODY)
    assert "within 15 s" in error_of(answer, 408)
    assert answer.headers["connection"] == "close"

"""Servers and clients for the tests of `charrnn serve`."""

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

from conftest import RECORDINGS, ROOT
from starlette.testclient import TestClient

from charrnn_port.options import ServeOptions
from charrnn_port.sharing.server import models
from charrnn_port.sharing.server.app import Server

LSTM, GRU = (RECORDINGS / f"lua_checkpoints/{name}.t7" for name in ("lstm", "gru"))


@contextmanager
def client_of(*paths, **options):
    """Yield a client of a server in this process."""
    options = ServeOptions(checkpoints=tuple(map(str, paths)), **options)
    with TestClient(Server(options, models.Models(options)).app(), raise_server_exceptions=False) as client:
        yield client


def wait_for(condition):
    """Wait until a condition holds, at most 60 seconds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def complete(client, **body):
    """Send a valid request. Return the response."""
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client, **body):
    """Return the events of a streamed response, without the last, [DONE]."""
    answer = client.post("/v1/completions", json={"stream": True, **body})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *lines, end = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert end == "[DONE]"
    return [json.loads(line) for line in lines]


@contextmanager
def process(*arguments):
    """Start `charrnn serve` as a program. Yield the process and its port."""
    command = [sys.executable, "-m", "charrnn_port", "serve", *map(str, arguments), "-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as program:
        try:
            line = program.stderr.readline()
            assert line.startswith("serving "), line
            yield program, int(line.split(" (")[0].rpartition(":")[2])
        finally:
            program.kill()


def raw(port, body, path="/v1/completions"):
    """Return a connection that has sent a request."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def everything(connection):
    """Return everything that a connection still receives."""
    with connection:
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def metrics_of(port):
    """Return the text of /metrics."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        return everything(connection).decode()

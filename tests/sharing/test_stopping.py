"""The end of the server: texts that take too long get an error in OpenAI's form, and the log is one line."""

import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from served import LSTM, events, everything, metrics_of, raw, wait_for
from starlette.testclient import TestClient

from charrnn_port.options import ServeOptions
from charrnn_port.sharing.serve import listen
from charrnn_port.sharing.server import run
from charrnn_port.sharing.server.app import Server
from charrnn_port.sharing.server.models import Models

LONG = {"max_tokens": 10**6 - 1, "seed": 1}


def test_responses_in_progress_end_with_an_error():
    options = ServeOptions((str(LSTM),), max_length=10**6)
    server = Server(options, Models(options))
    with TestClient(server.app()) as client, ThreadPoolExecutor() as pool:
        streamed = pool.submit(events, client, **LONG)
        whole = pool.submit(client.post, "/v1/completions", json=LONG)
        wait_for(lambda: server.in_progress == 2)
        client.portal.call(server.stop)
        assert streamed.result()[-1]["error"]["code"] == "server_stopping"
        answer = whole.result()
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == "the server is stopping: send the request again"
        assert answer.json()["error"]["type"] == "server_error"
        assert "Retry-After" in answer.headers
        wait_for(lambda: 'streams_in_progress{model="lstm"} 0' in client.get("/metrics").text)
        assert server.in_progress == 0


def serve(visit, last_seconds):
    """Run a server in the main thread, which handles signals. Return what `visit(port)` does, which must stop it."""

    def visit_and_stop(port):
        try:
            return visit(port)
        except BaseException:
            ctrl_c()
            ctrl_c()
            raise

    options = ServeOptions((str(LSTM),), max_length=10**6)
    with listen("127.0.0.1", 0) as listening, ThreadPoolExecutor() as pool:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        visited = pool.submit(visit_and_stop, listening.getsockname()[1])
        run.run(options, listening, last_seconds)
        return visited.result()


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def settings(monkeypatch):
    """The settings of its process that a server changes."""
    changed = []
    monkeypatch.setattr(run.torch, "set_num_threads", lambda count: changed.append(f"{count} thread"))
    monkeypatch.setattr(run.gc, "freeze", lambda: changed.append("no collection"))
    return changed


def test_ctrl_c_with_texts_in_progress(capfd, settings):
    """A streamed text, a whole one, and a client that reads late; here texts have no time to finish."""

    def visit(port):
        streamed, late = (raw(port, json.dumps(LONG | {"stream": True, "n": n}).encode()) for n in (1, 20))
        assert streamed.recv(1)
        assert late.recv(1)
        whole = raw(port, json.dumps(LONG).encode())
        with raw(port, b"{}", "/tokenize") as connection:  # it was accepted after the others
            everything(connection)
        ctrl_c()
        return everything(streamed), everything(whole), late

    text, whole, late = serve(visit, 0)
    late.close()
    assert text.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert text.count(b'"code": "server_stopping"') == 1
    head, _, body = whole.partition(b"\r\n\r\n")
    assert b" 503 " in head
    assert b"server:" not in head.lower()
    assert json.loads(body)["error"]["type"] == "server_error"
    log = capfd.readouterr().err
    assert log == "stopping: waiting up to 0 s for 3 responses in progress (Ctrl-C: do not wait)\n"
    assert settings == ["1 thread", "no collection"]


def test_a_client_that_does_not_read_is_disconnected(monkeypatch, settings):
    """Its response would never end; here clients have no time to read the last event."""
    monkeypatch.setattr(run, "CLIENT_SECONDS", 0)

    def visit(port):
        asked = {"stream": True, "n": 20, "max_tokens": 100, "logprobs": 20}  # more than the buffers on the way
        deaf = raw(port, json.dumps(asked).encode())
        assert deaf.recv(1)
        wait_for(lambda: 'streams_in_progress{model="lstm"} 0' in metrics_of(port))
        ctrl_c()
        return deaf

    assert b"[DONE]" not in everything(serve(visit, 0))


def test_a_second_ctrl_c_does_not_wait(capfd, settings):
    def visit(port):
        streamed = raw(port, json.dumps(LONG | {"stream": True}).encode())
        assert streamed.recv(1)
        ctrl_c()
        while "stopping" not in (log := capfd.readouterr().err):
            assert streamed.recv(1)
        ctrl_c()
        everything(streamed)
        return log

    assert serve(visit, 600) == "stopping: waiting up to 600 s for 1 response in progress (Ctrl-C: do not wait)\n"
    assert capfd.readouterr().err == ""

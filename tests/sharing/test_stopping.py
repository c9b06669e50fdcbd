"""The end of the server: texts that take too long get an error in OpenAI's form, and the log is one line."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from conftest import ROOT
from served import LSTM, events, everything, raw, wait_for
from starlette.testclient import TestClient

from charrnn_port.options import ServeOptions
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


def test_ctrl_c_with_texts_in_progress():
    """A streamed text, a whole one, and a client that does not read; here texts have no time to finish."""
    code = "from charrnn_port.sharing import serve; serve.LAST_SECONDS = 0; import charrnn_port.__main__ as m; m.main()"
    command = [sys.executable, "-c", code, "serve", str(LSTM), "-port", "0", "-max_length", "1000000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as program:
        try:
            port = int(program.stderr.readline().split(" (")[0].rpartition(":")[2])
            streamed, deaf = (raw(port, json.dumps(LONG | {"stream": True, "n": n}).encode()) for n in (1, 20))
            assert streamed.recv(1)
            assert deaf.recv(1)
            whole = raw(port, json.dumps(LONG).encode())
            with raw(port, b"{}", "/tokenize") as connection:  # it was accepted after the others
                everything(connection)
            program.send_signal(signal.SIGINT)
            text = everything(streamed)
            assert text.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            assert text.count(b'"code": "server_stopping"') == 1
            head, _, body = everything(whole).partition(b"\r\n\r\n")
            assert b" 503 " in head
            assert json.loads(body)["error"]["type"] == "server_error"
            log = program.communicate(timeout=60)[1]
            assert log == "stopping: waiting up to 0 s for 3 responses in progress (Ctrl-C: do not wait)\n"
        finally:
            program.kill()
            deaf.close()

"""Timeouts of connections, and worker processes, without waiting: clocks, transports and processes are replaced."""

import asyncio
import os
import signal
import threading
from types import SimpleNamespace

import pytest
import uvicorn
from uvicorn.server import ServerState

from charrnn_port.sharing.server import protocol, workers

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
LARGE = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n"


class Transport(asyncio.Transport):
    """A connection without a socket."""

    closed = False

    def write(self, data: bytes) -> None:
        """Ignore data."""

    def close(self) -> None:
        """Note the call."""
        self.closed = True

    def is_closing(self) -> bool:
        """Return whether `close` has been called."""
        return self.closed


@pytest.mark.parametrize(
    ("received", "answers", "lost", "closed"),
    [
        ([], False, False, True),
        ([b"GET / HT", b"TP/1.1\r\n"], False, False, True),
        ([], False, True, False),
        ([REQUEST], False, False, False),
        ([REQUEST[:9], REQUEST[9:]], False, False, False),
        ([LARGE, b"x"], False, False, False),  # reading the body has a timeout of its own
        ([REQUEST], True, False, False),
        ([REQUEST, b"GET / HT"], True, False, True),
        ([LARGE, b"x"], True, False, True),  # the rest of a body that has been refused
    ],
)
def test_a_connection_is_closed_if_headers_are_late(monkeypatch, received, answers, lost, closed):
    """The timeout is 0 seconds here. An application answers at once or never."""
    monkeypatch.setattr(protocol, "PATIENCE", 0.0)

    async def app(scope, receive, send):
        if not answers:
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def connect():
        state, transport = ServerState(), Transport()
        connection = protocol.Protocol(uvicorn.Config(app, log_config=None), state, {})
        connection.connection_made(transport)
        for data in received:
            connection.data_received(data)
            if answers:
                await asyncio.sleep(0.001)
        if lost:
            connection.connection_lost(ConnectionResetError())
        assert (connection in state.connections) == (not lost)
        await asyncio.sleep(0.001)
        return transport.closed

    assert asyncio.run(connect()) == closed


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_workers_are_replaced_and_end_with_the_server(ending, monkeypatch, capsys):
    """A new worker ignores Ctrl-C at first. At the end each gets SIGTERM, some time together, and then SIGKILL."""
    log, before = [], [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    class Process:
        def __init__(self, target, args) -> None:
            assert (target, args) == (workers.worker, (print, 1, 2))
            self.name, self.exitcode = "abc"[log.count("start")], 9

        def start(self) -> None:
            log.append("start")
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN

        def is_alive(self) -> bool:
            assert signal.getsignal(signal.SIGINT) != signal.SIG_IGN
            if log.count("start") == 3:
                os.kill(os.getpid(), ending)
            return self.name != "b"

        def terminate(self) -> None:
            log.append(f"{self.name} SIGTERM")

        def join(self, seconds) -> None:
            log.append(f"{self.name} {seconds}")

        def kill(self) -> None:
            log.append(f"{self.name} SIGKILL")

    clock = iter([100, 102, 109])
    monkeypatch.setattr(workers, "LOOK", 0.0)
    monkeypatch.setattr(workers, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(workers, "get_context", lambda kind: SimpleNamespace(Process=Process))
    try:
        workers.keep_working(2, print, 1, 2, last_seconds=7)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert log == [*["start"] * 3, "a SIGTERM", "c SIGTERM", "a 5", "a SIGKILL", "c 0", "c SIGKILL"]
    assert capsys.readouterr().err == "a worker exited with status 9: starting another\n"


def test_a_worker_ends_with_its_parent(monkeypatch):
    """In a thread that does not keep the process alive."""
    waited, ended, done = [], [], threading.Event()

    def wait(sentinels):
        waited.append((sentinels, threading.current_thread().daemon))

    monkeypatch.setattr(workers, "parent_process", lambda: SimpleNamespace(sentinel=5))
    monkeypatch.setattr(workers, "connection", SimpleNamespace(wait=wait))
    monkeypatch.setattr(workers.os, "kill", lambda *words: ended.append(words) or done.set())
    worked = []
    workers.worker(lambda *words: worked.append(words) or done.wait(60), 1, 2)
    assert (worked, waited, ended) == ([(1, 2)], [([5], True)], [(os.getpid(), signal.SIGTERM)])

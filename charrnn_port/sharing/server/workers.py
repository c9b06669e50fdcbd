"""Run a function in several worker processes, and replace workers that die."""

import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any

from charrnn_port.command_line import log_line

LOOK = 1.0  # seconds between two checks for workers that have died


def keep_working(count: int, work: Callable[..., None], *arguments: Any, last_seconds: float) -> None:
    """Run `work(*arguments)` in `count` processes until SIGINT or SIGTERM; a process that dies is replaced.

    At the end the processes get SIGTERM, and after `last_seconds` they are killed.
    A Ctrl-C in a terminal is sent to all processes. New ones ignore it until they handle it, so that it does not
    interrupt their imports.
    """
    context, ending = get_context("spawn"), threading.Event()

    def start() -> BaseProcess:
        process = context.Process(target=worker, args=(work, *arguments))
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a child process inherits that it is ignored
        process.start()
        signal.signal(signal.SIGINT, before)
        return process

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    processes = [start() for _ in range(count)]
    while not ending.wait(LOOK):
        for place, process in enumerate(processes):
            if not process.is_alive():
                log_line(f"a worker exited with status {process.exitcode}: starting another")
                processes[place] = start()
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + last_seconds
    for process in processes:
        process.join(max(0, deadline - time.monotonic()))
        process.kill()


def worker(work: Callable[..., None], *arguments: Any) -> None:
    """Run `work` in a worker process, which ends when its parent ends."""

    def leave_with_parent() -> None:
        connection.wait([parent_process().sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    work(*arguments)

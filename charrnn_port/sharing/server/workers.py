"""Several processes that do the same, for as long as they are wanted."""

import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any

from charrnn_port.command_line import log_line

LOOK = 1.0  # seconds between two looks at who is still alive


def keep_working(count: int, work: Callable[..., None], *arguments: Any, last_seconds: float) -> None:
    """Run `work(*arguments)` in `count` processes until SIGINT or SIGTERM; one that dies is replaced.

    They end on SIGTERM, and are killed where they have not after `last_seconds`.
    """
    context, ending = get_context("spawn"), threading.Event()

    def start() -> BaseProcess:
        process = context.Process(target=worker, args=(work, *arguments))
        process.start()
        return process

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    processes = [start() for _ in range(count)]
    while not ending.wait(LOOK):
        for place, process in enumerate(processes):
            if not process.is_alive():
                log_line(f"a worker has ended with status {process.exitcode}: another takes its place")
                processes[place] = start()
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(last_seconds)
        process.kill()


def worker(work: Callable[..., None], *arguments: Any) -> None:
    """What each of them runs; it does not outlive the one that started it."""

    def leave_with_parent() -> None:
        connection.wait([parent_process().sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    work(*arguments)

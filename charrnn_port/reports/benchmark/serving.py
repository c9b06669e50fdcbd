"""`charrnn benchmark -serve N`: measure the throughput and latency of `charrnn serve`, and check its texts.

A server is started on this machine. It shares the processors with its concurrent clients, so that the result includes
both. Every text is compared with the text that the same network writes without a server.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from charrnn_port.checkpoints import Checkpoint, save_checkpoint
from charrnn_port.device import DTYPES
from charrnn_port.model.memory import parameter_count
from charrnn_port.options import BenchmarkOptions
from charrnn_port.reports.benchmark import parse_size, write_json
from charrnn_port.reports.machine import describe_machine
from charrnn_port.sampling import Model, sample_bytes
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

VOCAB = Vocabulary(bytes(range(32, 97)))
REQUESTS, LENGTH = 200, 200  # texts, and characters of each
ROUNDS = 5  # the result is their median
MANY, SHORT = 10_000, 10  # texts, and characters of each, for the measurement of memory
LINE = 1 << 24  # largest size of an event in bytes
CPU = torch.device("cpu")


class Text(NamedTuple):
    """The response to one request."""

    seed: int
    text: bytes
    first: float  # seconds from the request to the first character


def time_serving(options: BenchmarkOptions) -> None:
    """Print the table. Raises UserError if the server cannot be started or writes a wrong text."""
    size = parse_size(options.sizes.split(",")[0])
    print(describe_machine(CPU))
    print(f"\nlstm {size[0]}x{size[1]}, charrnn serve: {REQUESTS} texts of {LENGTH} characters by concurrent requests")
    print(f"{'':10}{'at a time':>10}{'characters/s':>14}{'to one':>8}{'first character, ms: p50':>26}{'p99':>8}")
    rows = []
    for name, dtype in DTYPES.items():
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/network.t7.pt"
            network = random_network(size)
            save_checkpoint(network, path)
            model = Model(network.build("fused", dtype), VOCAB)
            expected = [b"".join(sample_bytes(model, LENGTH, seed=seed)) for seed in range(REQUESTS)]
            with server(path, name) as (port, pid):
                one = None
                for at_once in (1, 20, options.serve, REQUESTS):
                    asyncio.run(ask_all(port, at_once, at_once, LENGTH))  # warm
                    speeds, firsts = [], []
                    for _ in range(ROUNDS):
                        begin = time.perf_counter()
                        texts = asyncio.run(ask_all(port, REQUESTS, at_once, LENGTH))
                        speeds.append(REQUESTS * LENGTH / (time.perf_counter() - begin))
                        firsts += [text.first for text in texts]
                        if [text.text for text in sorted(texts)] != expected:
                            raise UserError(f"{name}, {at_once} at a time: the server's texts differ from sample.py's")
                    speed = statistics.median(speeds)
                    one = one or speed
                    waits = statistics.quantiles([first * 1e3 for first in firsts], n=100)
                    line = f"{name:10}{at_once:10}{speed:14.0f}{speed / one:8.2f}{waits[49]:26.1f}{waits[98]:8.1f}"
                    print(line, flush=True)
                    row = {"what": name, "at_once": at_once, "per_second": speeds}
                    rows.append(row | {"first": firsts})
                before = memory(pid)
                asyncio.run(ask_all(port, MANY, options.serve, SHORT))
                grown = memory(pid) - before
            print(f"{name}: all texts equal those without a server; memory grew {grown:.1f} MB over {MANY} requests")
            rows.append({"what": f"{name} memory", "requests": MANY, "megabytes": grown})
    write_json(options, CPU, rows)


def random_network(size: tuple[int, int]) -> Checkpoint:
    """Return a checkpoint with random parameters."""
    opt = {"model": "lstm", "rnn_size": size[0], "num_layers": size[1], "dropout": 0}
    count = parameter_count("lstm", len(VOCAB), *size)
    params = torch.empty(count, dtype=torch.float64).uniform_(-0.3, 0.3, generator=torch.Generator().manual_seed(1))
    return Checkpoint(opt, VOCAB, params, 0, 0.0, [], {}, float("nan"))


@contextmanager
def server(path: str, dtype: str) -> Iterator[tuple[int, int]]:
    """Run a server of this checkpoint; yields its port and process id. Raises UserError if it does not start."""
    command = [sys.executable, "-m", "charrnn_port", "serve", path, "-port", "0", "-dtype", dtype, "-queue", "1000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline()
            if not line.startswith("serving"):
                raise UserError(f"cannot start charrnn serve: {line.strip().removeprefix('Error: ')}")
            yield int(line.split(" (")[0].rpartition(":")[2]), process.pid
        finally:
            process.terminate()


async def ask_all(port: int, count: int, at_once: int, length: int) -> list[Text]:
    """Request texts with the seeds 0 to count - 1 over `at_once` connections, each of which is kept for many."""
    seeds, texts = iter(range(count)), []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LINE)
        try:
            for seed in seeds:  # shared: each client takes the next one
                texts.append(await ask(reader, writer, seed, length))
        finally:
            writer.close()

    await asyncio.gather(*(client() for _ in range(at_once)))
    return texts


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seed: int, length: int) -> Text:
    """Request one text as a stream. Raises UserError for an invalid response."""
    begin, first = time.perf_counter(), None
    body = json.dumps({"max_tokens": length, "seed": seed, "stream": True}).encode()
    head = ["POST /v1/completions HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    text, lines = "", []
    while (line := await reader.readline()) not in (b"", b"0\r\n"):  # the last chunk, whose size is 0
        lines.append(line)
        if line.startswith(b"data: {"):
            first = first or time.perf_counter() - begin
            event = json.loads(line.removeprefix(b"data: "))
            text += event["choices"][0]["text"] if "choices" in event else ""
    if b"data: [DONE]\n" not in lines or len(text) != length:
        raise UserError(f"invalid response of the server: {b''.join(lines[:1] + lines[-3:])!r}")
    await reader.readline()  # the empty line after the last chunk
    return Text(seed, text.encode(), first)


def memory(pid: int) -> float:
    """Return the resident memory of a process in MB, or NaN if it is unknown."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError):
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

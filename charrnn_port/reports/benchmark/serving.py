"""`charrnn benchmark -serve N`: how many characters a second `charrnn serve` writes, and whether they are right.

A server of its own is started on this machine. It and those who ask it, many at a time, share the processors: what is
measured is both. Every text is compared with what the same network writes alone.
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
ROUNDS = 5  # the median counts
MANY, SHORT = 10_000, 10  # the same where memory is looked at
LINE = 1 << 24  # bytes that an event may have
CPU = torch.device("cpu")


class Text(NamedTuple):
    """What one request got."""

    seed: int
    text: bytes
    first: float  # seconds from the request to the first character


def time_serving(options: BenchmarkOptions) -> None:
    """Print the table. Raises UserError where the server cannot be started, or writes something else than it should."""
    size = parse_size(options.sizes.split(",")[0])
    print(describe_machine(CPU))
    print(f"\nlstm {size[0]}x{size[1]}, charrnn serve: {REQUESTS} texts of {LENGTH} characters, so many at a time")
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
                            raise UserError(f"{name}, {at_once} at a time: the texts are not those of sample.py")
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
            print(f"{name}: all texts are as without a server; {MANY} requests later it has {grown:.1f} MB more memory")
            rows.append({"what": f"{name} memory", "requests": MANY, "megabytes": grown})
    write_json(options, CPU, rows)


def random_network(size: tuple[int, int]) -> Checkpoint:
    """A network of this size that has learned nothing."""
    opt = {"model": "lstm", "rnn_size": size[0], "num_layers": size[1], "dropout": 0}
    count = parameter_count("lstm", len(VOCAB), *size)
    params = torch.empty(count, dtype=torch.float64).uniform_(-0.3, 0.3, generator=torch.Generator().manual_seed(1))
    return Checkpoint(opt, VOCAB, params, 0, 0.0, [], {}, float("nan"))


@contextmanager
def server(path: str, dtype: str) -> Iterator[tuple[int, int]]:
    """A server of this checkpoint: its port, and the number of its process."""
    command = [sys.executable, "-m", "charrnn_port", "serve", path, "-port", "0", "-dtype", dtype, "-queue", "1000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline()
            if not line.startswith("serving"):
                raise UserError(f"charrnn serve does not start: {line.strip().removeprefix('Error: ')}")
            yield int(line.split(" (")[0].rpartition(":")[2]), process.pid
        finally:
            process.terminate()


async def ask_all(port: int, count: int, at_once: int, length: int) -> list[Text]:
    """The texts of `count` seeds from 0 on."""
    room = asyncio.Semaphore(at_once)

    async def one(seed: int) -> Text:
        async with room:
            return await ask(port, seed, length)

    return await asyncio.gather(*map(one, range(count)))


async def ask(port: int, seed: int, length: int) -> Text:
    """One text, streamed. Raises UserError for an answer that is none."""
    begin, first = time.perf_counter(), None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LINE)
    try:
        body = json.dumps({"max_tokens": length, "seed": seed, "stream": True}).encode()
        head = ["POST /v1/completions HTTP/1.1", "Host: here", "Connection: close", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        text, lines = "", []
        while line := await reader.readline():
            lines.append(line)
            if line.startswith(b"data: {"):
                first = first or time.perf_counter() - begin
                event = json.loads(line.removeprefix(b"data: "))
                text += event["choices"][0]["text"] if "choices" in event else ""
        if b"data: [DONE]\n" not in lines or len(text) != length:
            raise UserError(f"the server does not answer as it should: {b''.join(lines[:1] + lines[-3:])!r}")
        return Text(seed, text.encode(), first)
    finally:
        writer.close()


def memory(pid: int) -> float:
    """What a process has in memory, MB; NaN where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError):
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

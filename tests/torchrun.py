"""Runs train.py under torchrun, on one host or, from several starts of torchrun, on several."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conftest import ROOT


class Torchrun:
    """A running `torchrun --nproc_per_node COUNT WORDS train.py ARGUMENTS`, with its output and exit status.

    `prefix` begins the command, `folder` is the working folder, and `variables` are added to the environment.
    """

    def __init__(
        self,
        *arguments: object,
        count: int = 2,
        words: Sequence[object] = (),
        prefix: Sequence[str] = (),
        folder: Path | None = None,
        script: Path = ROOT / "train.py",
        variables: dict[str, str] | None = None,
    ) -> None:
        command = ["-m", "torch.distributed.run", "--nproc_per_node", count, *words, script, *arguments]
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*prefix, sys.executable, *(str(word) for word in command)],
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})},
        )
        self.stdout = ""

    def read(self, until: str | None = None) -> None:
        """Read up to the line that begins with `until`, or to the end."""
        for line in self.process.stdout:
            self.stdout += line
            if until and line.startswith(until):
                break

    def end(self) -> int:
        """Return the exit status; `errors` are then the errors on stderr from this program, not from torchrun."""
        self.read()
        status = self.process.wait()
        self._stderr.seek(0)
        self.stderr = self._stderr.read()
        assert 'train.py", line' not in self.stderr  # no traceback from train.py
        self.errors = [line for line in self.stderr.split("\n") if line.startswith("Error: ")]
        return status

    def children(self) -> list[int]:
        """Return the processes that torchrun started, oldest first."""
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def two_hosts(address: str = "127.0.0.1") -> list[list[object]]:
    """Return torchrun's words for each of two hosts, the first of which has the address."""
    port = free_port()
    return [["--nnodes", 2, "--node_rank", rank, "--master_addr", address, "--master_port", port] for rank in (0, 1)]


def free_port() -> int:
    """Return a port that no program uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]

"""Data-parallel training in one process or several: `torchrun --nproc_per_node 4 train.py`, on one host or more.

Each process computes its share of the rows of every batch. The gradients are averaged once per iteration; the rest is
the same in all processes, each of which holds the whole network and draws the same random numbers. The main process
(rank 0) prints, saves, and reads the checkpoint to begin with. Checkpoints do not depend on the number of processes.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from datetime import timedelta
from threading import Thread
from typing import Any

import torch
from torch import Tensor, distributed

from charrnn_port.training import connection
from charrnn_port.training.interrupts import Interrupts
from charrnn_port.util.errors import UserError

TIMEOUT = timedelta(minutes=5)  # longer than saving a checkpoint takes
ANSWER = 5  # seconds until an answer of the store, and between the first failure of a host and the others


def processes() -> "SingleProcess":
    """Return the processes of this run: several under torchrun, else one.

    Raises UserError if RANK is set but other variables that torchrun sets are missing or not numbers.
    """
    if "RANK" not in os.environ:
        return SingleProcess()
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT"):
        if not os.environ.get(name, "").isdecimal():
            raise UserError(
                f"RANK is set, as torchrun does, but {name} is {os.environ.get(name, 'not set')!r}: expected a number; "
                "start with torchrun, or unset RANK"
            )
    if not os.environ.get("MASTER_ADDR"):
        raise UserError("RANK is set, as torchrun does, but MASTER_ADDR is not: start with torchrun, or unset RANK")
    return Distributed()


class SingleProcess:
    """A run in a single process: rank 0 of 1, without communication."""

    rank, count = 0, 1

    def __init__(self) -> None:
        self.interrupts = Interrupts()

    def __enter__(self) -> "SingleProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def rows(self, batch_size: int) -> slice:
        """Return the rows of every batch that this process computes.

        Raises UserError if `batch_size` is not a multiple of the number of processes.
        """
        if batch_size % self.count:
            raise UserError(
                f"-batch_size {batch_size} cannot be split evenly among {self.count} processes: "
                f"use {batch_size // self.count * self.count or self.count} or another multiple of {self.count}"
            )
        share = batch_size // self.count
        return slice(self.rank * share, (self.rank + 1) * share)

    def device(self, device: torch.device) -> torch.device:
        """Return the device of this process, given the device of the main process."""
        return device

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the block in the main process, then in one of each other host, then in the others.

        So each process finds the files that the block makes, whether or not hosts share a file system. All processes
        must reach the same blocks in the same order, and not one inside another.
        """
        yield

    def from_main(self, make: Callable[[], Any]) -> Any:
        """Return, in all processes, what `make` returns in the main process, the only one that calls it."""
        return make()

    def require_same(self, values: dict[str, object], advice: str) -> None:
        """Raise UserError, which ends with `advice`, if one of the values differs from the main process's."""
        for name, value in self.from_main(lambda: values).items():
            if values[name] != value:
                raise UserError(f"{name} is {values[name]} in process {self.rank}, but {value} in process 0: {advice}")

    def saved(self, path: str) -> None:
        """Record the path of the run's latest checkpoint, in the main process."""

    def saved_before_restart(self) -> str:
        """Return the path of the latest checkpoint that was saved before torchrun restarted the processes, or ""."""
        return ""

    def average(self, *tensors: Tensor) -> None:
        """Replace each tensor by its mean over all processes, in place."""

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate the rows of all processes."""
        return tensor

    def interrupted(self) -> bool:
        """Return whether to stop. All processes give the same answer until the next `average`."""
        return self.interrupts.stopping()

    def save_wanted(self) -> bool:
        """Return whether a checkpoint was requested, and clear the request."""
        wanted, self.interrupts.save_wanted = self.interrupts.save_wanted, False
        return wanted


class Distributed(SingleProcess):
    """One of the processes that torchrun started."""

    def __init__(self) -> None:
        self.rank, self.count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.local_rank = int(os.environ["LOCAL_RANK"])
        self.interrupts = Interrupts(patient=True, quiet=self.rank > 0)
        self._interrupted = self._save_wanted = False
        self._blocks = 0  # number of blocks of main_process_first

    def __enter__(self) -> "Distributed":
        self._stack, self._store = ExitStack(), None
        if self.rank > 0:
            self._stack.enter_context(redirect_stdout(self._stack.enter_context(open(os.devnull, "w"))))
        try:
            self._of_run = connection.open_store(self.rank, self.count)
            self._store = connection.of_attempt(self._of_run, self.rank, self.count)
            connection.connect(self._store, self.rank, self.count, TIMEOUT)
        except UserError as error:
            self._leave_to_first(error)
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._stack.close()
        if error is None or isinstance(error, SystemExit):
            # In PyTorch 2.4, Gloo's threads need the GIL to free the tensors of the last operation, and are joined by a
            # thread that holds it. They take it while this one sleeps.
            time.sleep(0.1)
            distributed.destroy_process_group()
        else:
            self._leave_to_first(error)

    def _leave_to_first(self, error: BaseException) -> None:
        """Exit without a message if another process of this host failed before: that one prints its error."""
        if not self._first_to_fail():
            raise SystemExit(1) from error
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun may send it before the error is printed

    def _first_to_fail(self) -> bool:
        """Return whether no other process of this host has failed before; if that is unknown, True for one of them."""
        answers = []

        def ask() -> None:
            with suppress(AttributeError, RuntimeError):  # there is no store: torchrun, which keeps it, has ended
                self._store.set("failed", "")
                answers.append(self._store.add(f"failed on the host of {self.rank - self.local_rank}", 1))

        thread = Thread(target=ask, daemon=True)  # if the host of the store is cut off, the call does not return
        thread.start()
        thread.join(ANSWER)
        if answers:
            return answers[0] == 1
        if self.local_rank > 0:  # the one that prints must fail before torchrun ends it, because this one has ended
            time.sleep(ANSWER)
        return self.local_rank == 0

    def device(self, device: torch.device) -> torch.device:
        """Return a GPU for each process of this machine, counting from `device`.

        Raises UserError if there are fewer GPUs than processes, and on MPS.
        """
        if device.type == "cuda":
            needed = device.index + int(os.environ["LOCAL_WORLD_SIZE"])
            if needed > torch.cuda.device_count():
                raise UserError(
                    f"each process needs its own GPU, {needed} in total, but this machine has "
                    f"{torch.cuda.device_count()}: lower --nproc_per_node, or use the CPU with -gpuid -1"
                )
            return torch.device("cuda", device.index + self.local_rank)
        if device.type == "mps":
            raise UserError("several processes cannot share MPS: use the CPU with -gpuid -1")
        return device

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the block in the main process first; the others wait for it without a time limit."""
        self._blocks += 1
        before = self.rank - self.local_rank if self.local_rank else 0  # the process to wait for
        with all_alive():
            while self.rank > 0 and not self._store.check([f"{before} is through block {self._blocks}"]):
                if self._store.check(["failed"]):
                    raise UserError("another process of this run failed: see its message")
                time.sleep(connection.POLL)  # polled in Python, so that signals can end the wait
        yield
        with all_alive():
            self._store.set(f"{self.rank} is through block {self._blocks}", "")

    def from_main(self, make: Callable[[], Any]) -> Any:
        """Return, in all processes, what `make` returns in the main process; the others wait without a time limit."""
        with self.main_process_first():
            result = [make() if self.rank == 0 else None]
        with all_alive():
            distributed.broadcast_object_list(result, device=torch.device("cpu"))
        return result[0]

    def saved(self, path: str) -> None:
        """Record the path of the run's latest checkpoint; torchrun's store keeps it when it restarts processes."""
        with all_alive():
            self._of_run.set("saved", path)

    def saved_before_restart(self) -> str:
        """Return the path of the latest checkpoint that was saved before torchrun restarted the processes, or ""."""
        with all_alive():
            return self._of_run.get("saved").decode() if self._of_run.check(["saved"]) else ""

    def average(self, *tensors: Tensor) -> None:
        """Replace each tensor by its mean over all processes, and exchange interrupts and requests to save."""
        parts = [tensor.flatten() for tensor in tensors]
        message = torch.cat([*parts, parts[0].new_tensor([super().interrupted(), super().save_wanted()])])
        with all_alive():
            distributed.all_reduce(message)
        message /= self.count
        *means, asked = message.split([*map(len, parts), 2])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))
        interrupted, save_wanted = asked.tolist()
        self._interrupted = interrupted > 0
        self._save_wanted |= save_wanted > 0

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate the rows of all processes."""
        parts = [torch.empty_like(tensor) for _ in range(self.count)]
        with all_alive():
            distributed.all_gather(parts, tensor)
        return torch.cat(parts)

    def interrupted(self) -> bool:
        """Return whether any process had been interrupted at the last `average`."""
        return self._interrupted

    def save_wanted(self) -> bool:
        """Return whether any process had received a request to save at the last `average`, and clear the request."""
        wanted, self._save_wanted = self._save_wanted, False
        return wanted


@contextmanager
def all_alive() -> Iterator[None]:
    """Context manager that turns the failure of a collective operation, when a process is gone, into a UserError."""
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            f"another process of this run ended or does not respond ({connection.first_sentence(error)}); continue "
            "with -resume latest"
        ) from error

"""One process, or several that train one network together: `torchrun --nproc_per_node 4 train.py`.

Each process takes its share of the rows of every batch. Once an iteration they average their gradients, and from
there on all do the same: each holds the whole network, and draws the same random numbers. The first one prints
and saves. Nothing that is saved depends on how many there are.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import timedelta

import torch
from torch import Tensor, distributed

from charrnn_port.training.interrupts import Interrupts
from charrnn_port.util.errors import UserError

TIMEOUT = timedelta(minutes=10)  # longer than it takes to save a checkpoint


def processes() -> "SingleProcess":
    """Those of this run: several under torchrun, else one.

    Raises UserError where the environment says that there are several, and not all about them.
    """
    if "RANK" not in os.environ:
        return SingleProcess()
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT"):
        if not os.environ.get(name, "").isdecimal():
            raise UserError(
                f"RANK is set, as torchrun does, but {name} is {os.environ.get(name, 'not set')!r} in place of a "
                "number: start with torchrun, or unset RANK"
            )
    return Distributed()


class SingleProcess:
    """The only process of a run: first of one, with nobody to talk to."""

    rank, count = 0, 1

    def __init__(self) -> None:
        self.interrupts = Interrupts()

    def __enter__(self) -> "SingleProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def rows(self, batch_size: int) -> slice:
        """Which rows of every batch are this process's. Raises UserError where they can't be shared out evenly."""
        if batch_size % self.count:
            raise UserError(
                f"-batch_size {batch_size} cannot be shared out evenly to {self.count} processes: "
                f"take {batch_size // self.count * self.count or self.count} or another multiple of {self.count}"
            )
        share = batch_size // self.count
        return slice(self.rank * share, (self.rank + 1) * share)

    def device(self, device: torch.device) -> torch.device:
        """The device of this process, where `device` is that of the first."""
        return device

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """The first process goes through the block before the others do; they find made what it makes."""
        yield

    def average(self, *tensors: Tensor) -> None:
        """Put the mean over all processes in the place of each tensor."""

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of all processes, one after the other."""
        return tensor

    def interrupted(self) -> bool:
        """Whether to stop: the same answer in all processes since they last averaged."""
        return self.interrupts.stopping()

    def save_wanted(self) -> bool:
        """Whether somebody wants a checkpoint now; asked once, it is forgotten."""
        wanted, self.interrupts.save_wanted = self.interrupts.save_wanted, False
        return wanted


class Distributed(SingleProcess):
    """One of the processes that torchrun started."""

    def __init__(self) -> None:
        self.rank, self.count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.interrupts = Interrupts(patient=True, quiet=self.rank > 0)
        self._interrupted = self._save_wanted = False

    def __enter__(self) -> "Distributed":
        self._stack = ExitStack()
        if self.rank > 0:
            self._stack.enter_context(redirect_stdout(self._stack.enter_context(open(os.devnull, "w"))))
        self._store, _, _ = next(distributed.rendezvous("env://"))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(
            backend, store=self._store, rank=self.rank, world_size=self.count, timeout=TIMEOUT
        )
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._stack.close()
        first = error is None or self._first_to_fail()
        if error is None or isinstance(error, SystemExit):
            distributed.destroy_process_group()
        elif first:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun may send it before the user is told
        else:
            raise SystemExit(1) from error  # another process failed before and tells

    def _first_to_fail(self) -> bool:
        try:
            return self._store.add("failed", 1) == 1
        except RuntimeError:  # torchrun is gone, which keeps the store
            return True

    def device(self, device: torch.device) -> torch.device:
        """A GPU for each process of this machine, from `device` on."""
        if device.type == "cuda":
            needed = device.index + int(os.environ["LOCAL_WORLD_SIZE"])
            if needed > torch.cuda.device_count():
                raise UserError(
                    f"each process needs a GPU of its own, {needed} in all, and this machine has "
                    f"{torch.cuda.device_count()}: lower --nproc_per_node, or take the CPU with -gpuid -1"
                )
            return torch.device("cuda", device.index + int(os.environ["LOCAL_RANK"]))
        if device.type == "mps":
            raise UserError("several processes cannot share MPS: take the CPU with -gpuid -1")
        return device

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """The first process goes through the block before the others do, which wait however long that takes."""
        while self.rank > 0 and not self._store.check(["first is through"]):
            time.sleep(0.02)  # in Python, where signals end it
        yield
        self._store.set("first is through", "")

    def average(self, *tensors: Tensor) -> None:
        """Put the mean over all processes in the place of each tensor; and learn whether any was interrupted."""
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
        """The rows of all processes, one after the other."""
        parts = [torch.empty_like(tensor) for _ in range(self.count)]
        with all_alive():
            distributed.all_gather(parts, tensor)
        return torch.cat(parts)

    def interrupted(self) -> bool:
        """Whether any process had been, when they last averaged."""
        return self._interrupted

    def save_wanted(self) -> bool:
        """Whether any process had been asked, until they last averaged."""
        wanted, self._save_wanted = self._save_wanted, False
        return wanted


@contextmanager
def all_alive() -> Iterator[None]:
    """What processes do together fails in all of them when one is gone."""
    try:
        yield
    except RuntimeError as error:
        what = str(error).split(". ")[0]  # gloo and NCCL add advice that is not for the user
        raise UserError(
            f"another process of this run ended or does not answer ({what}); go on with -resume latest"
        ) from error

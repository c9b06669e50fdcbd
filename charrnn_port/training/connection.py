"""Connects the processes that torchrun started, on one host or several."""

import os
import socket
import struct
import time
from datetime import timedelta

import torch
from torch import distributed

from charrnn_port.util.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

START = timedelta(minutes=2)  # until all processes have started, after the first one
CONNECT = timedelta(seconds=30)  # until a process has reached the store, and until all that have started are connected
POLL = 0.02  # seconds
SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface


def open_store(rank: int, count: int) -> distributed.Store:
    """Return torchrun's store of keys and values, which all processes of the run share, also after a restart.

    Raises UserError if it cannot be reached.
    """
    address, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    try:
        store, _, _ = next(distributed.rendezvous("env://", rank, count, timeout=CONNECT))
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot connect to the main process at {address}, port {port} ({first_sentence(error)}): check "
            "--master_addr and --master_port, or with --rdzv_backend c10d --local_addr, and the firewall"
        ) from error
    return store


def of_attempt(store: distributed.Store, rank: int, count: int) -> distributed.Store:
    """Wait until all processes have started, and return the part of the store that they use from now on.

    When torchrun restarts all processes after a failure, it keeps the store, with the keys of the attempt before. The
    number of the attempt, which the main process raises, cannot be taken from TORCHELASTIC_RESTART_COUNT: hosts may
    count differently. Raises UserError if a process does not start in time, or if the host of the store is gone.
    """
    end, tried, fresh = time.monotonic() + START.total_seconds(), 0, False
    try:
        if rank == 0:
            store.add("attempts", 1)
        while True:
            attempt = store.add("attempts", 0)
            if attempt != tried:  # fresh: not an attempt before the restart, which the main process has yet to follow
                tried, fresh = attempt, store.add(f"rank {rank} in attempt {attempt}", 1) == 1
            here, begins = [f"rank {each} in attempt {attempt}" for each in range(count)], f"attempt {attempt} begins"
            if rank == 0 and store.check(here):
                store.set(begins, "")
            if fresh and store.check([begins]):
                return distributed.PrefixStore(f"attempt {attempt}", store)
            if time.monotonic() > end:
                missing = next((each for each, key in enumerate(here) if not store.check([key])), 0)
                raise UserError(
                    f"process {missing} of {count} has not started within {START.seconds} seconds: see the messages on "
                    "its host"
                )
            time.sleep(POLL)  # polled in Python, so that signals can end the wait
    except RuntimeError as error:
        raise UserError(f"another process of this run ended: see its message ({first_sentence(error)})") from error


def connect(store: distributed.Store, rank: int, count: int, timeout: timedelta) -> None:
    """Connect this process to all others for collective operations, each of which may take as long as `timeout`.

    Gloo listens on the network interface through which the main process is reached, unless GLOO_SOCKET_IFNAME names
    another one. Raises UserError if that fails.
    """
    interface = os.environ.get("GLOO_SOCKET_IFNAME") or interface_towards(os.environ["MASTER_ADDR"])
    if interface:
        os.environ["GLOO_SOCKET_IFNAME"] = interface
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=CONNECT)
    except (RuntimeError, ValueError) as error:
        where = f"on network interface {interface}" if interface else "at the address of the host's name"
        raise UserError(
            f"process {rank} of {count} cannot connect to the others {where} ({first_sentence(error)}): set "
            "GLOO_SOCKET_IFNAME, on each host, to the name of the network interface to the other hosts, see `ip addr`"
        ) from error
    store.set_timeout(timeout)
    distributed.distributed_c10d._set_pg_timeout(timeout)  # there is no public function


def interface_towards(address: str) -> str:
    """Return the name of the network interface through which a host is reached, as in eth0.

    By default Gloo uses the address of the host's own name, which on many systems is 127.0.0.1 or 127.0.1.1, where
    other hosts cannot reach it. Returns "" if the interface is unknown: without Linux, or for an IPv6 address.
    """
    if fcntl is None:
        return ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))  # of a datagram socket: chooses the route, and sends nothing
            ours = probe.getsockname()[0]
            for _, name in socket.if_nameindex():
                if address_of(name, probe) == ours:
                    return name
        except OSError:
            pass
    return ""


def address_of(interface: str, probe: socket.socket) -> str:
    """Return the IPv4 address of a network interface, "" if it has none."""
    try:
        answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, struct.pack("256s", interface.encode()))
    except OSError:
        return ""
    return socket.inet_ntoa(answer[20:24])


def first_sentence(error: Exception) -> str:
    """Return the beginning of an error of PyTorch, without its advice for programmers and its stack."""
    return str(error).split("\n")[0].split(". ")[0].rstrip(".")

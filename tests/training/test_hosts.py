"""A run on several hosts: what may differ between them, and what happens when one cannot connect or is gone.

Hosts are network namespaces of this machine, where it permits them: each has its own address and its own folder.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT, run_train, train_options
from runs import SMALL, TEXT, assert_same, log_lines
from torch import distributed
from torchrun import Torchrun, free_port, two_hosts

import charrnn_port
from charrnn_port.training import connection, joint_options, parallel, prepare
from charrnn_port.training.preparation import OF_HOST
from charrnn_port.util.errors import UserError

IP = shutil.which("ip")
LONG = [*SMALL, "-batch_size", "6", "-max_epochs", "1000", "-eval_val_every", "20"]


def test_the_documentation_names_the_options_that_may_differ():
    page = (ROOT / "docs/running.md").read_text()
    section = page.partition("\n## Several hosts\n")[2]
    options = section.partition("Only ")[2].partition(" may differ between hosts")[0]
    assert set(re.findall(r"`-(\w+)`", options)) == OF_HOST


class OtherProcess(parallel.SingleProcess):
    """A process whose main process has other values."""

    rank = 1

    def __init__(self, **values: object) -> None:
        self.values = values

    def from_main(self, make: Callable[[], dict]) -> dict:
        """Return what `make` returns, with the main process's values."""
        return {name: self.values.get(name.split()[-1].lstrip("-"), value) for name, value in make().items()}


def test_other_options_than_the_main_process():
    options = train_options("-data_dir", "here", "-rnn_size", 64)
    given = frozenset({"data_dir", "rnn_size"})
    assert joint_options(options, given, OtherProcess(data_dir="there", gpuid=3)) == (options, given)
    with pytest.raises(UserError, match="-rnn_size is 64 in process 1, but 128 in process 0: start all hosts with the"):
        joint_options(options, given, OtherProcess(rnn_size=128))


def test_another_text_than_the_main_process(tmp_path):
    (tmp_path / "input.txt").write_bytes(TEXT)
    options = train_options(*SMALL, "-data_dir", tmp_path, "-cell", "fused")
    prepare(options, processes=OtherProcess())
    with pytest.raises(UserError, match=r"SHA-256 of the text is .* but 123 in process 0: copy the text"):
        prepare(options, processes=OtherProcess(text="123"))
    with pytest.raises(UserError, match=r"is torch.float64 in process 1, but torch.float32 in process 0: give all"):
        prepare(options, processes=OtherProcess(type="torch.float32"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the interfaces of Linux")
def test_the_interface_is_that_of_the_route():
    assert connection.interface_towards("127.0.0.1") == "lo"
    assert connection.interface_towards("localhost") == "lo"
    assert connection.interface_towards("256.0.0.1") == ""


@pytest.mark.parametrize("port", [70000, pytest.param(None, marks=pytest.mark.long)])  # None: where nothing answers
def test_a_store_that_cannot_be_reached(monkeypatch, port):
    monkeypatch.setattr(connection, "CONNECT", timedelta(seconds=0.1))
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")  # set by torchrun: the store is in another process
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port := port or free_port()))
    with pytest.raises(UserError, match=f"cannot connect to the main process at 127.0.0.1, port {port} .*: check --"):
        connection.open_store(1, 2)


def started(store: distributed.Store, ranks: list[int]) -> list[distributed.Store]:
    """Return the stores of processes that start in this order, by rank."""
    with ThreadPoolExecutor(len(ranks)) as pool:
        found = {rank: pool.submit(connection.of_attempt, store, rank, len(ranks)) for rank in ranks}
        return [found[rank].result() for rank in sorted(ranks)]


def test_restarted_processes_do_not_see_the_keys_of_those_before():
    """Although torchrun keeps the store, and whichever process is the first to start."""
    store = distributed.HashStore()
    before = started(store, [0, 1, 2])
    before[0].set("failed", "")
    assert before[2].check(["failed"])
    after = started(store, [2, 1, 0])
    assert not after[1].check(["failed"])
    after[1].set("here", "")
    assert [each.check(["here"]) for each in after] == [True] * 3


def test_a_process_that_does_not_start(monkeypatch):
    monkeypatch.setattr(connection, "START", timedelta(seconds=0))
    with pytest.raises(UserError, match="process 1 of 3 has not started within 0 seconds: see the messages on its"):
        connection.of_attempt(distributed.HashStore(), 0, 3)


@pytest.fixture
def four(monkeypatch):
    """Return four processes on two hosts, which share a store and are not connected otherwise."""
    store, made = distributed.HashStore(), []
    for rank in range(4):
        for name, value in {"RANK": rank, "WORLD_SIZE": 4, "LOCAL_RANK": rank % 2}.items():
            monkeypatch.setenv(name, str(value))
        made.append(parallel.Distributed())
        made[-1]._store = store
    return made


def test_one_process_of_each_host_comes_first(four):
    """So that each host has the files that the main process made, and no two processes of a host make them at once."""
    blocks = [], []

    def run(process: parallel.Distributed) -> None:
        for block in blocks:
            with process.main_process_first():
                block.append(process.rank)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, reversed(four)))
    for block in blocks:
        assert sorted(block) == [0, 1, 2, 3]
        assert block[0] == 0
        assert block.index(2) < block.index(3)


def test_those_that_wait_end_when_the_main_process_fails(four):
    four[0]._leave_to_first(UserError("no text"))
    message = "another process of this run failed: see its message"
    with pytest.raises(UserError, match=message), four[3].main_process_first():
        pass


def test_one_process_of_each_host_prints_its_error(four):
    assert [process._first_to_fail() for process in (four[1], four[2], four[3], four[0])] == [True, True, False, False]


def test_one_prints_its_error_if_the_store_does_not_answer(four, monkeypatch):
    """As when the host of the store is cut off."""
    monkeypatch.setattr(parallel, "ANSWER", 0.01)
    cut_off = threading.Event()
    for process in four:
        process._store = SimpleNamespace(set=lambda *words: cut_off.wait())
    assert [process._first_to_fail() for process in four] == [True, False, True, False]
    cut_off.set()


class Host:
    """A network namespace with a folder that has the text."""

    def __init__(self, name: str, interface: str, address: str, folder: Path) -> None:
        self.name, self.interface, self.address, self.folder = name, interface, address, folder
        (folder / "data").mkdir(parents=True)
        (folder / "data/input.txt").write_bytes(TEXT)

    def start(self, *arguments: object, **more: object) -> Torchrun:
        """Start torchrun on this host."""
        prefix = [IP, "netns", "exec", self.name]
        return Torchrun("-data_dir", "data", *arguments, prefix=prefix, folder=self.folder, **more)

    def checkpoints(self) -> dict[str, charrnn_port.Checkpoint]:
        """Return the checkpoints on this host by file name."""
        return {path.name: charrnn_port.load_checkpoint(path) for path in (self.folder / "cv").glob("lm_*")}


def ip(*words: str) -> None:
    subprocess.run([IP, *words], check=True, capture_output=True)


@pytest.fixture
def hosts(tmp_path):
    """Return two hosts, connected by a cable."""
    with ExitStack() as stack:
        names = [f"charrnn{os.getpid()}{letter}" for letter in "ab"]
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "delete", name)
            ip("link", "add", "va", "netns", names[0], "type", "veth", "peer", "name", "vb", "netns", names[1])
            made = []
            for number, (name, interface) in enumerate(zip(names, ("va", "vb"), strict=True), 1):
                address = f"10.77.0.{number}"
                ip("-n", name, "addr", "add", f"{address}/24", "dev", interface)
                for each in (interface, "lo"):
                    ip("-n", name, "link", "set", each, "up")
                made.append(Host(name, interface, address, tmp_path / name[-1]))
        except (TypeError, OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs network namespaces: {error}")
        yield made


def kill(torchrun: Torchrun) -> None:
    """Kill torchrun and all its processes, as when a host loses power, except that connections are closed."""
    for process in (torchrun.process.pid, *torchrun.children()):
        os.kill(process, signal.SIGKILL)


def c10d(hosts: list[Host]) -> list[list[object]]:
    """Return torchrun's words for each of two hosts that meet at an endpoint and are numbered by torchrun."""
    words = ["--nnodes", 2, "--rdzv_backend", "c10d", "--rdzv_endpoint", f"{hosts[0].address}:{free_port()}"]
    return [[*words, "--local_addr", host.address, "--rdzv_conf", f"is_host={int(host is hosts[0])}"] for host in hosts]


def start_both(hosts: list[Host], *arguments: object, **more: object) -> list[Torchrun]:
    """Start a run with one process on the first host and two on the second one."""
    words = two_hosts(hosts[0].address)
    return [
        host.start(*arguments, count=count, words=each, **more)
        for host, count, each in zip(hosts, (1, 2), words, strict=True)
    ]


@pytest.mark.long
@pytest.mark.parametrize("option", ["-resume", "-init_from"])
def test_only_the_first_host_has_the_checkpoint(hosts, option):
    """And the other one gets its contents."""
    cv = hosts[0].folder / "cv"
    alone = [*SMALL, "-batch_size", 6, "-data_dir", hosts[0].folder / "data", "-checkpoint_dir", cv]
    assert run_train(*alone, "-max_epochs", 1, "-savefile", "first").exit_code == 0
    (begin,) = cv.glob("lm_*")
    rest = log_lines(run_train(option, begin, *alone, "-checkpoint_dir", hosts[0].folder / "alone").stdout)
    runs = start_both(hosts, *SMALL, "-batch_size", 6, option, begin.relative_to(hosts[0].folder))
    assert [run.end() for run in runs] == [0, 0]
    assert log_lines(runs[0].stdout) == rest
    assert not (hosts[1].folder / "cv").exists()


@pytest.mark.long
def test_a_host_without_the_interface(hosts):
    """The others end, too, although gloo waits for the host."""
    words = two_hosts(hosts[0].address)
    right = hosts[0].start(*LONG, count=1, words=words[0])
    wrong = hosts[1].start(*LONG, count=2, words=words[1], variables={"GLOO_SOCKET_IFNAME": "vc"})
    for run in (right, wrong):
        assert run.end() != 0
        (error,) = run.errors
        assert "set GLOO_SOCKET_IFNAME" in error
    assert "interface vc" in error


@pytest.mark.long
def test_a_host_with_another_text(hosts):
    (hosts[1].folder / "data/input.txt").write_bytes(TEXT[1:])
    first, second = start_both(hosts, *LONG)
    assert first.end() != 0
    assert second.end() != 0
    assert [len(run.errors) for run in (first, second)] == [1, 1]
    assert "another process of this run" in first.errors[0]
    assert "copy the text" in second.errors[0]


@pytest.mark.long
@pytest.mark.parametrize("killed", [0, 1])
def test_a_host_that_is_gone(hosts, killed):
    runs = start_both(hosts, *LONG)
    runs[0].read(until="30/")
    kill(runs[killed])
    assert runs[1 - killed].end() != 0
    (error,) = runs[1 - killed].errors
    assert "another process of this run ended" in error


@pytest.mark.long
def test_a_host_that_is_cut_off(hosts, tmp_path):
    """Connections stay open, but nothing arrives: each operation has a time limit, here a short one."""
    script = tmp_path / "short.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from datetime import timedelta\n"
        "from charrnn_port.training import parallel\n"
        "parallel.TIMEOUT = timedelta(seconds=10)\n"
        "from train import main\n"
        "main()\n"
    )
    runs = start_both(hosts, *LONG, script=script)
    runs[0].read(until="30/")
    ip("-n", hosts[1].name, "link", "set", "vb", "down")
    for run in runs:
        assert run.end() != 0
        (error,) = run.errors
        assert "another process of this run ended or does not respond" in error


@pytest.mark.long
@pytest.mark.parametrize(("killed", "backend"), [(0, "static"), (1, "static"), (0, "c10d"), (1, "c10d")])
def test_restarted_runs_go_on(hosts, killed, backend, tmp_path):
    """From the latest checkpoint, to the digits of an undisturbed run."""
    network = tmp_path / "begin"  # its dropout replaces the one that is given, then and after the restart
    first = ["-data_dir", hosts[0].folder / "data", "-checkpoint_dir", network, "-max_epochs", 0.1, "-dropout", 0.25]
    assert run_train(*LONG, *first).exit_code == 0
    options = [*LONG, "-max_epochs", 3, "-dropout", "0.5", "-init_from", network]
    assert [run.end() for run in start_both(hosts, *options)] == [0, 0]
    whole = hosts[0].checkpoints()
    shutil.rmtree(hosts[0].folder / "cv")
    places = two_hosts(hosts[0].address) if backend == "static" else c10d(hosts)
    runs = [
        host.start(*options, count=count, words=["--max_restarts", 3, *words])
        for host, count, words in zip(hosts, (1, 2), places, strict=True)
    ]
    runs[0].read(until="50/")
    os.kill(runs[killed].children()[0], signal.SIGKILL)
    assert [run.end() for run in runs] == [0, 0]
    assert "resuming after iteration 40" in runs[0].stdout
    again = hosts[0].checkpoints()
    assert again.keys() == whole.keys()
    for name, checkpoint in again.items():
        assert_same(checkpoint, whole[name])

"""One package is installed, and it works beside a user's modules of any name. The sdist is the whole repository.

A wheel is built from the sdist, without a network, and installed in a new environment, which uses the libraries of the
environment that the tests run in. Programs then run in a folder full of traps: modules with names of this project.
"""

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import RECORDINGS, ROOT, run_sample, traps

import charrnn_port

CHECKPOINT = RECORDINGS / "lua_checkpoints/rnn.t7"
VERSION = charrnn_port.__version__
FOLDERS = (".ci", ".github", "charrnn_port", "configs", "docs", "model", "recipe", "tests", "tools", "util")
IGNORED = shutil.ignore_patterns("__pycache__")
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


class Environment(NamedTuple):
    """A Python environment, and a folder full of traps in which its programs run."""

    folder: Path
    traps: Path

    def run(self, program: str, *arguments: object, **variables: str) -> str:
        """Run a program of the environment and return its output. Fails if the program fails."""
        words = [str(self.folder / "bin" / program), *map(str, arguments)]
        return run(words, self.traps, variables)

    def pip(self, *arguments: object) -> str:
        """Run the tests' own pip on this environment, without a network, and return its output."""
        python = self.folder / "bin/python"
        return run([sys.executable, "-m", "pip", "--python", str(python), *map(str, arguments)], self.traps)


def run(words: list[str], cwd: Path, variables: dict[str, str] | None = None) -> str:
    """Run a command without variables of the tests' own Python and return its output. Fails if the command fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", **(variables or {})}
    result = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{words}\n{result.stdout}{result.stderr}"
    return result.stdout


def files_of(folder: Path) -> set[str]:
    """Return the paths of all files in a folder except bytecode, relative to it."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Copy the repository, because building leaves files in it."""
    folder = tmp_path_factory.mktemp("sources") / "a clone"
    folder.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=IGNORED)
    for path in (path for path in ROOT.iterdir() if path.is_file() and path.name not in (".git", "PKG-INFO")):
        shutil.copy(path, folder)
    (folder / "data").mkdir()
    shutil.copy(ROOT / "data/README.md", folder / "data")
    return folder


@pytest.fixture(scope="module")
def sdist(sources, tmp_path_factory):
    """Build and unpack the sdist. Returns its folder, and the files that it should have."""
    expected, folder = files_of(sources), tmp_path_factory.mktemp("sdist")
    run([sys.executable, "-c", BUILD, "build_sdist", str(folder)], sources)
    with tarfile.open(folder / f"charrnn_port-{VERSION}.tar.gz") as file:
        file.extractall(folder)
    return folder / f"charrnn_port-{VERSION}", expected


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """Build a wheel from the sdist."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-c", BUILD, "build_wheel", str(folder)], sdist[0])
    return folder / f"charrnn_port-{VERSION}-py3-none-any.whl"


def new_environment(folder: Path) -> Environment:
    """Create an empty environment, and the traps."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], folder)
    (folder / "traps").mkdir()
    return Environment(folder / "venv", traps(folder / "traps"))


def add_libraries(environment: Environment) -> None:
    """Let it import the libraries of the tests' own environment, in which this project is only linked."""
    names = ("torch", "numpy", "h5py", "click", "setuptools")
    found = {str(Path(importlib.util.find_spec(name).origin).parents[1]) for name in names}
    (place,) = environment.folder.glob("lib/python*/site-packages")
    (place / "libraries.pth").write_text("\n".join(found))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Create an environment in which the project is not installed."""
    environment = new_environment(tmp_path_factory.mktemp("bare"))
    add_libraries(environment)
    return environment


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Create an environment with the wheel."""
    environment = new_environment(tmp_path_factory.mktemp("installed"))
    environment.pip("install", "--no-deps", "--no-index", wheel)
    add_libraries(environment)
    return environment


@pytest.fixture(scope="module")
def linked(sources, tmp_path_factory):
    """Create an environment by `pip install -e .`"""
    environment = new_environment(tmp_path_factory.mktemp("linked"))
    add_libraries(environment)
    how = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    environment.pip("install", *how, "-e", sources)
    return environment


# Builds


def test_the_sdist_is_the_whole_repository(sdist):
    """It has tests, pages, settings and all files that they read."""
    folder, expected = sdist
    made = {path for path in files_of(folder) if path.startswith("charrnn_port.egg-info/")} | {"PKG-INFO"}
    assert files_of(folder) - made == {path for path in expected if not path.startswith("charrnn_port.egg-info/")}


@pytest.mark.long
def test_the_sdists_tests_can_be_run(sdist):
    """Run some of them: those about the pages."""
    chosen = ["tests/test_docs.py", "-k", "named or links or drawn"]
    run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen], sdist[0])


def test_a_wheel_has_all_files_in_one_package(wheel):
    """It has the modules and the files that they read, where they are imported from."""
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if not name.startswith(f"charrnn_port-{VERSION}.dist-info/")}
    expected = {f"charrnn_port/{path}" for path in files_of(ROOT / "charrnn_port")}
    expected |= {f"charrnn_port/{folder}/{path}" for folder in ("model", "util") for path in files_of(ROOT / folder)}
    assert names == expected | {"charrnn_port/programs/train.py", "charrnn_port/programs/sample.py"}


def test_pip_shows_nothing_but_the_package(installed):
    shown = installed.pip("show", "-f", "charrnn_port").split("Files:\n")[1]
    tops = {line.strip().split("/")[0] for line in shown.splitlines()}
    assert tops == {"charrnn_port", f"charrnn_port-{VERSION}.dist-info", ".."}
    assert re.findall(r"^ +\.\./.*", shown, re.M) == ["  ../../../bin/charrnn"]
    (place,) = installed.folder.glob("lib/python*/site-packages")
    for name in ("model", "util", "train.py", "sample.py", "tests", "docs"):
        assert not (place / name).exists()


# Imports and programs

# Imports all modules of the project, and prints each file that has several names in sys.modules.
MODULES = """
import json, pkgutil, sys
import charrnn_port
from charrnn_port import __main__, programs, training, model, util, reports, sharing
from charrnn_port.programs import sample, train
for package in (model, util, training, reports, sharing):
    for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        __import__(each.name)
names = {}
for name, module in sys.modules.items():
    if name != "__main__" and getattr(module, "__file__", None):
        names.setdefault(module.__file__, []).append(name)
several = {path: these for path, these in names.items() if len(these) > 1 and "charrnn_port" in str(these)}
ours = [name for name in sys.modules if name.partition(".")[0] in ("model", "util", "train", "sample")]
print(json.dumps([charrnn_port.__file__, model.__file__, callable(charrnn_port.train), several, ours]))
"""


@pytest.mark.parametrize(
    ("how", "on_the_path"), [("installed", True), pytest.param("linked", False, marks=pytest.mark.long)]
)
def test_no_module_is_imported_under_two_names(how, on_the_path, request):
    """Nor under a name of a user's module, which `python -c` finds first, and PYTHONPATH second."""
    environment = request.getfixturevalue(how)
    variables = {"PYTHONPATH": str(environment.traps)} if on_the_path else {}
    package, model, callable_train, several, ours = json.loads(environment.run("python", "-c", MODULES, **variables))
    place = Path(package).parent if how == "installed" else request.getfixturevalue("sources")
    assert Path(model) == place / "model/__init__.py"
    assert (callable_train, several, ours) == (True, {}, [])


@pytest.mark.parametrize("name", ["model", pytest.param("util", marks=pytest.mark.long)])
def test_a_second_copy_is_refused(name, tmp_path):
    """Test a checkout, where Python finds the folders under their own names too."""
    command = [sys.executable, "-c", f"import {name}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"ImportError: import charrnn_port.{name}, not {name}" in result.stderr


STARTS = {
    "charrnn": ("installed", "charrnn"),
    "python -m charrnn_port": ("installed", "python", "-m", "charrnn_port"),
    "charrnn, linked": ("linked", "charrnn"),
    "python -m charrnn_port, linked": ("linked", "python", "-m", "charrnn_port"),
    "a checkout": ("bare", "python"),
}


@pytest.fixture(
    params=[
        pytest.param(how, id=name, marks=[] if name == "a checkout" else [pytest.mark.long])
        for name, how in STARTS.items()
    ]
)
def start(request):
    """Return a function that runs train or sample in the folder with the traps, which is on PYTHONPATH too."""
    how, program, *words = request.param
    environment = request.getfixturevalue(how)

    def run_program(name: str, *arguments: object) -> str:
        program_words = [*words, name] if how != "bare" else [ROOT / f"{name}.py"]
        return environment.run(program, *program_words, *arguments, PYTHONPATH=str(environment.traps))

    return run_program


def test_sampling_among_traps(start):
    arguments = [CHECKPOINT, *"-length 50 -gpuid -1 -seed 7".split()]
    assert start("sample", *arguments) == run_sample(*arguments).stdout


def test_training_among_traps(start, tmp_path):
    """It compiles the cells: the C sources are installed."""
    shutil.copytree(RECORDINGS / "play", tmp_path / "play")
    small = "-rnn_size 8 -num_layers 1 -max_epochs 0.1 -gpuid -1 -progress 0".split()
    printed = start("train", "-data_dir", tmp_path / "play", "-checkpoint_dir", tmp_path / "cv", *small)
    assert re.search(r"^1/\d+ \(epoch 0\.\d+\), train_loss = ", printed, re.M)
    assert list((tmp_path / "cv").glob("*.t7.pt"))


@pytest.mark.parametrize("name", ["train", "sample"])
def test_help_shows_how_the_program_was_started(start, name, request):
    """Where it is installed there is no train.py."""
    command = {"charrnn": f"charrnn {name}", "python": f"python -m charrnn_port {name}"}
    checkout = "a checkout" in request.node.name
    expected = f"python {name}.py" if checkout else command["python" if "python" in request.node.name else "charrnn"]
    assert f"  Example: {expected} " in start(name, "-help")


# Types

PROGRAM = """
from collections.abc import Iterator

import charrnn_port
from charrnn_port import Checkpoint, Model, Session, TrainOptions, UserError, samplers, events, recorders
from charrnn_port import load_chekpoint  # wrong

options = TrainOptions(rnn_size=64, data_dir="data/tiny")
TrainOptions(rnnsize=64)  # wrong
TrainOptions(rnn_size="large")  # wrong
losses: list[float] = []
for event in recorders.print_lines(charrnn_port.train(options), print):
    if isinstance(event, events.Iteration):
        losses.append(event.train_loss)
        losses.append(event.los)  # wrong
for event in charrnn_port.train(rnn_size=64):
    event.checkpoint  # wrong
charrnn_port.train(64)  # wrong

checkpoint: Checkpoint = charrnn_port.load_checkpoint("cv")
iterations: str = checkpoint.i  # wrong
charrnn_port.save_checkpoint("cv/copy.t7.pt")  # wrong
text: Iterator[bytes] = charrnn_port.sample_bytes(checkpoint, 10, temperature=0.5)
charrnn_port.sample_bytes(checkpoint, tempreture=0.5)  # wrong
charrnn_port.sample_bytes(checkpoint, length="ten")  # wrong

model = Model.of(checkpoint)
session = Session(model)
session.feed(model.vocab.encode(b"The "))
session.feed("The ")  # wrong
ids: list[int] = list(session.sample(10, samplers.categorical(charrnn_port.Generator(1))))
session.sample(10)  # wrong
charrnn_port.UserErr  # wrong
try:
    pass
except UserError as error:
    print(str(error))
"""


@pytest.mark.long
def test_a_type_checker_finds_a_users_mistakes(installed, tmp_path):
    """`mypy --strict` reports the wrong lines, and no others."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    # The types of PyTorch and other libraries are skipped: checking them would take a minute.
    settings = tmp_path / "mypy.ini"
    settings.write_text("[mypy-torch.*,numpy.*,h5py.*,click.*]\nfollow_imports = skip\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", settings, "--cache-dir", tmp_path / "cache"]
    command += ["--python-executable", installed.folder / "bin/python", program]
    result = subprocess.run(map(str, command), cwd=tmp_path, capture_output=True, text=True, check=False)
    found = {int(line) for line in re.findall(r"^program\.py:(\d+): error: ", result.stdout, re.M)}
    wrong = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}
    assert found == wrong, result.stdout + result.stderr
    assert "rnn_size" in result.stdout  # mypy knows the options' names


@pytest.mark.long
@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or not importlib.util.find_spec("ziglang"),
    reason="builds the wheel for Linux on x86-64, with ziglang",
)
def test_a_wheel_with_compiled_cells_needs_no_compiler(sources, tmp_path):
    """tools/wheels.py includes libraries, which are used instead of a compiler."""
    name = "manylinux_2_17_x86_64"
    run([sys.executable, "tools/wheels.py", str(tmp_path), name], sources, {"PYTHONPATH": str(sources)})
    environment = new_environment(tmp_path)
    environment.pip("install", "--no-deps", "--no-index", tmp_path / f"charrnn_port-{VERSION}-py3-none-{name}.whl")
    add_libraries(environment)
    script = "import torch; from charrnn_port.model.build import built; print(built(torch.float64).how)"
    printed = environment.run("python", "-c", script, CC="false", XDG_CACHE_HOME=str(tmp_path))
    assert printed.startswith("included library for x86_64_v")

"""The recordings of the original that the package carries; recordings/README.md tells what is in them."""

import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import h5py
import numpy as np

FOLDER = Path(__file__).with_name("recordings")
CHECKPOINTS = FOLDER / "lua_checkpoints"
BITS_FILE = FOLDER / "bits.h5"
FILES = {"2017": FOLDER / "torch7.h5", "2015": FOLDER / "torch7_2015.h5"}  # by Torch7's year, as in -torch7
# Fewer than recorded: Torch7 repeated 124 lines, but the loss at line 114, 2.972421835, is in the middle between two
# numbers of eight digits, to 2e-10, which is as much as rounding makes by then. Some ways to run the cells print the
# one that Torch7 did, some the other, and which do depends on how a BLAS sums.
CERTAIN = {("2015", "defaults"): 113}

# Numbers of a run by what they are and by iteration: "loss", "gradient norm", "parameter norm", "validation loss";
# "parameters" are their fingerprints.
Numbers = dict[str, dict[int, float | str]]
BITS = {"loss": "loss", "gradient norm": "grad_norm", "parameter norm": "param_norm"}  # by their names in bits.h5
FINGERPRINT = "sha256 params_"  # and the iteration


@dataclass(frozen=True)
class Sample:
    """What sample.lua printed: `arguments` are its options, beside the checkpoint."""

    variant: str
    arguments: dict[str, str]
    printed: bytes


@dataclass(frozen=True)
class Run:
    """What train.lua printed, and the names of the checkpoints it wrote, with these options beside -data_dir.

    `certain` is how many lines of iterations rounding leaves certain. `vectors` `[parameters]` are params_0 before the
    first iteration, grads_3 the clipped gradient of the third, and the like. `bits` are doubles in full, empty where
    none were recorded.
    """

    torch7: str
    name: str
    arguments: dict[str, str]
    stdout: str
    certain: int
    checkpoints: tuple[str, ...]
    vectors: dict[str, np.ndarray]
    samples: tuple[Sample, ...]
    bits: Numbers


@cache
def runs(torch7: str = "2017") -> dict[str, Run]:
    """All recorded runs of the Torch7 of that year, by name."""
    with h5py.File(FILES[torch7]) as file, h5py.File(BITS_FILE) as bits:
        return {name: run_of(group, torch7, name, bits[torch7].get(name)) for name, group in file["runs"].items()}


def run_of(group: h5py.Group, torch7: str, name: str, bits: h5py.Group | None) -> Run:
    """A run as it is in the files."""
    arguments = options_of(shlex.split(group.attrs["arguments"]))
    if "init_from" in arguments:  # cv/RUN/lm_….t7, which is among the files here
        arguments["init_from"] = str(CHECKPOINTS / f"{Path(arguments['init_from']).parent.name}.t7")
    samples = tuple(
        Sample(variant, options_of(each.attrs["arguments"]), bytes(each[:]))
        for variant, each in group.get("samples", {}).items()
    )
    return Run(
        torch7,
        name,
        arguments,
        bytes(group["stdout"][:]).decode(),
        CERTAIN.get((torch7, name), int(group.attrs["identical_lines"])),
        tuple(group.attrs.get("checkpoints", ())),
        {key: group[key][:] for key in group if key.startswith(("params_", "grads_"))},
        samples,
        {} if bits is None else bits_of(bits),
    )


def bits_of(group: h5py.Group) -> Numbers:
    """Read a run's numbers from bits.h5."""
    numbers: Numbers = {what: dict(enumerate(group[name][:].tolist(), 1)) for what, name in BITS.items()}
    if "val_loss" in group:
        iterations, losses = group["val_iteration"][:].tolist(), group["val_loss"][:].tolist()
        numbers["validation loss"] = dict(zip(iterations, losses, strict=True))
    fingerprints = (name for name in group.attrs if name.startswith(FINGERPRINT))
    numbers["parameters"] = {int(name.removeprefix(FINGERPRINT)): group.attrs[name] for name in fingerprints}
    return numbers


def options_of(words: list[str]) -> dict[str, str]:
    """`-seed 7` → {"seed": "7"}; of one that is given twice the last counts."""
    return {name.removeprefix("-"): value for name, value in zip(words[::2], words[1::2], strict=True)}


@cache
def random_numbers() -> dict[str, np.ndarray]:
    """The recorded random streams, by the name of what was drawn, such as uniform_123."""
    with h5py.File(FILES["2017"]) as file:
        return {name: numbers[:] for name, numbers in file["random"].items()}

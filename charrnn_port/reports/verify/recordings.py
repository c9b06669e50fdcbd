"""Read the recordings of the original that are part of the package; recordings/README.md describes them."""

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
# Fewer lines than recorded. Torch7 repeated 124 lines, but the loss at line 114, 2.972421835, is halfway between two
# numbers of eight decimals, to 2e-10, which is the size of rounding by then. Some backends print the number that Torch7
# printed, and some print the other, depending on the order of summation in BLAS.
CERTAIN = {("2015", "defaults"): 113}

# Numbers of a run by kind and iteration. Kinds are "loss", "gradient norm", "parameter norm", "validation loss", and
# "parameters", which are fingerprints.
Numbers = dict[str, dict[int, float | str]]
BITS = {"loss": "loss", "gradient norm": "grad_norm", "parameter norm": "param_norm"}  # by their names in bits.h5
FINGERPRINT = "sha256 params_"  # and the iteration


@dataclass(frozen=True)
class Sample:
    """The output of sample.lua; `arguments` are its options besides the checkpoint."""

    variant: str
    arguments: dict[str, str]
    printed: bytes


@dataclass(frozen=True)
class Run:
    """The output of train.lua and the names of its checkpoints; `arguments` are its options besides -data_dir.

    `certain` is the number of iteration lines that do not depend on rounding. `vectors` `[parameters]` have names such
    as params_0, the parameters before the first iteration, and grads_3, the clipped gradient of the third. `bits` are
    float64 numbers with all bits, empty if none were recorded.
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
    """Return all recorded runs of the Torch7 of that year, by name."""
    with h5py.File(FILES[torch7]) as file, h5py.File(BITS_FILE) as bits:
        return {name: run_of(group, torch7, name, bits[torch7].get(name)) for name, group in file["runs"].items()}


def run_of(group: h5py.Group, torch7: str, name: str, bits: h5py.Group | None) -> Run:
    """Read a run from the files."""
    arguments = options_of(shlex.split(group.attrs["arguments"]))
    if "init_from" in arguments:  # cv/RUN/lm_….t7, which is stored as CHECKPOINTS/RUN.t7
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
    """Return options by name: {"seed": "7"} for `-seed 7`. If an option is given twice, the last one counts."""
    return {name.removeprefix("-"): value for name, value in zip(words[::2], words[1::2], strict=True)}


@cache
def random_numbers() -> dict[str, np.ndarray]:
    """Return the recorded random streams by name, such as uniform_123."""
    with h5py.File(FILES["2017"]) as file:
        return {name: numbers[:] for name, numbers in file["random"].items()}

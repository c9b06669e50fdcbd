"""exp, tanh and log in C have glibc's bits on every processor, independent of this machine's libm."""

import ctypes
import os
import shlex
import subprocess
from collections.abc import Callable

import h5py
import numpy as np
import pytest
import torch
from conftest import NEEDS_COMPILER, REFERENCE

from charrnn_port.model import build

pytestmark = NEEDS_COMPILER
NAMES = ["exp", "tanh", "log"]
# Flags for processors that lack instructions. Without FMA, C's fma() computes the sums that need it.
MACHINES = {
    "this one": build.FOR_THIS_MACHINE[0],
    "no AVX-512": ["-march=native", "-mno-avx512f"],
    "no AVX2": ["-march=native", "-mno-avx2"],
    "no FMA": ["-march=native", "-mno-fma"],
    "what all have": [],
    "no vectors": ["-O1"],
}

Function = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module", params=MACHINES)
def functions(request, tmp_path_factory) -> ctypes.CDLL:
    """Compile libm.c alone for such a processor."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    result = tmp_path_factory.mktemp("libm") / "libm.so"
    files = [str(build.FOLDER / "libm.c"), "-lm", "-o", str(result)]
    try:
        build.output_of([*compiler, *build.FLAGS, *MACHINES[request.param], *files], check=True)
    except subprocess.CalledProcessError:
        pytest.skip("this compiler cannot compile for that")
    return ctypes.CDLL(str(result))


def named(library: ctypes.CDLL, name: str) -> Function:
    """Return a function of the library that maps one array to another."""
    numbers = ctypes.POINTER(ctypes.c_double)
    of_row = getattr(library, f"{name}_all")
    of_row.argtypes, of_row.restype = [numbers, numbers, ctypes.c_int64], None

    def call(x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x)
        y = np.empty_like(x)
        of_row(y.ctypes.data_as(numbers), x.ctypes.data_as(numbers), x.size)
        return y

    return call


def recorded(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load arguments and results of glibc 2.36 on a processor with FMA.

    The arguments include the limits of all cases and their neighbors. Most arguments give the same result with another
    order of rounding. So the few out of four million are included that detect a product and a sum fused differently, or
    a constant that is wrong in its last bit, if any of the four million does.
    """
    with h5py.File(REFERENCE / "libm.h5") as file:
        return file[name]["x"][()], file[name]["y"][()]


def assert_same_bits(ours: np.ndarray, theirs: np.ndarray, x: np.ndarray) -> None:
    same = (ours.view(np.uint64) == theirs.view(np.uint64)) | (np.isnan(ours) & np.isnan(theirs))
    assert same.all(), [[number.hex() for number in row[~same][:5]] for row in (x, ours, theirs)]


@pytest.mark.parametrize("name", NAMES)
def test_bits(functions, name):
    x, y = recorded(name)
    assert_same_bits(named(functions, name)(x), y, x)


def test_sigmoid_is_one_over_one_plus_exp(functions):
    """Each of the three operations is rounded once, which gives the bits of Torch7's nn.Sigmoid."""
    x, y = recorded("exp")
    with np.errstate(all="ignore"):
        assert_same_bits(named(functions, "sigmoid")(-x), 1 / (1 + y), -x)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_bits_in_the_library_that_runs(dtype, name):
    """The library for float has the functions for double, too."""
    x, y = recorded(name)
    assert_same_bits(named(ctypes.CDLL(build.library(dtype)._name), name)(x), y, x)


@pytest.mark.parametrize("name", [*NAMES, "sigmoid"])
def test_no_number_depends_on_its_place(functions, name):
    """The last numbers of a row, which fill no vector, are computed with other instructions."""
    x = recorded("tanh" if name == "sigmoid" else name)[0][::7]
    function = named(functions, name)
    whole = function(x)
    for size in range(20):
        assert_same_bits(function(x[5 : 5 + size]), whole[5 : 5 + size], x[5 : 5 + size])


def test_results_may_replace_their_arguments(functions):
    x, y = recorded("tanh")
    numbers = x.copy()
    pointer = numbers.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    named(functions, "tanh")  # declares its arguments
    functions.tanh_all(pointer, pointer, numbers.size)
    assert_same_bits(numbers, y, x)

"""Declare the C functions of this folder to ctypes, by their prototypes in the C files."""

import ctypes
import re
from collections.abc import Iterable

import torch

PROTOTYPE = re.compile(r"^(\w+) (\w+)\(([^()]*)\);", re.MULTILINE)
TYPES = {"void": None, "int": ctypes.c_int, "int64_t": ctypes.c_int64, "double": ctypes.c_double}


def declare(functions: ctypes.CDLL, dtype: torch.dtype, sources: Iterable[str]) -> ctypes.CDLL:
    """Set the parameter and result types of a library's functions. Raises AttributeError if it lacks one.

    sources: the contents of the C files. Every prototype of two words before its parameters is that of an exported
    function. `real` is the type of dtype.
    """
    types = TYPES | {"real": ctypes.c_double if dtype == torch.float64 else ctypes.c_float}
    for result, name, parameters in (each for source in sources for each in PROTOTYPE.findall(source)):
        function = getattr(functions, name)
        function.restype = types[result]
        words = [parameter.split() for parameter in parameters.split(",") if parameter != "void"]
        function.argtypes = [ctypes.c_void_p if "*" in each[-1] else types[each[-2]] for each in words]
    return functions

"""Compile CUDA kernels, the .cu files of this folder, with NVRTC when they are first needed, and launch them.

Compiling takes half a second to a second. NVRTC comes with PyTorch for CUDA. PyTorch's interface to it,
torch.cuda._compile_kernel, is private and missing from the oldest supported version. So this file calls the few
functions of NVRTC and of the CUDA driver that are needed; they have not changed for ten years.
"""

import ctypes
import os
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).parent
MAX_DYNAMIC_SHARED_SIZE_BYTES = 8  # CU_FUNC_ATTRIBUTE_…
MAJOR, MINOR = 9, 0  # minimum compute capability: Hopper, which has thread block clusters


@lru_cache
def libraries() -> tuple[ctypes.CDLL, ctypes.CDLL] | None:
    """Load NVRTC and the CUDA driver. Return None if one is missing."""
    if torch.version.cuda is None:
        return None
    # PyTorch has loaded NVRTC under its own name, or through this library: both provide the functions.
    names = [
        f"libnvrtc.so.{torch.version.cuda.split('.')[0]}",
        str(Path(torch.__file__).parent / "lib" / "libcaffe2_nvrtc.so"),
    ]
    for name in names:
        try:
            return ctypes.CDLL(name), ctypes.CDLL("libcuda.so.1")
        except OSError:
            continue
    return None


@lru_cache
def available(device: torch.device) -> bool:
    """Return whether kernels are available for this device."""
    if device.type != "cuda" or libraries() is None or not torch.cuda.is_available():
        return False
    if torch.cuda.get_device_capability(device) < (MAJOR, MINOR):
        return False
    try:
        kernels("lstm_step.cu", device, REAL="float")
    except RuntimeError:
        return False
    return True


@lru_cache
def kernels(file: str, device: torch.device, **macros: object) -> "Kernels":
    """Compile the kernels of a file with these macros. Raises RuntimeError if that fails."""
    return Kernels(device, compiled(file, capability(device), **macros))


class Kernels:
    """The kernels of compiled machine code on a device, by name."""

    def __init__(self, device: torch.device, code: bytes) -> None:
        self.device = device
        with torch.cuda.device(device):
            torch.cuda.current_stream().synchronize()  # makes PyTorch's CUDA context the current one
            self._module, self._functions = ctypes.c_void_p(), {}
            _call("cuModuleLoadData", ctypes.byref(self._module), code)

    def _function(self, name: str) -> ctypes.c_void_p:
        if name not in self._functions:
            self._functions[name] = ctypes.c_void_p()
            _call("cuModuleGetFunction", ctypes.byref(self._functions[name]), self._module, name.encode())
        return self._functions[name]

    def launch(
        self,
        name: str,
        blocks: int,
        threads: int,
        *arguments: Tensor | int,
        shared_memory: int = 0,
        at_once: bool = False,
    ) -> None:
        """Launch a kernel on PyTorch's current stream. Tensors are passed by address, numbers as int.

        shared_memory: dynamic shared memory of a block in bytes. at_once: blocks wait for each other, so all of them
        must run at the same time (a cooperative launch). Raises RuntimeError if they cannot.
        """
        values = [
            ctypes.c_int(each) if isinstance(each, int) else ctypes.c_void_p(each.data_ptr()) for each in arguments
        ]
        addresses = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        stream = ctypes.c_void_p(torch.cuda.current_stream(self.device).cuda_stream)
        function, sizes = self._function(name), (blocks, 1, 1, threads, 1, 1, shared_memory, stream, addresses)
        with torch.cuda.device(self.device):
            if shared_memory > 48 * 1024:  # beyond this size an attribute must be set
                _call("cuFuncSetAttribute", function, MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_memory)
            if at_once:
                _call("cuLaunchCooperativeKernel", function, *sizes)
            else:
                _call("cuLaunchKernel", function, *sizes, None)


def capability(device: torch.device) -> str:
    """Return the device's architecture in NVRTC's notation: sm_90."""
    return "sm_{}{}".format(*torch.cuda.get_device_capability(device))


def compiled(file: str, architecture: str, **macros: object) -> bytes:
    """Compile a file to machine code. Raises RuntimeError with the compiler's messages if that fails."""
    options = [f"--gpu-architecture={architecture}", f"--include-path={FOLDER}"]
    options += [f"-D{name}={value}" for name, value in macros.items()]
    program = ctypes.c_void_p()
    source = (FOLDER / file).read_bytes()
    _call("nvrtcCreateProgram", ctypes.byref(program), source, file.encode(), 0, None, None)
    try:
        encoded = (ctypes.c_char_p * len(options))(*map(os.fsencode, options))
        if libraries()[0].nvrtcCompileProgram(program, len(options), encoded):
            raise RuntimeError(_result("nvrtcGetProgramLog", program).decode(errors="replace"))
        return _result("nvrtcGetCUBIN", program)
    finally:
        _call("nvrtcDestroyProgram", ctypes.byref(program))


def _result(name: str, program: ctypes.c_void_p) -> bytes:
    """Return the bytes that the function `name` writes; its length comes from the function `name`Size."""
    size = ctypes.c_size_t()
    _call(f"{name}Size", program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    _call(name, program, text)
    return text.raw


def _call(name: str, *arguments: object) -> None:
    """Call a function of NVRTC or the driver. Raises RuntimeError unless it returns 0, which means success in both."""
    nvrtc, driver = libraries()
    status = getattr(nvrtc if name.startswith("nvrtc") else driver, name)(*arguments)
    if status:
        raise RuntimeError(f"{name} failed: error {status}")

"""Defines the options and arguments that several programs share, and the choices that options name."""

from typing import Any

from charrnn_port.options.fields import argument, option, switch

CELLS = ("lstm", "gru", "rnn")
BACKENDS = ("plain", "script", "fused", "compiled", "persistent")  # see model/__init__.py
DTYPES = ("float64", "float32")
MIXED = ("bfloat16", "float16")  # mixed precision: float32, with matrix products in this type
BENCHMARKS = ("training", "parts", "evaluation", "sampling", "start", "preprocessing")  # in the order of the tables
CHECKPOINT = "a checkpoint of train.py, the Lua original or torch-rnn; of a folder, the best of its latest run"
# fmt: off


def model_argument(help: str = CHECKPOINT) -> Any:
    """Return the field of a checkpoint to read."""
    return argument("MODEL", help)


def gpuid_option(
    consequence: str = "Without a GPU, falls back to the CPU with a warning; -1 forces the CPU.", group: str = "GPU/CPU"
) -> Any:
    """Return the field of -gpuid."""
    return option(0, "which GPU to use, CUDA or else MPS. -1 = use CPU", group, consequence)


def opencl_option(**rest: Any) -> Any:
    """Return the field of -opencl, which the original has and PyTorch has not."""
    return switch(
        0, "accepted as in the original, but PyTorch has no OpenCL: 1 = use CPU", "GPU/CPU",
        "1 has the same effect as -gpuid -1.", **rest,
    )


def seed_option(consequence: str, group: str, **rest: Any) -> Any:
    """Return the field of -seed."""
    return option(123, "random number generator's seed", group, consequence, **rest)


def dtype_option(
    default: str, consequence: str, help: str = "floating-point type to compute in", group: str = "reading"
) -> Any:
    """Return the field of -dtype, of programs that read a network; `auto` is a choice where it is the default."""
    return option(default, help, group, consequence, choices=DTYPES if default in DTYPES else (default, *DTYPES))


def unknown_option(
    consequence: str, help: str = "characters that are not in the vocabulary: error = stop, skip = leave them out",
    group: str = "reading",
) -> Any:
    """Return the field of -unknown."""
    return option("error", help, group, consequence, choices=("error", "skip"))


def split_option(consequence: str) -> Any:
    """Return the field of -split, of programs that read a text character by character."""
    return option(
        "all", "which part of FILE, by default of the run's text, split as in the run; all = the whole FILE", "reading",
        f"{consequence} A split is a piece of each of -batch_size rows; each begins with an empty state.",
        choices=("train", "val", "test", "all"),
    )


def json_option(consequence: str = "Prints one object to stdout instead of a table.") -> Any:
    """Return the field of -json, of programs that print a table."""
    return switch(0, "1 = print JSON instead of a table", "result", consequence)

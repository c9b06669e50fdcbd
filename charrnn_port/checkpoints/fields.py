"""Reads fields of the objects in a Torch7 file and checks each, because a file may hold anything."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from charrnn_port.torch7.t7 import Table, TorchObject


class FieldError(ValueError):
    """A field is missing or invalid; the message names it."""


@contextmanager
def reading(program: str) -> Iterator[None]:
    """Convert a FieldError to a ValueError that names the program whose checkpoint was expected."""
    try:
        yield
    except FieldError as error:
        raise ValueError(f"not a checkpoint of {program}: {error}") from None


def get(holder: object, name: str, kind: type) -> Any:
    """Return a field of a table or object. Raises FieldError if it is missing or of another type."""
    fields = holder.fields if isinstance(holder, TorchObject) else holder
    value = fields.get(encode(name)) if isinstance(fields, Table) else None
    if not isinstance(value, kind):
        raise FieldError(f"{name} is missing" if value is None else f"{name} is a {type(value).__name__}")
    return value


def options_in(checkpoint: object) -> dict[str, str | int | float]:
    """Return the options by name, except values that are neither text nor number."""
    return {
        decode(name): plain(value)
        for name, value in get(checkpoint, "opt", Table).items()
        if isinstance(name, bytes) and isinstance(value, bytes | float)
    }


def decode(text: bytes) -> str:
    """Return text for bytes of a Lua string."""
    return text.decode(errors="surrogateescape")  # a path may be invalid UTF-8


def encode(text: str) -> bytes:
    """Return the bytes of a Lua string."""
    return text.encode(errors="surrogateescape")


def plain(value: bytes | float) -> str | int | float:
    """Return a Lua string as text, and a whole Lua number as an int."""
    if isinstance(value, bytes):
        return decode(value)
    return int(value) if value.is_integer() else value


def number(value: object) -> float:
    """Return a loss. Raises FieldError unless it is a number."""
    if not isinstance(value, float):
        raise FieldError(f"a loss is a {type(value).__name__}")
    return value


def whole(value: object) -> int:
    """Return an iteration as an int. Raises FieldError unless it is a whole number."""
    if not isinstance(value, float) or not value.is_integer():
        raise FieldError(f"an iteration is {value!r}")
    return int(value)


def require_parameters(parameters: Sequence[Tensor], shapes: Sequence[tuple[int, ...]], model: str) -> None:
    """Raise FieldError unless the parameters have these shapes, one type, and do not share memory."""
    for parameter, shape in zip(parameters, shapes, strict=True):
        if parameter.shape != shape:
            raise FieldError(f"parameters of size {tuple(parameter.shape)} where {model} has {shape}")
    dtypes = {parameter.dtype for parameter in parameters}
    if dtypes not in ({torch.float32}, {torch.float64}):
        raise FieldError("the parameters must be all double or all float")
    # Otherwise a small file with views that repeat elements could expand to a huge vector.
    storages = {parameter.untyped_storage().data_ptr(): parameter.untyped_storage() for parameter in parameters}
    if sum(storage.nbytes() for storage in storages.values()) < sum(parameter.nbytes for parameter in parameters):
        raise FieldError("the parameters overlap")

"""Fields of the objects in a file of Torch7, each checked, for a file may hold anything."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from charrnn_port.torch7.t7 import Table, TorchObject


class FieldError(ValueError):
    """A field is missing or not what it should be; the message says which and how."""


@contextmanager
def reading(program: str) -> Iterator[None]:
    """While entered, a FieldError is a ValueError that tells whose checkpoint was looked for."""
    try:
        yield
    except FieldError as error:
        raise ValueError(f"not a checkpoint of {program}: {error}") from None


def get(holder: object, name: str, kind: type) -> Any:
    """A field of a table or object that must be there and of this kind."""
    fields = holder.fields if isinstance(holder, TorchObject) else holder
    value = fields.get(encode(name)) if isinstance(fields, Table) else None
    if not isinstance(value, kind):
        raise FieldError(f"{name} is missing" if value is None else f"{name} is a {type(value).__name__}")
    return value


def options_in(checkpoint: object) -> dict[str, str | int | float]:
    """The options by name, without what is neither text nor number."""
    return {
        decode(name): plain(value)
        for name, value in get(checkpoint, "opt", Table).items()
        if isinstance(name, bytes) and isinstance(value, bytes | float)
    }


def decode(text: bytes) -> str:
    return text.decode(errors="surrogateescape")  # a path may be no UTF-8


def encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def plain(value: bytes | float) -> str | int | float:
    if isinstance(value, bytes):
        return decode(value)
    return int(value) if value.is_integer() else value


def number(value: object) -> float:
    if not isinstance(value, float):
        raise FieldError(f"a loss is a {type(value).__name__}")
    return value


def whole(value: object) -> int:
    if not isinstance(value, float) or not value.is_integer():
        raise FieldError(f"an iteration is {value!r}")
    return int(value)


def require_parameters(parameters: Sequence[Tensor], shapes: Sequence[tuple[int, ...]], model: str) -> None:
    """Raises FieldError unless these are the parameters, of one type, each with elements of its own."""
    for parameter, shape in zip(parameters, shapes, strict=True):
        if parameter.shape != shape:
            raise FieldError(f"parameters of size {tuple(parameter.shape)} where {model} has {shape}")
    dtypes = {parameter.dtype for parameter in parameters}
    if dtypes not in ({torch.float32}, {torch.float64}):
        raise FieldError("the parameters are neither all double nor all float")
    # Views that repeat elements would let a small file stand for a huge vector.
    storages = {parameter.untyped_storage().data_ptr(): parameter.untyped_storage() for parameter in parameters}
    if sum(storage.nbytes() for storage in storages.values()) < sum(parameter.nbytes for parameter in parameters):
        raise FieldError("the parameters overlap")

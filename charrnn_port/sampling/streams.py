"""Where prime texts come from and where texts go: files, stdin and stdout."""

import codecs
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from charrnn_port.options import SampleOptions
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import atomic_write

Write = Callable[[bytes], None]


def prime_text(options: SampleOptions) -> bytes:
    """The bytes of -primetext, or those in -primefile. Raises UserError where they cannot be read."""
    if not options.primefile:
        return os.fsencode(options.primetext)
    if options.primefile == "-":
        return stdin("-primefile -").read()
    try:
        return Path(options.primefile).read_bytes()
    except OSError as error:
        raise UserError(f"-primefile {options.primefile}: {error.strerror}") from error


def stdin(wanted_by: str) -> BinaryIO:
    """The bytes of stdin. Raises UserError, which names the option that wants them, where there are none."""
    if not hasattr(sys.stdin, "buffer"):  # it is closed, or a notebook's
        raise UserError(f"{wanted_by}: there is no stdin to read from")
    return sys.stdin.buffer


@contextmanager
def output(path: str) -> Iterator[Write]:
    """What writes bytes to a file, which is whole or absent; to stdout where `path` is empty.

    Raises UserError where the file cannot be written.
    """
    if not path:
        yield writer(sys.stdout)
        return
    if Path(path).exists() and not Path(path).is_file():
        raise UserError(f"-output {path}: this is there and no plain file: give another name")
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            yield file.write
    except OSError as error:
        raise UserError(f"-output {path}: {error.strerror}") from error


def writer(stream: TextIO) -> Write:
    """What writes bytes to stdout at once; to one of another kind, as in a notebook, the characters that they are."""
    out = getattr(stream, "buffer", None)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def write(text: bytes) -> None:
        if out:
            out.write(text)
            out.flush()
        else:
            stream.write(decoder.decode(text))

    return write

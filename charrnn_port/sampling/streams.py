"""Input of prime texts and output of samples: files, stdin and stdout."""

import codecs
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from charrnn_port.checkpoints import require_new_file
from charrnn_port.options import SampleOptions
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import atomic_write

Write = Callable[[bytes], None]


def prime_text(options: SampleOptions) -> bytes:
    """Return the bytes of -primetext or -primefile. Raises UserError if they cannot be read."""
    if not options.primefile:
        return os.fsencode(options.primetext)
    if options.primefile == "-":
        return stdin("-primefile -").read()
    try:
        return Path(options.primefile).read_bytes()
    except OSError as error:
        raise UserError(f"-primefile {options.primefile}: {error.strerror}") from error


def stdin(wanted_by: str) -> BinaryIO:
    """Return stdin as bytes. Raises UserError, naming the option `wanted_by`, if there is no stdin."""
    if not hasattr(sys.stdin, "buffer"):  # stdin is closed, or belongs to a notebook
        raise UserError(f"{wanted_by}: cannot read stdin: it is closed")
    return sys.stdin.buffer


@contextmanager
def output(path: str, *inputs: str) -> Iterator[Write]:
    """Yield a function that writes bytes to a file by an atomic write, or to stdout if `path` is empty.

    Raises UserError if the file cannot be written, is a checkpoint, or is one of the files that are read, `inputs`.
    """
    if not path:
        yield writer(sys.stdout)
        return
    if Path(path).exists() and not Path(path).is_file():
        raise UserError(f"-output {path}: exists and is not a regular file: use another name")
    require_new_file("-output", path, *inputs)
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            yield file.write
    except OSError as error:
        raise UserError(f"-output {path}: {error.strerror}") from error


def writer(stream: TextIO) -> Write:
    """Return a function that writes bytes to a stream and flushes; a stream of text gets the decoded characters."""
    out = getattr(stream, "buffer", None)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def write(text: bytes) -> None:
        if out:
            out.write(text)
            out.flush()
        else:
            stream.write(decoder.decode(text))

    return write

"""Provides the text of a run: loads it, downloads tinyshakespeare, or writes the reference text of Python."""

import hashlib
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

from charrnn_port.options import TrainOptions
from charrnn_port.util import progress
from charrnn_port.util.encodings import Encoding
from charrnn_port.util.errors import UserError
from charrnn_port.util.escapes import unescape
from charrnn_port.util.files import atomic_write
from charrnn_port.util.minibatch_loader import MinibatchLoader
from charrnn_port.util.short_texts import ShortTextsLoader, texts_in_folder
from charrnn_port.util.vocabulary import Vocabulary

TINYSHAKESPEARE = "data/tinyshakespeare"
PYDOC = "data/pydoc"
URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SIZE = 1_115_394  # bytes
NUL = r"\x00"  # ends each text of a folder with several files: no file of text has this character
TIMEOUT = 5  # seconds without an answer


def provide(data_dir: str, given: bool, echo: Callable[[str], None]) -> str:
    """Return the folder to train on, after downloading or writing its text if `data_dir` is one of the above.

    Without a network the default folder is replaced by pydoc's, unless the user named it (`given`).
    """
    name = os.path.normpath(data_dir)
    if Path(name, "input.txt").exists():
        return data_dir
    if name == TINYSHAKESPEARE:
        try:
            fetch_tinyshakespeare(Path(name, "input.txt"))
        except OSError as error:
            problem = f"cannot fetch {name} ({getattr(error, 'reason', None) or error})"
            if given:
                raise UserError(f"{problem}; put a text there as input.txt, or try -data_dir {PYDOC}") from error
            echo(f"{problem}: training on Python's reference text in {PYDOC} instead")
            return provide(PYDOC, given, echo)
    elif name == PYDOC:
        write_pydoc(Path(name, "input.txt"))
    return data_dir


def load(
    options: TrainOptions,
    data_dir: str,
    echo: Callable[[str], None] = lambda line: None,
    rows: slice = slice(None),
    writes: bool = True,
    vocab: Vocabulary | None = None,
) -> MinibatchLoader:
    """Return the batches of the text in `data_dir`, as options about texts and splits make them.

    If `vocab` is a saved network's of -encoding bpe, its tokens are used, and none are learned. See MinibatchLoader for
    `echo`, `rows`, `writes` and the errors.
    """
    sizes = options.batch_size, options.seq_length, options.train_frac, options.val_frac
    files = options.split_by, options.val_file, options.test_file
    its_vocab = vocab if vocab and options.encoding == vocab.encoding == "bpe" else None
    encoding = Encoding(options.encoding, options.min_count, options.vocab_size, its_vocab)
    how = echo, rows, encoding, writes, *files
    separator = unescape(separator_of(options, data_dir), "-separator")
    if separator:
        return ShortTextsLoader(data_dir, *sizes, separator, *how)
    return MinibatchLoader(data_dir, *sizes, *how)


def separator_of(options: TrainOptions, data_dir: str) -> str:
    """Return the separator of a run's texts, with escapes: -separator, by default NUL for several files, or none."""
    several = texts_in_folder(data_dir, [options.val_file, options.test_file])
    return options.separator or (NUL if several else "")


def fetch_tinyshakespeare(path: Path) -> None:
    """Download the text and check its SHA-256. Raises OSError without a network or for a different file."""
    text = bytearray()
    with (
        urllib.request.urlopen(URL, timeout=TIMEOUT) as answer,
        progress.bar("fetching tinyshakespeare", SIZE, "B") as bar,
    ):
        while chunk := answer.read(1 << 16):
            text += chunk
            bar.reach(len(text))
    if hashlib.sha256(text).hexdigest() != SHA256:
        raise OSError("the downloaded file has a wrong SHA-256")
    write(path, bytes(text))


def write_pydoc(path: Path) -> None:
    """Write the language reference of Python's `help()`, about 0.5 MB; it differs slightly between versions."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise UserError("pydoc_data not found in this Python: give the folder of a text with -data_dir") from error
    write(path, "\n\n".join(topics[name].strip() for name in sorted(topics)).encode())


def write(path: Path, text: bytes) -> None:
    """Write a text atomically. Raises UserError if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; use another -data_dir") from error

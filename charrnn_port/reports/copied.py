"""`charrnn copied`: find which passages of samples are in the training text, beside held-out text and chance.

For a network of many short texts, it also lists the samples that are whole texts of the training text.

Two baselines are compared with the training text in the same way. The held-out text is the run's validation split: by
the same authors, but not trained on. The random text is drawn from a Markov chain of the training text: each byte
follows the ORDER bytes before it as often as there.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from charrnn_port.checkpoints import Checkpoint, is_checkpoint, load_checkpoint, require_new_file
from charrnn_port.command_line import log_line, log_written, print_line
from charrnn_port.options import CopiedOptions, OptionError
from charrnn_port.reports import copied_page
from charrnn_port.reports.heat import level_styles, painted
from charrnn_port.reports.matches import Matches, Passage, covered, longest_matches, passages
from charrnn_port.reports.splits import pieces_of_run, run_options
from charrnn_port.reports.text_stream import encoded, visible
from charrnn_port.reports.whole_texts import WholeText, whole_texts
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import require_writable, write_atomically
from charrnn_port.util.minibatch_loader import joint_digest
from charrnn_port.util.text_cache import require_text

LENGTHS = (5, 10, 20, 30, 50, 100)  # bytes: the columns of the table
ORDER = 5  # bytes of context in the Markov chain
CHAINS, STEPS = 50, 1000  # the random text: this many pieces of this many bytes
LISTED = 20  # passages in the list of each sample
SHOWN = 60  # characters of each
COPIED, LONG = 3, 4  # levels of heat.py: underlined, and bold too


@dataclass
class Row:
    """A line of the table: a sample or a baseline, in one or several pieces."""

    name: str
    pieces: list[np.ndarray]  # uint8
    matches: list[Matches] = field(default_factory=list)  # of each piece
    passages: list[Passage] = field(default_factory=list)  # of a sample, the longest first

    @property
    def size(self) -> int:
        """The number of bytes."""
        return sum(map(len, self.pieces))

    @property
    def longest(self) -> int:
        """The length of the longest match in bytes."""
        return max(int(each.lengths.max(initial=0)) for each in self.matches)

    def shares(self) -> dict[int, float]:
        """Return the share of bytes in matches of at least so many bytes, for each of LENGTHS."""
        return {least: sum(covered(each.lengths, least) for each in self.matches) / self.size for least in LENGTHS}

    def values(self) -> dict[str, object]:
        """Return the object for -json, without passages."""
        return {"name": self.name, "bytes": self.size, "shares": self.shares(), "longest": self.longest}


@dataclass
class Text:
    """The training text."""

    name: str
    data: np.ndarray  # uint8
    trained: list[tuple[int, int]]  # the ranges of bytes that the run was trained on
    held_out: list[tuple[int, int]]  # those of the validation split

    def __post_init__(self) -> None:
        self._newlines = np.flatnonzero(self.data == ord("\n"))

    def line(self, position: int) -> int:
        """Return the number, from 1, of the line of a position."""
        return int(np.searchsorted(self._newlines, position)) + 1


def copied(options: CopiedOptions) -> None:
    """Print the table and the passages of each sample, or a JSON object, and write the page.

    Raises OptionError for options that exclude each other, and UserError if a sample or the text cannot be read.
    """
    if options.show and options.json:
        raise OptionError("-show and -json: use only one of them")
    if options.samples.count("-") > 1:
        raise UserError("stdin can only be read once: name - once")
    checkpoint = load_checkpoint(options.model, log_line)
    text = training_text(checkpoint, options)
    if options.o:
        require_new_file("-o", options.o, text.name, *options.samples)
        require_writable(options.o)
    samples = [Row("stdin" if path == "-" else path, [read_sample(path)]) for path in options.samples]
    rows = samples + [each for each in baselines(text, options.seed) if each.size]
    found = iter(longest_matches([piece for row in rows for piece in row.pieces], text.data, text.trained))
    for row in rows:
        row.matches = [next(found) for _ in row.pieces]
    for row in samples:
        row.passages = sorted(passages(row.matches[0], options.least), key=lambda passage: -passage.length)

    whole = {}
    if checkpoint.separator:
        content, held_out = text.data.tobytes(), sorted(text.held_out)
        for row in samples:
            whole[row.name] = whole_texts(row.pieces[0].tobytes(), content, checkpoint.separator, held_out)
    if options.o:
        table = [(row.name, [f"{share:.1%}" for share in row.shares().values()], row.longest, row.size) for row in rows]
        entries = [(row.name, marked(row), list(map(described(row, text), row.passages))) for row in samples]
        write_atomically(copied_page.make(text.name, options.least, LENGTHS, table, entries).encode(), options.o)
        log_written(options.o)
    if options.json:
        entries = [row.values() | {"passages": list(map(described(row, text), row.passages))} for row in samples]
        others = [row.values() for row in rows[len(samples) :]]
        for entry in entries:
            if found := whole.get(entry["name"]):
                entry |= {"texts": found[0], "whole_texts": [each.values() for each in found[1]]}
        result = {"text": text.name, "least": options.least, "samples": entries, "baselines": others}
        print_line(json.dumps(result, indent=2))
        return
    if options.show:
        styles = ["", *level_styles()[1:]]
        for row in samples:
            levels = [COPIED if passage.length < 2 * options.least else LONG for passage in row.passages]
            characters = ((0 if at is None else levels[at], character) for at, character in marked(row))
            click.echo(painted(characters, styles))
    print_rows(rows, text, log_line if options.show else print_line)
    for row in samples:
        print_passages(row, text, options.least, log_line if options.show else print_line)
        if row.name in whole:
            print_whole_texts(row.name, text.name, *whole[row.name], log_line if options.show else print_line)


def read_sample(path: str) -> np.ndarray:
    """Return a sample's bytes, or those of stdin for `-`. Raises UserError if there are none."""
    if path == "-" and not sys.stdin:
        raise UserError("cannot read stdin: it is closed")
    if path != "-" and is_checkpoint(path):
        raise UserError(f"{path} is a checkpoint or a folder, not a sample: name one checkpoint, then text files")
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not data:
        raise UserError(f"{'stdin' if path == '-' else path} is empty: sample a text first, with sample.py -verbose 0")
    return np.frombuffer(data, np.uint8)


def training_text(checkpoint: Checkpoint, options: CopiedOptions) -> Text:
    """Return the file of -text, or that of the run, split as in the run. Raises UserError if it cannot be read."""
    if options.text:
        path = Path(options.text)
    elif "data_dir" in checkpoint.opt:
        path = Path(run_options(checkpoint, options.model).data_dir, "input.txt")
    else:
        raise UserError(f"{options.model} does not record its training text: name it with -text FILE")
    if not path.is_file():
        raise UserError(f"no training text at {path}: name its file with -text")
    require_text(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not content:
        raise UserError(f"{path} is empty: name the training text with -text")
    trained_on = (checkpoint.progress or {}).get("text")
    digests = [hashlib.sha256(content).hexdigest()]
    for file in filter(None, (checkpoint.opt.get("val_file"), checkpoint.opt.get("test_file"))):
        digests.append(hashlib.sha256(Path(file).read_bytes() if Path(file).is_file() else b"").hexdigest())
    same = trained_on == joint_digest(digests)
    if trained_on and not same:
        log_line(f"{path} differs from the text that the run was trained on")
    data = np.frombuffer(content, np.uint8)
    if options.text and not same:
        return Text(str(path), data, [(0, len(data))], [])
    return Text(str(path), data, *split(content, checkpoint, options.model))


def split(content: bytes, checkpoint: Checkpoint, name: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the ranges of bytes of the training split and of the validation split; `name` is the checkpoint's.

    A text that is shorter than a batch is all training split. So is that of a run with a -val_file.
    """
    units, mark = checkpoint.vocab.units_of(content), checkpoint.vocab.units_of(checkpoint.separator)
    units = mark + units + (mark[:0] if units[-len(mark) :] == mark else mark) if mark else units
    sizes = np.ones(len(units), np.int64) if isinstance(units, bytes) else [len(encoded(unit)) for unit in units]
    begins = np.cumsum([0, *sizes]) - len(checkpoint.separator)  # positions of all symbols in `content`, and the end
    begins = begins.clip(0, len(content))
    pieces = pieces_of_run(checkpoint, name, units)
    if not any(map(len, pieces["train"])):
        return [(0, len(content))], []
    trained, held_out = (
        [(int(begins[piece.start]), int(begins[piece.stop])) for piece in pieces[part]] for part in ("train", "val")
    )
    return trained, [] if checkpoint.opt.get("val_file") else held_out


def baselines(text: Text, seed: int) -> list[Row]:
    """Return the held-out text and a random text."""
    trained = np.concatenate([text.data[begin:end] for begin, end in text.trained])
    chains = list(markov_chains(trained, seed)) if len(trained) > ORDER else []
    return [
        Row("held-out text", [text.data[begin:end] for begin, end in text.held_out]),
        Row(f"random text (order-{ORDER} Markov chain)", chains),
    ]


def markov_chains(text: np.ndarray, seed: int) -> np.ndarray:
    """Return random texts `[CHAINS, STEPS]` uint8. Each byte is what follows a random occurrence of its ORDER bytes of
    context in the text, which has more than ORDER bytes."""
    count = len(text) - ORDER
    contexts = np.zeros(count, np.uint64)
    for place in range(ORDER):
        contexts = (contexts << np.uint64(8)) | text[place : place + count]
    order = np.argsort(contexts, kind="stable")
    known = contexts[order]
    rng = np.random.default_rng(seed % 2**63)
    drawn = np.empty((STEPS, CHAINS), np.uint8)
    places = rng.integers(count, size=CHAINS)
    for step in range(STEPS):
        first, last = (np.searchsorted(known, contexts[places], side) for side in ("left", "right"))
        places = order[rng.integers(first, last)]
        drawn[step] = text[places + ORDER]
        places = (places + 1) % count  # after the text's end comes its beginning
    return drawn.T


def marked(row: Row) -> list[tuple[int | None, str]]:
    """Return a sample's characters, each with the number of the longest passage that it is in, None for none."""
    numbers = np.full(row.size, -1)
    for number in reversed(range(len(row.passages))):
        length, start, _ = row.passages[number]
        numbers[start : start + length] = number
    # Characters of several bytes count with their first; bytes that are no UTF-8 are replaced, as on a terminal.
    data, found, place = row.pieces[0].tobytes(), [], 0
    for character in data.decode(errors="surrogateescape"):
        invalid = "\udc80" <= character <= "\udcff"
        found.append((None if numbers[place] < 0 else int(numbers[place]), "\ufffd" if invalid else character))
        place += 1 if invalid else len(character.encode())
    return found


def described(row: Row, text: Text) -> Callable[[Passage], dict[str, str | int]]:
    """Return a function that returns a passage for -json."""

    def describe(passage: Passage) -> dict[str, str | int]:
        begin, end = passage.sample_position, passage.sample_position + passage.length
        return {
            "bytes": passage.length,
            "sample_position": begin,
            "text_position": passage.text_position,
            "text_line": text.line(passage.text_position),
            "passage": row.pieces[0][begin:end].tobytes().decode(errors="backslashreplace"),
        }

    return describe


def print_rows(rows: Sequence[Row], text: Text, echo: Callable[[str], None]) -> None:
    """Print the table of shares."""
    echo(f"share of bytes in passages of at least N bytes that are in {text.name}")
    echo("N = " + " ".join(f"{least:{3 if least == 5 else 6}}" for least in LENGTHS) + "  longest     bytes")
    for row in rows:
        shares = " ".join(f"{share:6.1%}" for share in row.shares().values())
        echo(f" {shares}  {row.longest:7}  {row.size:8}  {row.name}")


def print_passages(row: Row, text: Text, least: int, echo: Callable[[str], None]) -> None:
    """Print the longest passages of a sample."""
    if not row.passages:
        echo(f"\n{row.name}: no passage of {least} bytes or more is in the text")
        return
    echo(f"\n{row.name}: passages of at least {least} bytes, the longest first")
    echo("bytes  in sample  in text   line  passage")
    for each in map(described(row, text), row.passages[:LISTED]):
        shown = each["passage"] if len(each["passage"]) <= SHOWN else each["passage"][: SHOWN - 1] + "…"
        numbers = f"{each['bytes']:5}  {each['sample_position']:9}  {each['text_position']:7}  {each['text_line']:5}"
        echo(f"{numbers}  {''.join(map(visible, shown))}")
    if len(row.passages) > LISTED:
        echo(f"and {len(row.passages) - LISTED} more, which -json 1 prints")


def print_whole_texts(
    sample: str, text: str, count: int, found: Sequence[WholeText], echo: Callable[[str], None]
) -> None:
    """Print which texts of a sample are whole texts of the training text."""
    if not found:
        echo(f"\n{sample}: none of {count} texts is a whole text of {text}")
        return
    held_out = sum(each.held_out for each in found)
    echo(f"\n{sample}: {len(found)} of {count} texts are whole texts of {text}, {held_out} of them held out")
    echo("  line  text")
    for each in found:
        shown = "".join(map(visible, each.text.decode(errors="backslashreplace")))
        echo(f"{each.line:6}  {shown}{'  (held out)' if each.held_out else ''}")

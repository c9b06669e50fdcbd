"""`charrnn score`: report cross-entropy and perplexity of texts: in total, by line, by character, or as a heatmap."""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import click

from charrnn_port.checkpoints import Checkpoint, is_checkpoint, load_checkpoint
from charrnn_port.command_line import log_line, print_line
from charrnn_port.device import choose_device, choose_dtype
from charrnn_port.model import fastest_backend
from charrnn_port.model.fused import FusedCharRNN
from charrnn_port.options import OptionError, ScoreOptions
from charrnn_port.reports.heat import Heat
from charrnn_port.reports.printing import jsonable
from charrnn_port.reports.scoring import CharacterScores, Learning, Reader, mean_square
from charrnn_port.reports.splits import cut_of, separator_of, text_to_read
from charrnn_port.reports.text_stream import Block, TextStream, characters_of, encoded, printable
from charrnn_port.reports.trained_on import TrainedOn
from charrnn_port.util.errors import UserError

# Called with each block of a text and a network's predictions of it.
Listener = Callable[[Block, CharacterScores], None]


@dataclass
class Score:
    """The score of a checkpoint on a text."""

    checkpoint: str
    text: str
    split: str
    nats: float = 0.0  # sum over all characters
    characters: int = 0  # those with a prediction: all but the first of the text, or of each piece
    bytes: int = 0  # of these characters

    def add(self, block: Block, figures: CharacterScores) -> None:
        """Add a block."""
        self.nats -= float(figures.log_probs.sum())
        self.characters += len(figures.ids)
        self.bytes += len(encoded(block.units[len(block.units) - len(figures.ids) :]))

    def values(self) -> dict[str, str | float | int]:
        """Return the object for -json."""
        nats = self.nats / self.characters
        return {
            "checkpoint": self.checkpoint,
            "text": self.text,
            "split": self.split,
            "nats_per_character": nats,
            "bits_per_character": nats / math.log(2),
            "bits_per_byte": self.nats / math.log(2) / self.bytes,
            "perplexity": perplexity(nats),
            "characters": self.characters,
        }


def score(options: ScoreOptions) -> None:
    """Print the score of each text under each checkpoint.

    Raises OptionError for options that exclude each other, and UserError for a text that cannot be read, has fewer than
    two characters, or has a character that is not in the vocabulary of a network.
    """
    names, paths = checkpoints_and_texts(options)
    require_possible(options, len(names), len(paths))
    device = choose_device(options.gpuid, False, lambda line: None)
    dtype = choose_dtype(options.dtype, device)
    checkpoints = {name: load_checkpoint(name, log_line) for name in names}
    paths = paths or [text_to_read("", options.split, checkpoints[names[0]], names[0])]
    if options.dynamic:
        for name, checkpoint in checkpoints.items():
            where = "this text" if mean_square(checkpoint) is None else "training and this text"
            log_line(f"dynamic evaluation: {name} learns from the text; mean square of gradients from {where}")

    def network_of(checkpoint: Checkpoint) -> FusedCharRNN:
        return checkpoint.build(fastest_backend(checkpoint.opt["model"], dtype, device), dtype, device)

    kinds = {each.vocab.encoding for each in checkpoints.values()}
    if not all(each.vocab.of_characters for each in checkpoints.values()) and (options.lines or options.heat):
        raise OptionError("-lines and -heat show characters: use -csv for a network of words or tokens")
    table, objects = Table(several=len(names) > 1, per_byte=kinds != {"bytes"}), []
    for path in paths:
        lines = Lines() if options.lines else None
        listeners = [lines.add] if lines else [write_csv()] if options.csv else [Heat().show] if options.heat else []
        scores = read_through(path, checkpoints, network_of, options, listeners)
        if options.json:
            objects += [each.values() | ({"lines": lines.values()} if lines else {}) for each in scores]
        elif not options.csv:
            table.print(scores, log_line if options.heat else print_line)
            if lines:
                lines.print()
    if options.json:
        print_line(json.dumps(jsonable(objects[0] if len(objects) == 1 else objects), indent=2))


def read_through(
    path: str,
    checkpoints: dict[str, Checkpoint],
    network_of: Callable[[Checkpoint], FusedCharRNN],
    options: ScoreOptions,
    listeners: list[Listener],
) -> list[Score]:
    """Return the scores of a text, the best first. All checkpoints read it in parallel, since stdin is read once."""
    cut, separator = cut_of(checkpoints, options.split), separator_of(checkpoints)
    vocabs = {name: each.vocab for name, each in checkpoints.items()}
    text = TextStream(path, vocabs, options.unknown == "skip", cut, separator)
    readers, overlaps = [], {name: TrainedOn(each, name) for name, each in checkpoints.items()}
    for name, checkpoint in checkpoints.items():
        network = network_of(checkpoint)  # a copy for each text, since dynamic evaluation changes it
        learning = Learning(network, checkpoint, options.dynamic) if options.dynamic else None
        readers.append((checkpoint.vocab, Reader(network, learning), Score(name, text.name, options.split)))
    for block in text:
        for vocab, reader, score in readers:
            if block.line:
                reader.begin()
            ids = block.ids(vocab)
            overlaps[score.checkpoint].add(ids)
            figures = reader.read(ids)
            for listen in (score.add, *listeners):
                listen(block, figures)
    if options.heat:
        log_line("")  # the text may not end with a newline
    scores = [score for _, _, score in readers]
    if not scores[0].characters:
        raise UserError(f"{text.name} is too short: expected at least two characters, since the first has no context")
    if text.skipped:
        log_line(f"{text.skipped} characters of {text.name} are left out")
    for name, overlap in overlaps.items():
        log_line(f"{f'{name}: ' if len(overlaps) > 1 else ''}{overlap.sentence()}")
    return sorted(scores, key=lambda each: each.nats)


def checkpoints_and_texts(options: ScoreOptions) -> tuple[list[str], list[str]]:
    """Split the arguments into checkpoints and texts.

    The first is a checkpoint, and so are the next ones as long as their first bytes are those of a checkpoint. Raises
    UserError if a checkpoint or stdin is named twice.
    """
    names, rest = [options.checkpoint], list(options.files)
    while rest and is_checkpoint(rest[0]):
        names.append(rest.pop(0))
    if len(set(names)) < len(names):
        raise UserError("a checkpoint is named twice: name each once")
    if rest.count("-") > 1:
        raise UserError("stdin can only be read once: name - once")
    return names, rest


def require_possible(options: ScoreOptions, checkpoints: int, texts: int) -> None:
    """Raise OptionError for options that exclude each other."""
    views = {"lines": options.lines, "csv": options.csv, "heat": options.heat, "json": options.json}
    chosen = [f"-{name}" for name, value in views.items() if value]
    if len(chosen) > 1 and set(chosen) != {"-lines", "-json"}:
        raise OptionError(f"{' and '.join(chosen)}: use only one of them (only -json and -lines may be combined)")
    if checkpoints > 1 and chosen and chosen != ["-json"]:
        raise OptionError(f"{chosen[0]}: expected one checkpoint, got {checkpoints}")
    if texts > 1 and options.csv:
        raise OptionError(f"-csv: expected one text, got {texts}")


def perplexity(nats: float) -> float:
    """Return exp(nats per character), or infinity on overflow."""
    return math.exp(nats) if nats < 700 else math.inf


class Table:
    """Prints a line for each text, or for each text and checkpoint, the checkpoint with the best score first."""

    def __init__(self, several: bool, per_byte: bool) -> None:
        """`per_byte` adds bits per byte, for networks whose characters are not bytes."""
        self._several, self._per_byte = several, per_byte
        self._begun = False

    def print(self, scores: list[Score], echo: Callable[[str], None]) -> None:
        """Print the lines of one text, and the header before the first."""
        if not self._begun:
            per_byte = "  bits/byte" if self._per_byte else ""
            name = f"{'checkpoint, ' if self._several else ''}text"
            echo(f"nats/char  bits/char{per_byte}  perplexity  characters  {name}")
            self._begun = True
        for each in scores:
            values = each.values()
            name = each.text if each.split == "all" else f"{each.text} ({each.split} split)"
            name = f"{each.checkpoint}, {name}" if self._several else name
            per_byte = f"  {values['bits_per_byte']:9.4f}" if self._per_byte else ""
            echo(
                f"{values['nats_per_character']:9.4f}  {values['bits_per_character']:9.4f}{per_byte}"
                f"  {values['perplexity']:10.3f}  {each.characters:10}  {name}"
            )
        if self._several:
            first, second = scores[:2]
            more = second.nats - first.nats
            echo(f"{first.text} is most likely under {first.checkpoint}, {more:.1f} nats ahead of {second.checkpoint}")


class Lines:
    """Collects the scores of the lines of a text. A newline belongs to its line; empty lines are left out.

    All lines are kept in memory.
    """

    def __init__(self) -> None:
        self._done: list[tuple[float, int, int, str]] = []  # nats per character, characters, number from 1, text
        self._units: bytes | str = b""
        self._nats: list[float] = []
        self._number = 1

    def add(self, block: Block, figures: CharacterScores) -> None:
        """Add a block."""
        if block.line:
            self._end()
            self._number = block.line
        first = len(block.units) - len(figures.ids)  # 1 for the first block, whose first character has no prediction
        nats = (-figures.log_probs).tolist()
        newline = b"\n" if isinstance(block.units, bytes) else "\n"
        begin = 0
        while begin < len(block.units):
            end = block.units.find(newline, begin) + 1 or len(block.units)
            self._units = (self._units or newline[:0]) + block.units[begin:end]
            self._nats += nats[max(0, begin - first) : end - first]
            if self._units.endswith(newline):
                self._end()
            begin = end

    def _end(self) -> None:
        count = len(self._nats)
        said = printable(self._units)
        if count and said:
            self._done.append((sum(self._nats) / count, count, self._number, said))
        self._units, self._nats, self._number = b"", [], self._number + 1

    def _sorted(self) -> list[tuple[float, int, int, str]]:
        """Return the lines, the most surprising first."""
        self._end()
        return sorted(self._done, key=lambda line: -line[0])

    def print(self) -> None:
        """Print the lines."""
        print_line("nats/char   line  text")
        for nats, _, number, text in self._sorted():
            print_line(f"{nats:9.4f} {number:6}  {text}")

    def values(self) -> list[dict[str, str | float | int]]:
        """Return the lines for -json."""
        return [
            {"line": number, "nats_per_character": nats, "characters": characters, "text": text}
            for nats, characters, number, text in self._sorted()
        ]


def write_csv() -> Listener:
    """Return a listener that writes a CSV row for each character; the first has only a position and a character."""
    begun = False

    def write(block: Block, figures: CharacterScores) -> None:
        nonlocal begun
        out = io.StringIO()
        rows = csv.writer(out, lineterminator="\n")
        if not begun:
            rows.writerow(["position", "character", "log_probability", "rank", "entropy"])
            begun = True
        characters, positions = characters_of(block.units), block.positions.tolist()
        first = len(positions) - len(figures.ids)
        rows.writerows((positions[place], characters[place], "", "", "") for place in range(first))
        columns = (figures.log_probs, figures.ranks, figures.entropies)
        rows.writerows(zip(positions[first:], characters[first:], *(each.tolist() for each in columns), strict=True))
        click.echo(out.getvalue(), nl=False)

    return write

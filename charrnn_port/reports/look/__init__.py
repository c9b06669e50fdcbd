"""`charrnn look`: make an interactive page about a network's units on a text, or a figure of one unit.

    look             reads the text, and writes the page or the figure
    recording        the states, gates and predictions at each character
    properties       properties of a text at each character, such as "inside quotes"
    labels           the same for a user's own properties
    probes           how well the whole state predicts each property
    units            how well each unit predicts each property, and the chance level
    errors, ngrams   loss by class of character, and a comparison with n-gram models
    gates            saturation of gates: the share of the time that they are open and shut
    rests            what predictions rest on
    silence          loss while each unit is held at 0
    switches         samples while a unit is clamped
    pairs            comparison of two networks
    over_training    comparison of checkpoints of a run
    packing          values as compressed bytes
    about            sentences of the page
    page             writes the page, from page.html, page.css and the scripts
    figure           draws one unit on one passage
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from charrnn_port.checkpoints import Checkpoint, load_checkpoint, require_new_file
from charrnn_port.command_line import log_line, log_written, print_line
from charrnn_port.device import DTYPES
from charrnn_port.options import LookOptions, OptionError
from charrnn_port.reports.drawing import require_matplotlib
from charrnn_port.reports.look import figure, over_training, page
from charrnn_port.reports.look.labels import matches, read_labels
from charrnn_port.reports.look.packing import pieces
from charrnn_port.reports.look.pairs import Other
from charrnn_port.reports.look.properties import Property, characters_at, passages, properties
from charrnn_port.reports.look.recording import parts_of, record
from charrnn_port.reports.look.units import search
from charrnn_port.reports.splits import cut_of, text_to_read
from charrnn_port.reports.text_stream import Block, TextStream
from charrnn_port.reports.trained_on import TrainedOn
from charrnn_port.util import progress
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import require_writable, write_atomically

__all__ = ["figure", "look", "page"]

ENDINGS = (".html", *figure.KINDS)


def look(options: LookOptions) -> None:
    """Read the text and write the page or the figure.

    Raises OptionError for an unknown file type and for units that the network does not have, and UserError if the text
    cannot be read or the file cannot be written.
    """
    target = Path(options.o)
    if target.suffix.lower() not in ENDINGS:
        raise OptionError(f"-o: {options.o!r} does not end in {', '.join(ENDINGS)}")
    require_new_file("-o", options.o)
    require_writable(target)
    drawing = target.suffix.lower() in figure.KINDS
    if drawing:
        require_matplotlib("a figure")
    checkpoint = load_checkpoint(options.checkpoint, log_line)
    if not checkpoint.vocab.of_characters:
        kind = checkpoint.vocab.kind
        raise UserError(f"{options.checkpoint} reads {kind}: look shows units that read characters; use charrnn trace")
    run, snapshots = [], []
    if options.checkpoints and not drawing:
        run = over_training.chosen(options.checkpoint, options.checkpoints, checkpoint)
    wanted = units_of(options.units, checkpoint.opt)
    file = text_to_read(options.file, options.split, checkpoint, options.checkpoint)
    require_new_file("-o", options.o, file)
    cut = cut_of({options.checkpoint: checkpoint}, options.split)
    checkpoints = {options.checkpoint: checkpoint}
    if options.other and not drawing:
        checkpoints[options.other] = load_checkpoint(options.other, log_line)
    vocabs = {name: each.vocab for name, each in checkpoints.items()}
    text = TextStream(file, vocabs, options.unknown == "skip", cut, checkpoint.separator)
    block, begins = beginning_of(text, options.length)
    about_training = training_sentence(checkpoint, options.checkpoint, block, begins)
    own = own_properties(options, block.units, begins)
    network = checkpoint.build("plain", DTYPES[options.dtype])
    if drawing:
        figure.require(options, wanted, parts_of(network), len(block.units))
    with progress.bars():
        recording = record(network, block.ids(checkpoint.vocab), begins)
    characters = [each for units in passages(block.units, begins) for each in characters_at(units)]
    usable, rare = properties(characters, begins, own)
    found = search(network, recording, usable)
    if drawing:
        shown = [each for some in passages(characters, begins) for each in pieces(some, checkpoint.vocab)]
        content = figure.draw(options, recording, shown, wanted, found.findings, network.cell.STATE[0])
    else:
        name = f"{Path(text.name).name}{'' if options.split == 'all' else f' ({options.split} split)'}"
        other = read_other(options, checkpoints[options.other], block, begins) if options.other else None
        if run:
            snapshots = over_training.measure(run, checkpoint, network, recording, found, usable, wanted)
        content = page.make(
            options, name, about_training, checkpoint, network, recording, characters, found, rare, wanted, other,
            snapshots,
        )  # fmt: skip
    write_atomically(content, target)
    log_written(target)
    for line in over_training.table(snapshots) if snapshots else ():
        print_line(line)
    gaps = np.diff(block.positions, prepend=-1) - 1
    if cut:
        gaps[begins] = 0
    left_out = gaps.clip(min=0).sum()  # below 0: the very last target is the first character of the text
    if left_out:
        log_line(f"{left_out} characters of {text.name} are left out")
    log_line(about_training)


def training_sentence(checkpoint: Checkpoint, name: str, block: Block, begins: list[int]) -> str:
    """Return a sentence on how much of the text a network was trained on."""
    found = TrainedOn(checkpoint, name)
    for ids in passages(block.ids(checkpoint.vocab), begins):
        found.add(ids)
    return found.sentence()


def read_other(options: LookOptions, checkpoint: Checkpoint, block: Block, begins: list[int]) -> Other:
    """Return the network in -other, and what it computes on the same text."""
    network = checkpoint.build("plain", DTYPES[options.dtype])
    with progress.bars():
        recording = record(network, block.ids(checkpoint.vocab), begins)
    about_training = training_sentence(checkpoint, options.other, block, begins)
    return Other(Path(options.other).name, about_training, network, recording)


def own_properties(options: LookOptions, units: bytes | str, begins: Sequence[int] = (0,)) -> list[Property]:
    """Return the properties of -label and -labels. Raises OptionError if two have the same name."""
    own = [matches(each, units, begins) for each in options.label]
    own += read_labels(options.labels, units) if options.labels else []
    names = [each.name for each in own]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"-label: two properties are named {name!r}")
    return own


def beginning_of(text: TextStream, length: int) -> tuple[Block, list[int]]:
    """Return the first `length` characters of a text, and the places among them at which a piece of it begins.

    Raises UserError if the text has fewer than two characters.
    """
    blocks, begins, count = [], [], 0
    for block in text:
        begins += [count] if block.line else []
        blocks.append(block)
        count += len(block.units)
        if count >= length:
            break
    if count < 2:
        raise UserError(f"{text.name} is too short: expected at least two characters, since the first has no context")
    units = blocks[0].units[:0].join(block.units for block in blocks)
    return Block(units[:length], np.concatenate([block.positions for block in blocks])[:length]), begins


def units_of(text: str, opt: dict) -> list[tuple[int, int]]:
    """Return the (layer, unit) pairs in -units, such as 2:131,1:5.

    Raises OptionError for invalid syntax and for units that the network does not have.
    """
    found = []
    for each in filter(None, text.split(",")):
        numbers = re.fullmatch(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*", each)
        if not numbers:
            raise OptionError(f"-units: {each!r} is invalid: expected LAYER:UNIT, such as 2:131")
        pair = int(numbers[1]), int(numbers[2])
        if not (1 <= pair[0] <= opt["num_layers"] and pair[1] < opt["rnn_size"]):
            raise OptionError(
                f"-units: {each.strip()} is out of range: layers are 1 to {opt['num_layers']}, "
                f"units are 0 to {opt['rnn_size'] - 1}"
            )
        found.append(pair)
    return found

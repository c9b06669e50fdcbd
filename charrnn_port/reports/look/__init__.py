"""`charrnn look`: make an interactive page about a network's units on a text, or a figure of one unit.

    look             reads the text, and writes the page or the figure
    recording        the states, gates and predictions at each character
    properties       properties of a text at each character, such as "inside quotes"
    units            how well each unit predicts each property, and the chance level
    errors, ngrams   loss by class of character, and a comparison with n-gram models
    gates            saturation of gates: the share of the time that they are open and shut
    switches         samples while a unit is clamped
    packing          values as compressed bytes
    page             writes the page, from page.html, page.css and the scripts
    figure           draws one unit on one passage
"""

from pathlib import Path

import numpy as np

from charrnn_port.checkpoints import is_checkpoint, load_checkpoint
from charrnn_port.command_line import log_line, log_written
from charrnn_port.device import DTYPES
from charrnn_port.options import LookOptions, OptionError
from charrnn_port.reports.drawing import require_matplotlib
from charrnn_port.reports.look import figure, page
from charrnn_port.reports.look.packing import pieces
from charrnn_port.reports.look.properties import characters_at, passages, properties
from charrnn_port.reports.look.recording import record
from charrnn_port.reports.look.units import search
from charrnn_port.reports.splits import cut_of, text_to_read
from charrnn_port.reports.text_stream import Block, TextStream
from charrnn_port.reports.trained_on import TrainedOn
from charrnn_port.util import progress
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import write_atomically

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
    if is_checkpoint(options.o):
        raise UserError(f"-o {options.o}: cannot overwrite a checkpoint or a folder; name another file")
    drawing = target.suffix.lower() in figure.KINDS
    if drawing:
        require_matplotlib("a figure")
    checkpoint = load_checkpoint(options.checkpoint, log_line)
    if checkpoint.vocab.encoding == "words":
        raise UserError(f"{options.checkpoint} reads words: look shows units that read characters; use charrnn trace")
    wanted = units_of(options.units, checkpoint.opt)
    file = text_to_read(options.file, options.split, checkpoint, options.checkpoint)
    cut = cut_of({options.checkpoint: checkpoint}, options.split)
    skip, separator = options.unknown == "skip", checkpoint.separator
    text = TextStream(file, {options.checkpoint: checkpoint.vocab}, skip, cut, separator)
    block, begins = beginning_of(text, options.length)
    ids = block.ids(checkpoint.vocab)
    overlap = TrainedOn(checkpoint, options.checkpoint)
    for its_ids in passages(ids, begins):
        overlap.add(its_ids)
    about_training = overlap.sentence()
    network = checkpoint.build("plain", DTYPES[options.dtype])
    with progress.bars():
        recording = record(network, ids, begins)
    characters = [each for units in passages(block.units, begins) for each in characters_at(units)]
    usable, rare = properties(characters, begins)
    found = search(network, recording, usable)
    if drawing:
        shown = [each for some in passages(characters, begins) for each in pieces(some, checkpoint.vocab)]
        content = figure.draw(options, recording, shown, wanted, found.findings, network.cell.STATE[0])
    else:
        name = f"{Path(text.name).name}{'' if options.split == 'all' else f' ({options.split} split)'}"
        content = page.make(
            options, name, about_training, checkpoint, network, recording, characters, found, rare, wanted
        )
    write_atomically(content, target)
    log_written(target)
    gaps = np.diff(block.positions, prepend=-1) - 1
    if cut:
        gaps[begins] = 0
    left_out = gaps.clip(min=0).sum()  # below 0: the very last target is the first character of the text
    if left_out:
        log_line(f"{left_out} characters of {text.name} are left out")
    log_line(about_training)


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
        layer, colon, unit = each.partition(":")
        if not (colon and layer.strip().isdecimal() and unit.strip().isdecimal()):
            raise OptionError(f"-units: {each!r} is invalid: expected LAYER:UNIT, such as 2:131")
        pair = int(layer), int(unit)
        if not (1 <= pair[0] <= opt["num_layers"] and pair[1] < opt["rnn_size"]):
            raise OptionError(
                f"-units: {each.strip()} is out of range: layers are 1 to {opt['num_layers']}, "
                f"units are 0 to {opt['rnn_size'] - 1}"
            )
        found.append(pair)
    return found

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
    packing          values as compressed bytes
    page             writes the page, from page.html, page.css and the scripts
    figure           draws one unit on one passage
"""

import sys
from pathlib import Path

import numpy as np

from charrnn_port.checkpoints import is_checkpoint, load_checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.device import DTYPES
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.options import LookOptions, OptionError
from charrnn_port.reports.look import figure, page
from charrnn_port.reports.look.labels import matches, read_labels
from charrnn_port.reports.look.packing import pieces
from charrnn_port.reports.look.properties import Property, characters_at, properties
from charrnn_port.reports.look.recording import Recording, record
from charrnn_port.reports.look.units import search, the_best
from charrnn_port.reports.text_stream import Block, TextStream
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import atomic_write

__all__ = ["figure", "look", "page"]

ENDINGS = (".html", *figure.KINDS)


def look(options: LookOptions) -> None:
    """Read the text and write the page or the figure.

    Raises OptionError for an unknown file type and for units that the network does not have, and UserError if the text
    cannot be read or the file cannot be written.
    """
    target = Path(options.o)
    if target.suffix not in ENDINGS:
        raise OptionError(f"-o: {options.o!r} does not end in {', '.join(ENDINGS)}")
    if is_checkpoint(options.o):
        raise UserError(f"-o {options.o}: cannot overwrite a checkpoint or a folder; name another file")
    drawing = target.suffix in figure.KINDS
    if drawing:
        figure.require_matplotlib()
    checkpoint = load_checkpoint(options.checkpoint)
    wanted = units_of(options.units, checkpoint.opt)
    vocabs = {options.checkpoint: checkpoint.vocab}
    if options.other and not drawing:
        vocabs[options.other] = load_checkpoint(options.other).vocab
    text = TextStream(options.file, vocabs, options.unknown == "skip")
    block = beginning_of(text, options.length)
    network = checkpoint.build("plain", DTYPES[options.dtype])
    recording = record(network, block.ids(checkpoint.vocab), sys.stderr.isatty())
    characters = characters_at(block.units)
    usable, rare = properties(characters, own_properties(options, block.units))
    found = search(network, recording, usable)
    if drawing:
        shown = pieces(characters, checkpoint.vocab)
        write = figure.draw(options, recording, shown, wanted, the_best(found.findings), network.cell.STATE[0])
    else:
        other = read_other(options, block) if options.other else None
        write = page.make(options, checkpoint, network, recording, characters, found, rare, wanted, other)
    try:
        with atomic_write(target) as temporary:
            write(temporary)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    left_out = int(block.positions[-1]) + 1 - len(block.units)
    if left_out:
        log_line(f"{left_out} characters of {text.name} are left out")


def read_other(options: LookOptions, block: Block) -> tuple[CharRNN, Recording]:
    """Return the network in -other, and what it computes on the same text."""
    checkpoint = load_checkpoint(options.other)
    network = checkpoint.build("plain", DTYPES[options.dtype])
    return network, record(network, block.ids(checkpoint.vocab), sys.stderr.isatty())


def own_properties(options: LookOptions, units: bytes | str) -> list[Property]:
    """Return the properties of -label and -labels. Raises OptionError if two have the same name."""
    own = [matches(each, units) for each in options.label]
    own += read_labels(options.labels, units) if options.labels else []
    names = [each.name for each in own]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"-label: two properties are named {name!r}")
    return own


def beginning_of(text: TextStream, length: int) -> Block:
    """Return the first `length` characters of a text. Raises UserError if it has fewer than two."""
    blocks, count = [], 0
    for block in text:
        blocks.append(block)
        count += len(block.units)
        if count >= length:
            break
    if count < 2:
        raise UserError(f"{text.name} is too short: expected at least two characters, since the first has no context")
    units = blocks[0].units[:0].join(block.units for block in blocks)
    return Block(units[:length], np.concatenate([block.positions for block in blocks])[:length])


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

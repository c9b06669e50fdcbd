"""`charrnn split`: write the training, validation and test split of a run's text to files, for other programs."""

import hashlib
import os
from pathlib import Path

from charrnn_port.checkpoints import load_checkpoint, require_new_file
from charrnn_port.command_line import log_line
from charrnn_port.options import SplitOptions
from charrnn_port.reports.splits import pieces_of_run, run_options, text_of_run
from charrnn_port.reports.text_stream import TextStream, encoded
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import write_atomically


def split(options: SplitOptions) -> None:
    """Write train.txt, val.txt and test.txt, those that are not empty, each with its pieces joined in order.

    Raises UserError if the text is not found or shorter than a batch, if the run has a file for each split, or if a
    file cannot be written.
    """
    checkpoint = load_checkpoint(options.model, log_line)
    run = run_options(checkpoint, options.model)
    if run.val_file:
        files = ", ".join(filter(None, [f"{run.data_dir}/input.txt", run.val_file, run.test_file]))
        raise UserError(f"the splits of this run are files already: {files}")
    path = options.file or text_of_run(checkpoint, options.model)
    stream = TextStream(path, {options.model: checkpoint.vocab}, separator=checkpoint.separator)
    text = stream.whole()
    digest = (checkpoint.progress or {}).get("text")
    if digest and digest != hashlib.sha256(b"".join(map(encoded, stream.read()))).hexdigest():
        log_line(f"{path} differs from the text that the run was trained on")
    splits = pieces_of_run(checkpoint, options.model, text)
    if not any(len(piece) for pieces in splits.values() for piece in pieces):
        raise UserError(f"{path} is shorter than a batch of the run: name the run's text after the checkpoint")
    for name in splits:
        require_new_file("-o", os.path.join(options.o, f"{name}.txt"), path)
    shift = 1 if checkpoint.separator else 0  # a short text with its end, instead of what is read before it
    try:
        Path(options.o).mkdir(parents=True, exist_ok=True)
        for name, pieces in splits.items():
            if size := sum(map(len, pieces)):
                target = Path(options.o, f"{name}.txt")
                parts = (encoded(text[piece.start + shift : piece.stop + shift]) for piece in pieces)
                write_atomically(b"".join(parts), target)
                log_line(f"{target}: {size} {checkpoint.vocab.unit} in {len(pieces)} pieces")
    except OSError as error:
        raise UserError(f"cannot write to {options.o}: {error.strerror or error}") from error

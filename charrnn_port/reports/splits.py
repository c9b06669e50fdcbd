"""Which characters of a text a run has trained on, validated on or kept for testing: `-split`."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from charrnn_port import datasets
from charrnn_port.checkpoints import Checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.options import OptionError, TrainOptions
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import SPLITS, pieces_of, pieces_of_files

LAYOUT = ("batch_size", "seq_length", "train_frac", "val_frac", "split_by", "val_file", "test_file")
SPLIT_OPTIONS = ("data_dir", *LAYOUT)


def run_options(checkpoint: Checkpoint, name: str) -> TrainOptions:
    """Return the options of a run about its text and splits. Raises UserError if the checkpoint has invalid ones."""
    its_options = {each: checkpoint.opt[each] for each in SPLIT_OPTIONS if each in checkpoint.opt}
    return TrainOptions.from_checkpoint(its_options, name)


def text_to_read(file: str, split: str, checkpoint: Checkpoint, name: str) -> str:
    """Return `file`, or if it is empty the path of the run's text, or of its file for this split.

    Raises OptionError if there is no split either.
    """
    if file:
        return file
    if split == "all":
        raise OptionError("FILE: no text to read: name one after the checkpoint, or - for stdin, or use -split val")
    run = run_options(checkpoint, name)
    if split == "test" and run.val_file and not run.test_file:
        raise UserError(f"the run of {name} has no test set: -val_file, which it used, needs -test_file for one")
    return {"val": run.val_file, "test": run.test_file}.get(split, "") or text_of_run(checkpoint, name)


def text_of_run(checkpoint: Checkpoint, name: str) -> str:
    """Return the path of a run's text. Raises UserError if it is not found."""
    data_dir = datasets.provide(run_options(checkpoint, name).data_dir, True, log_line)
    path = os.path.join(data_dir, "input.txt")
    if not os.path.isfile(path):
        raise UserError(f"no text at {path}, where the run of {name} read it: name the text after the checkpoint")
    return path


def pieces_of_run(checkpoint: Checkpoint, name: str, size: int) -> dict[str, list[range]]:
    """Return the pieces of a text of `size` characters that are train, val and test, split as in a run.

    In a run with files for validation and testing, each file is one split: all pieces are in each of them.
    """
    run = run_options(checkpoint, name)
    if run.val_file:
        return dict.fromkeys(SPLITS, pieces_of_files([size, 0, 0], run.batch_size, run.seq_length)["train"])
    return pieces_of(size, run.batch_size, run.seq_length, run.train_frac, run.val_frac, run.split_by)


def cut_of(checkpoints: dict[str, Checkpoint], split: str) -> Callable[[int, str], list[Sequence[int]]] | None:
    """Return a function that returns the positions of the pieces of a split; None for `all`, the text as one piece.

    It takes the number of characters of the text, and the text's name. As in training, each piece is followed by the
    target of its last prediction: the next character, or for the very last one the first of the text. So a network
    that reads each piece from the zero state has the loss that the run computed for the split. Raises OptionError if
    `checkpoints`, by their names, are of runs that split differently, and the function raises UserError if the split
    is empty.
    """
    if split == "all":
        return None
    splits = {tuple(run_options(each, name).values()[key] for key in LAYOUT) for name, each in checkpoints.items()}
    if len(splits) > 1:
        raise OptionError(f"-split {split}: these checkpoints differ in {', '.join(LAYOUT)}: name one of them")
    name, checkpoint = next(iter(checkpoints.items()))

    def cut(size: int, text: str) -> list[Sequence[int]]:
        pieces = pieces_of_run(checkpoint, name, size)
        if not any(map(len, pieces[split])):
            counts = ", ".join(f"{sum(map(len, each))} for {part}" for part, each in pieces.items())
            raise UserError(f"{text} has no characters in the {split} split ({counts}): use another -split or text")
        in_files = checkpoint.opt.get("val_file")  # where each target is in the same file
        end = size if in_files else max(piece.stop for rows in pieces.values() for piece in rows)
        return [np.append(np.array(piece), piece.stop % end) for piece in pieces[split]]

    return cut

"""Which characters of a text a run has trained on, validated on or kept for testing: `-split`."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from charrnn_port import datasets
from charrnn_port.checkpoints import Checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.options import OptionError, TrainOptions
from charrnn_port.reports.text_stream import Units
from charrnn_port.util import short_texts
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import SPLITS, pieces_of, pieces_of_files
from charrnn_port.util.short_texts import texts_in_folder

LAYOUT = ("batch_size", "seq_length", "train_frac", "val_frac", "separator", "split_by", "val_file", "test_file")
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
    """Return the path of a run's text, a folder if it is in several files. Raises UserError if it is not found."""
    data_dir = datasets.provide(run_options(checkpoint, name).data_dir, True, log_line)
    if checkpoint.separator and texts_in_folder(data_dir):
        return data_dir
    path = os.path.join(data_dir, "input.txt")
    if not os.path.isfile(path):
        raise UserError(f"no text at {path}, where the run of {name} read it: name the text after the checkpoint")
    return path


def pieces_of_run(checkpoint: Checkpoint, name: str, text: Units) -> dict[str, list[range]]:
    """Return the pieces of a text that are train, val and test, split as in a run: the positions that are read.

    In a run with files for validation and testing, each file is one split: all pieces are in each of them. In a run on
    short texts each of them is a piece; `text` must begin and end with the separator.
    """
    run, sizes = run_options(checkpoint, name), [len(text), 0, 0]
    if checkpoint.separator:
        found = texts_of(text, checkpoint.vocab.units_of(checkpoint.separator))
        spans = dict.fromkeys(SPLITS, found)
        if not run.val_file:
            spans = short_texts.split(found, run.train_frac, run.val_frac, run.split_by)
        return {split: ranges_of(each) for split, each in spans.items()}
    if run.val_file:
        return dict.fromkeys(SPLITS, pieces_of_files(sizes, run.batch_size, run.seq_length)["train"])
    return pieces_of(len(text), run.batch_size, run.seq_length, run.train_frac, run.val_frac, run.split_by)


def texts_of(text: Units, mark: Units) -> short_texts.Spans:
    """Return the texts between the separators in a text, which begins and ends with one; `mark` is the separator."""
    if isinstance(text, bytes):
        return short_texts.spans_in(np.frombuffer(text, np.uint8), mark)
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(text))}
    return short_texts.spans_in(np.array([numbers[unit] for unit in text]), [numbers[unit] for unit in mark])


def ranges_of(spans: short_texts.Spans) -> list[range]:
    """Return the positions of each text that are read."""
    return [range(start, start + steps) for start, steps in zip(*map(np.ndarray.tolist, spans), strict=True)]


def separator_of(checkpoints: dict[str, Checkpoint]) -> bytes:
    """Return the separator of the runs' texts. Raises OptionError if they have different ones."""
    separators = {each.separator for each in checkpoints.values()}
    if len(separators) > 1:
        raise OptionError("some of these checkpoints read texts with another -separator: name one of them")
    return separators.pop()


def cut_of(
    checkpoints: dict[str, Checkpoint], split: str
) -> Callable[[bytes | str, str], list[Sequence[int]]] | None:
    """Return a function that returns the positions of the pieces of a split; None for a text as one piece.

    For `all` that is every text but short ones. The function takes the text and its name. As in training, each piece is
    followed by the target of its last prediction: the next character, or for the very last one the first of the text.
    So a network that reads each piece from the zero state has the loss that the run computed for the split. Raises
    OptionError if `checkpoints`, by their names, are of runs that split differently, and the function raises UserError
    if the split is empty.
    """
    separator = separator_of(checkpoints)
    if split == "all":
        if not separator:
            return None
        mark = next(iter(checkpoints.values())).vocab.units_of(separator)
        return lambda text, name: [range(each.start, each.stop + 1) for each in ranges_of(texts_of(text, mark))]
    splits = {tuple(run_options(each, name).values()[key] for key in LAYOUT) for name, each in checkpoints.items()}
    if len(splits) > 1:
        raise OptionError(f"-split {split}: these checkpoints differ in {', '.join(LAYOUT)}: name one of them")
    name, checkpoint = next(iter(checkpoints.items()))

    def cut(content: Units, text: str) -> list[Sequence[int]]:
        pieces = pieces_of_run(checkpoint, name, content)
        if not any(map(len, pieces[split])):
            counts = ", ".join(f"{sum(map(len, each))} for {part}" for part, each in pieces.items())
            raise UserError(f"{text} has no characters in the {split} split ({counts}): use another -split or text")
        if checkpoint.separator or checkpoint.opt.get("val_file"):  # each target is in the same text or file
            return [range(piece.start, piece.stop + 1) for piece in pieces[split]]
        end = max(piece.stop for rows in pieces.values() for piece in rows)
        return [np.append(np.array(piece), piece.stop % end) for piece in pieces[split]]

    return cut

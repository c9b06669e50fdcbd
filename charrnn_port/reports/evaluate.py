"""`charrnn evaluate`: measure the loss and accuracy of a network on a text, in batches as training does."""

import json
import math
from collections.abc import Iterator

import click
import numpy as np
import torch
from torch import Tensor

from charrnn_port import datasets
from charrnn_port.checkpoints import Checkpoint, load_checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.device import choose_device, choose_dtype, require_torch7
from charrnn_port.model import fastest_backend
from charrnn_port.model.char_rnn import CharRNN, add_up, carry, reset
from charrnn_port.options import EvaluateOptions, TrainOptions
from charrnn_port.reports.printing import jsonable, print_table
from charrnn_port.reports.splits import SPLIT_OPTIONS, run_options
from charrnn_port.torch7.strfmt import lua_format
from charrnn_port.util import progress
from charrnn_port.util.errors import UserError
from charrnn_port.util.minibatch_loader import MinibatchLoader, pieces_of
from charrnn_port.util.vocabulary import Vocabulary, readable

# Of numbers in the table, as in train.py's lines. JSON has all digits.
FORMATS = {"nats_per_character": ".8f", "bits_per_character": ".8f", "bits_per_byte": ".8f", "accuracy": ".8f"}
FORMATS |= {"recorded_val_loss": ".8f", "epoch": ".3f"}
SPLITS = {"train": 1, "val": 2, "test": 3, "all": 1}


def evaluate(options: EvaluateOptions) -> None:
    """Print a table, or a JSON object with -json.

    Raises UserError if the text is not found, its split is empty, it has a character that is not in the network's
    vocabulary, or the device does not support the data type or the log-softmax.
    """
    device = choose_device(options.gpuid, False, log_line)
    saved = load_checkpoint(options.model, log_line)
    run = options_of_run(saved, options)
    dtype = choose_dtype(run.dtype, device)
    require_torch7(run.torch7, device)
    loader = load_text(run, options.split, saved.vocab)
    known = known_ids(saved.vocab, loader.vocab, run.data_dir)
    trained_text, held_out = (saved.progress or {}).get("text"), options.split in ("val", "test")
    if trained_text not in (None, loader.digest):
        log_line(f"the text in {run.data_dir} differs from the text that the run was trained on")
    elif trained_text and held_out and (share := share_trained_on(saved, options.model, loader, options.split)):
        log_line(
            f"{100 * share:.0f} % of this {options.split} split was trained on, since another -batch_size or "
            "-seq_length splits the text elsewhere: `charrnn split` writes the run's own splits to files"
        )
    cell = fastest_backend(saved.opt["model"], dtype, device) if options.cell == "auto" else options.cell
    network = saved.build(cell, dtype, device, run.torch7)
    network.padded = loader.padded

    loss, right, size, count = 0.0, 0, 0, loader.split_sizes[SPLITS[options.split]]
    batches = scores(network, loader, SPLITS[options.split], known)
    with progress.bars():
        for losses, its_right, its_bytes in progress.track(batches, "evaluating", count):
            loss = add_up(losses, loss)  # the order of summation in training, for the same last digit
            right, size = right + its_right, size + its_bytes
    characters = loader.targets(SPLITS[options.split])
    places = count * loader.batch_size * loader.seq_length  # more than characters if there is padding
    nats = loss / loader.seq_length / count * (places / characters)
    result = {
        "nats_per_character": nats,
        "bits_per_character": nats / math.log(2),
        # With -val_file and -min_count, the text's own vocabulary has an unknown symbol, whose bytes are not known.
        **({"bits_per_byte": nats * characters / math.log(2) / size} if loader.vocab.unknown is None else {}),
        "accuracy": right / characters,
        "characters": characters,
        "split": options.split,
        "data_dir": run.data_dir,
        "batch_size": run.batch_size,
        "seq_length": run.seq_length,
        "dtype": run.dtype,
        "torch7": run.torch7,
        "iteration": saved.i,
        "epoch": saved.epoch,
        "recorded_val_loss": saved.val_loss,
    }
    if options.json:
        click.echo(json.dumps(jsonable(result), indent=2, allow_nan=False))
    else:
        print_table(result | {name: lua_format(result[name], FORMATS[name]) for name in FORMATS if name in result})


def options_of_run(saved: Checkpoint, options: EvaluateOptions) -> TrainOptions:
    """Return the run's text, batch shape, splits, data type and log-softmax, with the user's options in their place.

    Raises UserError if the checkpoint has invalid values for these.
    """
    names = (*SPLIT_OPTIONS, "torch7")  # others are ignored
    values = {name: saved.opt[name] for name in names if name in saved.opt}
    if options.split == "all" or options.data_dir:  # another text is split by the fractions
        values |= {"val_file": "", "test_file": ""}
    if options.split == "all":
        values |= {"train_frac": 1.0, "val_frac": 0.0}
    if values.get("val_file"):  # which may have characters that only the unknown symbol stands for
        values["min_count"] = saved.opt.get("min_count", 1)
    values["encoding"] = saved.vocab.encoding
    if "vocab_size" in saved.opt:
        values["vocab_size"] = saved.opt["vocab_size"]
    values["dtype"] = str(saved.params.dtype).removeprefix("torch.")
    wanted = {name: getattr(options, name) for name in ("data_dir", "batch_size", "seq_length")}
    wanted |= {name: getattr(options, name).replace("auto", "") for name in ("dtype", "torch7")}
    return TrainOptions.from_checkpoint(
        values | {name: value for name, value in wanted.items() if value}, options.model
    )


def load_text(run: TrainOptions, split: str, vocab: Vocabulary) -> MinibatchLoader:
    """Return a loader of the text's batches, for a network with this vocabulary.

    Raises UserError if the text is not found or the split is empty.
    """
    data_dir = datasets.provide(run.data_dir, True, log_line)
    loader = datasets.load(run, data_dir, vocab=vocab)
    if not loader.split_sizes[SPLITS[split]]:
        raise UserError(
            f"no batches in the {split} split: of {loader.nbatches} in {data_dir} {loader.ntrain} are for training, "
            f"{loader.nval} for validation and {loader.ntest} for testing; take another -split"
        )
    return loader


def share_trained_on(saved: Checkpoint, name: str, loader: MinibatchLoader, split: str) -> float:
    """Return the share of a split that the run trained on, of the same text in batches of another shape."""
    run = run_options(saved, name)
    if run.val_file or saved.separator:  # these do not split by batches
        return 0.0
    trained_on = np.zeros(loader.size, bool)
    layout = run.batch_size, run.seq_length, run.train_frac, run.val_frac, run.split_by
    for piece in pieces_of(loader.size, *layout)["train"]:
        trained_on[piece.start : piece.stop] = True
    return float(np.mean([trained_on[piece.start : piece.stop].mean() for piece in loader.pieces[split]]))


def known_ids(network: Vocabulary, text: Vocabulary, data_dir: str) -> Tensor:
    """Return the network's id for each id of a text, `[vocab_size]` int64.

    Raises UserError for a character that is not in the network's vocabulary.
    """
    ids = dict(text.shared(network))
    unknown = [symbol for id_, symbol in enumerate(text.symbols) if id_ not in ids]
    if unknown and network.unknown is None:
        raise UserError(
            f"the text in {data_dir} has {readable([min(unknown)], 0)}, which is not in the vocabulary of the network: "
            "use another text, or remove this character from it"
        )
    return torch.tensor([ids.get(id_, network.unknown) for id_ in range(len(text))], device="cpu")


@torch.no_grad()
def scores(network: CharRNN, loader: MinibatchLoader, split: int, known: Tensor) -> Iterator[tuple[Tensor, int, int]]:
    """Yield for each batch the losses of its time steps `[T]`, in nats per character, the number of characters for
    which the most likely prediction was correct, and the number of bytes of all of them.

    As in training, a split begins with a zero state, which is carried from batch to batch, and there is no dropout.
    """
    device = network.params.device
    state = network.zero_state(loader.batch_size)
    widths = torch.tensor(loader.vocab.widths())
    for _ in range(loader.split_sizes[split]):
        x, y = map(torch.from_numpy, loader.next_batch(split))
        size = widths[y[y >= 0]].sum().item()
        x, y = (torch.where(ids < 0, ids, known[ids.clamp(min=0)]).to(device) for ids in (x, y))
        if loader.begins is not None:
            reset(state, torch.from_numpy(loader.begins).to(device))
        log_probs, final = network.log_probs(x, state)
        carry(final, state)
        yield network.step_losses(log_probs, y), (log_probs.argmax(2) == y).sum().item(), size

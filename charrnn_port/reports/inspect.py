"""`charrnn inspect`: print the contents of a checkpoint."""

import json
import math
import shutil
import sys

import click

from charrnn_port.checkpoints import load_checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.options import InspectOptions
from charrnn_port.reports.printing import jsonable, print_table
from charrnn_port.reports.text_stream import characters_of

HEIGHT = 8  # lines of the curve
SIGNS, ASCII = "•│└─", "*|+-"


def inspect(options: InspectOptions) -> None:
    """Print a table, or a JSON object with -json."""
    saved = load_checkpoint(options.file, log_line)
    summary = {
        "model": saved.opt["model"],
        "parameters": saved.params.numel(),
        **({"not_finite": saved.not_finite} if saved.not_finite else {}),  # NaN or infinite
        "dtype": str(saved.params.dtype).removeprefix("torch."),
        "fingerprint": saved.fingerprint,
        "encoding": saved.vocab.encoding,
        "vocab_size": len(saved.vocab),
        "iteration": saved.i,
        "epoch": saved.epoch,
        "val_loss": saved.val_loss,
    }
    opts, val_losses = dict(sorted(saved.opt.items())), dict(sorted(saved.val_losses.items()))
    if options.json:
        symbols = saved.vocab.symbols if saved.vocab.encoding != "bpe" else characters_of(list(saved.vocab.symbols))
        rest = {
            "vocab": [*symbols, *([] if saved.vocab.unknown is None else [None])],  # null = unknown
            "opt": opts,
            "val_losses": val_losses,
            "train_losses": saved.train_losses,
            "version": saved.version or None,
            "progress": small_parts(saved.progress),
        }
        click.echo(json.dumps(jsonable(summary | rest), indent=2, allow_nan=False))
        return
    print_table(summary)
    click.echo("opt:")
    print_table(opts)
    click.echo("val losses:")
    print_table(val_losses)
    if sys.stdout.isatty():
        for line in curve(val_losses, min(shutil.get_terminal_size().columns, 80), sys.stdout.encoding):
            click.echo(line)


def small_parts(progress: dict | None) -> dict | None:
    """Return the state that a run resumes from, without tensors and random generator words."""
    if progress is None:
        return None
    parts = {
        part: {name: value for name, value in progress[part].items() if isinstance(value, int | float)}
        for part in ("optimizer", "schedule")
    }
    return parts | {name: progress.get(name) for name in ("text", "unfinished")}


def curve(losses: dict[int, float], width: int, encoding: str) -> list[str]:
    """Return a plot of losses by iteration, as lines of at most `width` characters.

    Returns no lines for fewer than two finite losses, or where `width` is too small.
    """
    known = {i: loss for i, loss in losses.items() if math.isfinite(loss)}
    columns = width - 12
    if len(known) < 2 or columns < 12:
        return []
    try:
        point, side, corner, bottom = SIGNS.encode(encoding).decode(encoding)
    except UnicodeError:
        point, side, corner, bottom = ASCII
    first, last, low, high = min(known), max(known), min(known.values()), max(known.values())
    picture = [[" "] * columns for _ in range(HEIGHT)]
    for i, loss in known.items():
        row = round((high - loss) / (high - low or 1) * (HEIGHT - 1))
        picture[row][round((i - first) / (last - first) * (columns - 1))] = point
    names = [f"{high:.4f}", *[""] * (HEIGHT - 2), f"{low:.4f}"]
    rows = [f"  {name:>8} {side}{''.join(row)}".rstrip() for name, row in zip(names, picture, strict=True)]
    return [*rows, f"{'':11}{corner}{bottom * columns}", f"{'':12}{first}{last:>{columns - len(str(first))}}"]

"""`charrnn inspect`: what is in a checkpoint."""

import json
import math

import click

from charrnn_port.checkpoints import load_checkpoint
from charrnn_port.command_line import tell
from charrnn_port.options import InspectOptions


def inspect(options: InspectOptions) -> None:
    """Print a table, or with -json an object."""
    saved = load_checkpoint(options.file, tell)
    summary = {
        "model": saved.opt["model"],
        "parameters": saved.params.numel(),
        "dtype": str(saved.params.dtype).removeprefix("torch."),
        "vocab_size": len(saved.vocab),
        "iteration": saved.i,
        "epoch": saved.epoch,
        "val_loss": saved.val_loss,
    }
    opts, val_losses = dict(sorted(saved.opt.items())), dict(sorted(saved.val_losses.items()))
    if options.json:
        rest = {
            "vocab": list(saved.vocab.symbols),
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


def small_parts(progress: dict | None) -> dict | None:
    """What a run goes on from, without tensors and random words."""
    if progress is None:
        return None
    parts = {
        part: {name: value for name, value in progress[part].items() if isinstance(value, int | float)}
        for part in ("optimizer", "schedule")
    }
    return parts | {name: progress.get(name) for name in ("text", "unfinished")}


def jsonable(value: object) -> object:
    """The same with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {name if isinstance(name, int) else str(name): jsonable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [jsonable(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(values: dict) -> None:
    """A line for each value."""
    for line in (f"{name} : {value}" for name, value in values.items()):
        click.echo(f"  {line if line.isprintable() else ascii(line)}")  # else a terminal might obey it

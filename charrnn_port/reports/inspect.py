"""`charrnn inspect`: what is in a checkpoint."""

import json

import click

from charrnn_port.checkpoints import load_checkpoint
from charrnn_port.options import InspectOptions


def inspect(options: InspectOptions) -> None:
    """Print a table, or with -json an object."""
    saved = load_checkpoint(options.file)
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
        rest = {"vocab": list(saved.vocab.symbols), "opt": opts, "val_losses": val_losses}
        click.echo(json.dumps(summary | rest, indent=2))
        return
    print_table(summary)
    click.echo("opt:")
    print_table(opts)
    click.echo("val losses:")
    print_table(val_losses)


def print_table(values: dict) -> None:
    """A line for each value."""
    for name, value in values.items():
        click.echo(f"  {name} : {value}")

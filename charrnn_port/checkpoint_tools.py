"""`python -m charrnn_port inspect` and `convert`: what is in a checkpoint, and from one format to the other."""

import json
from types import SimpleNamespace

import click

from charrnn_port import checkpoint
from charrnn_port.command_line import argument, command, flag, options
from util.errors import UserError


@command(example="python -m charrnn_port inspect lm_lstm_epoch30.00_1.3950.t7")
@argument("FILE")
@options("result", flag("-json", "print all of it as JSON, for programs"))
def inspect(opt: SimpleNamespace) -> None:
    """Show what is in a checkpoint, of train.py or of the Lua original."""
    saved = checkpoint.load(opt.file)
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
    if opt.json:
        click.echo(json.dumps(summary | {"vocab": list(saved.vocab), "opt": opts, "val_losses": val_losses}, indent=2))
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


@command(example="python -m charrnn_port convert lm_lstm_epoch30.00_1.3950.t7 lm_lstm.t7.pt")
@argument("IN")
@argument("OUT")
def convert(opt: SimpleNamespace) -> None:
    """Write a checkpoint in the other format: OUT ends in .t7 for the Lua original, in .t7.pt for this port."""
    if not opt.out.endswith((".t7", ".t7.pt")):
        raise UserError(f"{opt.out} tells no format: let it end in .t7 (Lua original) or .t7.pt (this port)")
    checkpoint.save(checkpoint.load(getattr(opt, "in")), opt.out)
    click.echo(f"saving checkpoint to {opt.out}")

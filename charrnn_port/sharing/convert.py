"""`charrnn convert`: from one format of checkpoints to the other."""

import click

from charrnn_port.checkpoints import load_checkpoint, save_checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.options import ConvertOptions
from charrnn_port.util.errors import UserError


def convert(options: ConvertOptions) -> None:
    """Write a checkpoint in the format that the target's name ends in. Raises UserError where it tells none."""
    if not options.target.endswith((".t7", ".t7.pt", ".safetensors")):
        raise UserError(
            f"{options.target} tells no format: let it end in .t7 (Lua original), .t7.pt (this port) or .safetensors"
        )
    save_checkpoint(load_checkpoint(options.source, log_line), options.target)
    click.echo(f"saving checkpoint to {options.target}")

"""`charrnn convert`: convert a checkpoint to another checkpoint format."""

from charrnn_port.checkpoints import load_checkpoint, save_checkpoint
from charrnn_port.command_line import log_line, log_written
from charrnn_port.options import ConvertOptions
from charrnn_port.util.errors import UserError


def convert(options: ConvertOptions) -> None:
    """Write a checkpoint in the format given by the extension of the target.

    Raises UserError for an unknown extension, and where the source cannot be read or the target cannot be written.
    """
    if not options.target.lower().endswith((".t7", ".t7.pt", ".safetensors")):
        raise UserError(
            f"{options.target}: unknown format; use one of .t7 (Lua original), .t7.pt (this port) or .safetensors"
        )
    checkpoint = load_checkpoint(options.source, log_line)
    checkpoint.require_finite()
    save_checkpoint(checkpoint, options.target)
    log_written(options.target)

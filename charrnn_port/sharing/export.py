"""`charrnn export`: a network as a file that others can use without this program."""

from collections.abc import Callable

import click

from charrnn_port.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.options import ExportOptions
from charrnn_port.sharing.module import write_module
from charrnn_port.sharing.onnx_graph import write_onnx
from charrnn_port.sharing.page import write_page
from charrnn_port.sharing.program import write_program, write_script
from charrnn_port.util.errors import UserError


def write_safetensors(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write a checkpoint. Raises UserError where that fails, or another precision than its own is asked for."""
    if options.weights != "float64":
        raise UserError(
            f"-weights {options.weights}: a .safetensors has the checkpoint's own precision, so leave it out"
        )
    save_checkpoint(checkpoint, options.target)


# By what the file's name ends in. Each writes the file, and whatever belongs beside it.
FORMATS: dict[str, Callable[[Checkpoint, ExportOptions], None]] = {
    ".html": write_page,
    ".mjs": write_module,
    ".onnx": write_onnx,
    ".pt2": write_program,
    ".torchscript": write_script,
    ".safetensors": write_safetensors,
}


def export(options: ExportOptions) -> None:
    """Write a checkpoint in the format that the target's name ends in. Raises UserError where it tells none."""
    ending = next((each for each in FORMATS if options.target.endswith(each)), None)
    if ending is None:
        raise UserError(f"{options.target} tells no format: let it end in {', '.join(FORMATS)}")
    FORMATS[ending](load_checkpoint(options.checkpoint, log_line), options)
    click.echo(f"the network is in {options.target}")

"""`charrnn export`: export a network to a file that can be used without this package."""

from collections.abc import Callable

from charrnn_port.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from charrnn_port.command_line import log_line, log_written
from charrnn_port.options import ExportOptions
from charrnn_port.sharing.hub_folder import write_folder
from charrnn_port.sharing.module import write_module
from charrnn_port.sharing.onnx_graph import write_onnx
from charrnn_port.sharing.page import write_page
from charrnn_port.sharing.program import write_program, write_script
from charrnn_port.util.errors import UserError


def write_safetensors(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write a checkpoint as safetensors. Raises UserError for -weights, and where the file cannot be written."""
    if options.weights != "float64":
        raise UserError(
            f"-weights {options.weights} is not supported for .safetensors, which keeps the checkpoint's precision: "
            "omit it"
        )
    save_checkpoint(checkpoint, options.target)


# The writer for each file extension. It writes the file and any companion files.
FORMATS: dict[str, Callable[[Checkpoint, ExportOptions], None]] = {
    ".html": write_page,
    ".mjs": write_module,
    ".onnx": write_onnx,
    ".pt2": write_program,
    ".torchscript": write_script,
    ".safetensors": write_safetensors,
    "/": write_folder,
}


def export(options: ExportOptions) -> None:
    """Export a checkpoint in the format given by the extension of the target, or to a folder if it ends with a slash.

    Raises UserError for an unknown extension, and where the source cannot be read or the target cannot be written.
    """
    ending = next((each for each in FORMATS if options.target.lower().endswith(each)), None)
    if ending is None:
        raise UserError(f"{options.target}: unknown format; the name must end in {', '.join(FORMATS)} (a folder)")
    for name in ("title", "description"):
        if getattr(options, name) and ending not in (".html", "/"):
            raise UserError(f"-{name} is not supported for {ending}, which is no page: omit it")
    checkpoint = load_checkpoint(options.checkpoint, log_line)
    checkpoint.require_finite()
    if not checkpoint.vocab.of_characters and ending in (".html", ".mjs"):
        kind = checkpoint.vocab.kind
        raise UserError(f"{options.target}: the page and the module read characters, not {kind}: use another format")
    FORMATS[ending](checkpoint, options)
    if checkpoint.separator and ending in (".onnx", ".pt2", ".torchscript"):
        mark = checkpoint.opt["separator"]
        log_line(f"the file holds one time step: read the last character of {mark} first, and end a text at {mark}")
    log_written(options.target)

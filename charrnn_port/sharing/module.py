"""`charrnn export CHECKPOINT model.mjs`: write an ES module and its TypeScript declarations."""

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import ExportOptions
from charrnn_port.sharing.web import SAMPLING, network_json, scripts, source
from charrnn_port.util.files import write_atomically


def write_module(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write NAME.mjs and its TypeScript declarations, NAME.d.mts. Raises UserError where they cannot be written."""
    network = f"const NETWORK = {network_json(checkpoint, options.weights)};\n"
    write_atomically(f"{scripts(*SAMPLING)}\n{network}\n{source('module.js')}".encode(), options.target)
    write_atomically(source("module.d.ts").encode(), options.target[: -len(".mjs")] + ".d.mts")

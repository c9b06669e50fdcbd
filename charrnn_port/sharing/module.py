"""`charrnn export CHECKPOINT model.mjs`: an ES module, and its types beside it."""

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import ExportOptions
from charrnn_port.sharing.web import SAMPLING, network_json, scripts, source, write_text


def write_module(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write NAME.mjs and NAME.d.mts, by which TypeScript knows it."""
    network = f"const NETWORK = {network_json(checkpoint, options.weights)};\n"
    write_text(f"{scripts(*SAMPLING)}\n{network}\n{source('module.js')}", options.target)
    write_text(source("module.d.ts"), options.target.removesuffix(".mjs") + ".d.mts")

"""`charrnn export CHECKPOINT page.html`: a page that samples, in one file."""

import math
import re
from pathlib import Path

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import ExportOptions
from charrnn_port.sharing.web import SAMPLING, network_json, scripts, source
from charrnn_port.version import __version__
from util.files import write_whole


def write_page(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write web/page.html with what its {{...}} stand for in it."""
    facts = {
        "name": Path(options.checkpoint).name,
        "parameters": checkpoint.params.numel(),
        "iteration": checkpoint.i,
        "epoch": round(checkpoint.epoch, 2) if math.isfinite(checkpoint.epoch) else None,
        "val_loss": checkpoint.val_loss if math.isfinite(checkpoint.val_loss) else None,
        "made_by": __version__,
    }
    parts = {
        "page.css": source("page.css"),
        "worker": scripts(*SAMPLING, "worker.js"),
        "page.js": scripts("vocabulary.js", "page.js"),
        "network": network_json(checkpoint, options.weights, **facts),
    }
    page = re.sub(r"\{\{(.+?)\}\}", lambda found: parts[found[1]], source("page.html"))
    write_whole(page.encode(), options.target)

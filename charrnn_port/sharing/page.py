"""`charrnn export CHECKPOINT page.html`: a page that samples, in one file."""

import re
from pathlib import Path

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import ExportOptions
from charrnn_port.sharing.web import SAMPLING, network_json, scripts, source, write_text


def write_page(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write web/page.html with what its {{...}} stand for in it."""
    parts = {
        "page.css": source("page.css"),
        "worker": scripts(*SAMPLING, "worker.js"),
        "page.js": scripts("vocabulary.js", "page.js"),
        "network": network_json(checkpoint, options.weights),
    }
    page = re.sub(r"\{\{(.+?)\}\}", lambda found: parts[found[1]], source("page.html"))
    write_text(page, options.target)

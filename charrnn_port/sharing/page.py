"""`charrnn export CHECKPOINT page.html`: write a self-contained HTML page that samples from the network."""

import html
import math
from pathlib import Path

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import ExportOptions
from charrnn_port.sharing.web import SAMPLING, network_json, page, scripts, source
from charrnn_port.util.files import write_atomically
from charrnn_port.version import __version__

TITLE = "Text from a character-level RNN"
POLICY = """<!-- This page makes no network requests, and this policy forbids them. -->
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; worker-src blob:">"""
SCRIPTS = """<script id="network" type="application/json">{network}</script>
<script id="worker" type="text/plain">
{worker}
</script>
<script type="module">
{page}
</script>"""


def write_page(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write the page with the network in it. Raises UserError where the file cannot be written."""
    facts = {
        "name": Path(options.checkpoint).name,
        "parameters": checkpoint.params.numel(),
        "iteration": checkpoint.i,
        "epoch": round(checkpoint.epoch, 2) if math.isfinite(checkpoint.epoch) else None,
        "val_loss": checkpoint.val_loss if math.isfinite(checkpoint.val_loss) else None,
        "made_by": __version__,
    }
    content = page(
        policy=POLICY,
        title=html.escape(options.title or TITLE),
        description=html.escape(options.description or TITLE),
        introduction=html.escape(options.description),
        networks="",
        clamp=source("clamp.html"),
        coldest="0.05",
        shortest="0",
        hint="Length 0 means no limit. ",
        pause="Pause",
        scripts=SCRIPTS.format(
            network=network_json(checkpoint, options.weights, **facts),
            worker=scripts(*SAMPLING, "worker.js"),
            page=scripts("vocabulary.js", "clamp.js", "alternatives.js", "controls.js", "page.js"),
        ),
    )
    write_atomically(content.encode(), options.target)

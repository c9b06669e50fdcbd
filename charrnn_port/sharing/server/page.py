"""The web page of the server: the page of `charrnn export`, which requests texts from the server."""

from pathlib import Path

from charrnn_port.sharing.web import page, scripts

FOLDER = Path(__file__).parent
# The page runs only its own inline script, and connects only to its own server.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"


def server_page() -> str:
    """Return the page as HTML."""
    script = scripts("controls.js") + FOLDER.joinpath("page.js").read_text(encoding="utf-8")
    return page(
        policy="",  # it is sent as a header of the response
        title="Text from character-level RNNs",
        networks=FOLDER.joinpath("networks.html").read_text(encoding="utf-8"),
        coldest="0",
        shortest="1",
        filter="Top-p",
        filtered='min="0.01" max="1" step="0.01" value="1"',
        hint="Top-p (nucleus) samples from the smallest set of characters whose probabilities add up to p.",
        pause="Stop",
        scripts=f'<script>\n"use strict";\n{script}</script>',
    )

"""The page to try the models on: that of `charrnn export`, with the server in place of a network."""

from pathlib import Path

from charrnn_port.sharing.web import page, scripts

FOLDER = Path(__file__).parent
# It runs no script but its own, and asks nobody but its server.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"


def server_page() -> str:
    """In HTML."""
    script = scripts("controls.js") + FOLDER.joinpath("page.js").read_text(encoding="utf-8")
    return page(
        policy="",  # which is among the headers of the answer
        title="Networks that write",
        networks=FOLDER.joinpath("networks.html").read_text(encoding="utf-8"),
        coldest="0",
        shortest="1",
        filter="Top-p",
        filtered='min="0.01" max="1" step="0.01" value="1"',
        hint="Top-p draws from the fewest likeliest characters that have so much probability together.",
        pause="Stop",
        scripts=f'<script>\n"use strict";\n{script}</script>',
    )

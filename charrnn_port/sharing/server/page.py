"""The web page of the server: the page of `charrnn export`, which requests texts from the server."""

from pathlib import Path

from charrnn_port.sharing.web import page, scripts

TITLE = "Text from character-level RNNs"
FOLDER = Path(__file__).parent
# The page runs only its own inline script, and connects only to its own server.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"


def server_page() -> str:
    """Return the page as HTML."""
    script = scripts("alternatives.js", "controls.js") + FOLDER.joinpath("page.js").read_text(encoding="utf-8")
    return page(
        policy="",  # it is sent as a header of the response
        title=TITLE,
        description=TITLE,
        introduction="Recurrent neural networks trained to predict the next character of a text.",
        networks=FOLDER.joinpath("networks.html").read_text(encoding="utf-8"),
        clamp="",
        coldest="0",
        shortest="1",
        hint="",
        pause="Stop",
        scripts=f'<script>\n"use strict";\n{script}</script>',
    )

"""`charrnn lesson FILE.html`: write a self-contained HTML page that trains a network in the browser, for lessons."""

import base64
import html
import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import charrnn_port.model
from charrnn_port.command_line import log_written
from charrnn_port.options import LessonOptions
from charrnn_port.sharing.page import POLICY
from charrnn_port.sharing.web import filled, scripts, source
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import write_atomically
from charrnn_port.version import __version__

PLAY = files("charrnn_port") / "reports/verify/recordings/play/input.txt"  # the text of the recorded runs, free to use
SHORTEST = 2000  # bytes
# The scripts of the worker and of the page, from lesson/ where nothing else is said; tables() comes before them.
WORKER = ("fused", "libm", "product", "layer", "cells", "network", "batches", "training", "text", "worker")
PAGE = ("chart", "text_view", "step_view", "page")
SCRIPTS = """<script id="text-data" type="application/json">{text}</script>
<script id="worker" type="text/plain">
{worker}
</script>
<script type="module">
{page}
</script>"""


def write_lesson(options: LessonOptions) -> None:
    """Write the page with a text in it. Raises UserError where the text cannot be read, or the file not be written."""
    if not options.target.endswith(".html"):
        raise UserError(f"{options.target}: a lesson is a web page; choose a name that ends in .html")
    text, name = text_of(options.text)
    data = {"text": base64.b64encode(text).decode(), "name": name, "bytes": len(text), "made_by": __version__}
    content = filled(
        "../lesson/page.html",
        policy=POLICY,
        style=source("page.css") + source("../lesson/page.css"),
        name=html.escape(name),
        scripts=SCRIPTS.format(
            text=json.dumps(data).replace("<", r"\u003c"),
            worker=worker_script(),
            page=scripts(*(f"../lesson/{each}.js" for each in PAGE)),
        ),
    )
    write_atomically(content.encode(), options.target)
    log_written(options.target)


def text_of(path: str) -> tuple[bytes, str]:
    """Return the bytes of a text and its name; "" is a play of 200,000 bytes. Raises UserError if it is too short."""
    if not path:
        return PLAY.read_bytes(), "a play"
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"-text {path}: {error.strerror}") from error
    if len(text) < SHORTEST:
        raise UserError(f"-text {path}: {len(text)} bytes are too few to learn from; use at least {SHORTEST}")
    return text, Path(path).name


def worker_script() -> str:
    """Return the script that trains, without any imports."""
    shared = scripts("random.js", "samplers.js")
    return f"const TABLES = {json.dumps(tables())};\n{shared}{scripts(*(f'../lesson/{each}.js' for each in WORKER))}"


def tables() -> dict[str, list[str | float]]:
    """Return the tables of model/libm_tables.h: 64-bit integers as text, and doubles."""
    header = (files(charrnn_port.model) / "libm_tables.h").read_text()
    found = re.findall(r"(uint64_t|double) (\w+)\[128\] = \{(.*?)\}", header, re.DOTALL)
    read: dict[str, Callable[[str], str | float]] = {
        "uint64_t": lambda word: str(int(word, 16)),
        "double": float.fromhex,
    }
    return {name: [read[kind](word) for word in re.findall(r"[^\s,]+", numbers)] for kind, name, numbers in found}

"""What pages and a module share: their sources, the JavaScript that samples, and the network as it reads it."""

import base64
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import torch

from charrnn_port.checkpoints import Checkpoint, metadata
from charrnn_port.util.errors import UserError

FOLDER = Path(__file__).with_name("web")
# What samples, each after those that it imports from.
SAMPLING = (
    "activations.js",
    "matrix.js",
    "cells.js",
    "network.js",
    "vocabulary.js",
    "random.js",
    "samplers.js",
    "text.js",
)
LINKS = re.compile(r"^import .*\n|^export (?=const|class|function)", re.MULTILINE)


@cache
def source(name: str) -> str:
    """A file of web/."""
    return FOLDER.joinpath(name).read_text(encoding="utf-8")


def scripts(*names: str) -> str:
    """Modules of web/ as one script: in one scope they need no imports and exports."""
    return "\n".join(LINKS.sub("", source(name)).strip() + "\n" for name in names)


def page(**parts: str) -> str:
    """web/page.html with what each {{name}} stands for in it."""
    parts["style"] = source("page.css")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], source("page.html"))


def network_json(checkpoint: Checkpoint, weights: str, **facts: str | int | float | None) -> str:
    """All that the JavaScript has to know of a network, and `facts` for a page to tell.

    `weights` is the type that they are rounded to. Raises UserError where they are too large for it.
    """
    opt = checkpoint.opt
    values = {
        "cell": opt["model"],
        "rnn_size": opt["rnn_size"],
        "num_layers": opt["num_layers"],
        "vocab": metadata(checkpoint)["vocab"],
        "precision": weights,
        "drawn_from": checkpoint.sampling_dtype,
        "facts": facts,
        "weights": base64.b64encode(rounded(arrays(checkpoint), weights).tobytes()).decode(),
    }
    # A page has it in an element <script>, which must not end before its end.
    return json.dumps(values, allow_nan=False).replace("<", r"\u003c")


def arrays(checkpoint: Checkpoint) -> np.ndarray:
    """All weights `[n]`, float64, each array row-major, in the order in which network.js takes them.

    For each layer its input weights and biases, which in the first are a row `[n]` for each character and have the
    biases in them, and h2h; then the decoder's. The sums are those of charrnn_port/sampling/model.py, to the bit.
    """
    network = checkpoint.build("fused", torch.float64)
    first, *above = network.weights()
    parts = [first.rows + first.i2h_bias + first.h2h_bias, first.h2h]
    for layer in above:
        parts += [layer.i2h, layer.i2h_bias + layer.h2h_bias, layer.h2h]
    parts += [network.decoder["weight"], network.decoder["bias"]]
    return torch.cat([part.detach().reshape(-1) for part in parts]).numpy()


def rounded(numbers: np.ndarray, kind: str) -> np.ndarray:
    """Numbers in another precision, least significant byte first. Raises UserError where one becomes infinite."""
    with np.errstate(over="ignore"):
        result = numbers.astype(np.dtype(kind).newbyteorder("<"))
    if (np.isfinite(result) != np.isfinite(numbers)).any():
        raise UserError(f"-weights {kind}: a weight of this network is {np.abs(numbers).max():.3g}, too large for that")
    return result

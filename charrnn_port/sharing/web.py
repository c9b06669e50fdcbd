"""Sources shared by the HTML pages and the JavaScript module: templates, sampling scripts, and the network as JSON."""

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
# The scripts that sample, each after the ones that it imports.
SAMPLING = (
    "activations.js",
    "matrix.js",
    "cells.js",
    "network.js",
    "clamp.js",
    "vocabulary.js",
    "random.js",
    "samplers.js",
    "text.js",
)
LINKS = re.compile(r"^import .*\n|^export (?=const|class|function)", re.MULTILINE)


@cache
def source(name: str) -> str:
    """Return the text of a file in web/, or beside it: ../lesson/page.js."""
    return FOLDER.joinpath(name).read_text(encoding="utf-8")


def scripts(*names: str) -> str:
    """Join modules of web/ into one script. Their imports and exports are removed, since they share one scope."""
    return "\n".join(LINKS.sub("", source(name)).strip() + "\n" for name in names)


def page(**parts: str) -> str:
    """Return web/page.html with its style, and each {{name}} replaced by the argument of that name."""
    return filled("page.html", style=source("page.css"), **parts)


def filled(template: str, **parts: str) -> str:
    """Return a template with each {{name}} replaced by the argument of that name."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], source(template))


def network_json(checkpoint: Checkpoint, weights: str, **facts: str | int | float | None) -> str:
    """Return the network as JSON for the JavaScript, with `facts` for a page to display.

    `weights` is the dtype that the weights are rounded to. Raises UserError where one of them is out of its range.
    """
    opt = checkpoint.opt
    values = {
        "cell": opt["model"],
        "rnn_size": opt["rnn_size"],
        "num_layers": opt["num_layers"],
        "vocab": metadata(checkpoint)["vocab"],
        "separator": checkpoint.vocab.encode(checkpoint.separator, "the separator"),
        "precision": weights,
        "drawn_from": checkpoint.sampling_dtype,
        "facts": facts,
        "weights": base64.b64encode(rounded(arrays(checkpoint), weights).tobytes()).decode(),
    }
    # A page embeds this in a <script> element, which the string "</script>" in a value would close too early.
    return json.dumps(values, allow_nan=False).replace("<", r"\u003c")


def arrays(checkpoint: Checkpoint) -> np.ndarray:
    """Return all weights as one float64 array, each matrix row-major, in the order in which network.js reads them.

    First layer: the pre-activations `[vocab_size, n]` of each character, biases included, then h2h. Other layers: i2h,
    the sum of the biases, h2h. Last the decoder's weight and bias. The sums are bitwise those of
    charrnn_port/sampling/model.py.
    """
    network = checkpoint.build("fused", torch.float64)
    first, *above = network.weights()
    parts = [first.rows + first.i2h_bias + first.h2h_bias, first.h2h]
    for layer in above:
        parts += [layer.i2h, layer.i2h_bias + layer.h2h_bias, layer.h2h]
    parts += [network.decoder["weight"], network.decoder["bias"]]
    return torch.cat([part.detach().reshape(-1) for part in parts]).numpy()


def rounded(numbers: np.ndarray, kind: str) -> np.ndarray:
    """Round numbers to a little-endian dtype. Raises UserError where a finite number overflows to infinity."""
    with np.errstate(over="ignore"):
        result = numbers.astype(np.dtype(kind).newbyteorder("<"))
    if (np.isfinite(result) != np.isfinite(numbers)).any():
        raise UserError(
            f"-weights {kind}: overflow, the largest weight of this network is {np.abs(numbers).max():.3g}; "
            "use a wider type"
        )
    return result

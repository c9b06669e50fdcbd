"""Sample from a network while one of its units is clamped to a value."""

import numpy as np

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.reports.look.properties import passages
from charrnn_port.reports.look.recording import Recording
from charrnn_port.sampling import Model, Session, samplers
from charrnn_port.torch7.random import Generator

LOW, HIGH = 0.02, 0.98  # quantiles of a unit's output to which it is clamped
SAMPLE, PRIME, TEMPERATURE = 300, 60, 0.7  # characters of a sample and of its prime text


def switched(checkpoint: Checkpoint, recording: Recording, shown: list[tuple[int, int]], characters: list[str]) -> dict:
    """Return samples with one unit clamped low, left free and clamped high, drawn with the same random numbers."""
    if not shown:
        about = "No unit predicts any property above chance; -units names some to clamp."
        return {"units": [], "prime": "", "about": about}
    model = Model.of(checkpoint)
    # The prime text ends with a whole line, so that a sample begins at the beginning of a line.
    first = passages(characters, recording.begins)[0][:PRIME]
    prime_ids = recording.ids[: len(first)].tolist()
    newline = max((place for place, each in enumerate(first) if each == "\n"), default=len(prime_ids) - 1)
    prime_ids = prime_ids[: newline + 1]

    def sample(clamps: dict[tuple[int, int], float]) -> str:
        choose = samplers.categorical(Generator(123), TEMPERATURE, model.sampling_dtype)
        ids = list(Session(model.clamped(clamps)).sample(SAMPLE, choose, prime_ids))[len(prime_ids) :]
        return checkpoint.vocab.decode(ids).decode(errors="replace")

    def held(layer: int, unit: int, quantile: float) -> tuple[str, str]:
        value = round(float(np.quantile(recording.layers[layer - 1]["h"][:, unit], quantile)), 2)
        value += 0.0  # turns -0 into 0
        return f'-clamp "{layer}:{unit}={value:g}"', sample({(layer, unit): value})

    free = "left free", sample({})
    units = [
        {"name": f"{layer}:{unit}", "samples": [held(layer, unit, LOW), free, held(layer, unit, HIGH)]}
        for layer, unit in shown
    ]
    about = (
        "Ablation: samples while the output of one unit is clamped to a low value, left free, and clamped to a high "
        f"value. They follow the first {len(prime_ids)} characters of the text (in gray), and use the same random "
        f"numbers, at temperature {TEMPERATURE}. sample.py does this with -clamp, for any units and values. On the "
        "page of `charrnn export CHECKPOINT page.html`, a slider holds a unit while the network writes on."
    )
    prime = checkpoint.vocab.decode(prime_ids).decode(errors="replace")
    return {"units": units, "prime": prime, "about": about}

"""What a network writes while one of its units is held at a value."""

import numpy as np

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.reports.look.recording import Recording
from charrnn_port.sampling import Model, Session, samplers
from charrnn_port.torch7.random import Generator

LOW, HIGH = 0.02, 0.98  # quantiles of its output at which a unit is held
SAMPLE, PRIME, TEMPERATURE = 300, 60, 0.7  # characters of a sample, and before it


def switched(checkpoint: Checkpoint, recording: Recording, shown: list[tuple[int, int]], characters: list[str]) -> dict:
    """Samples with one unit held low, left free and held high, all drawn with the same random numbers."""
    if not shown:
        return {"units": [], "prime": "", "about": "No unit tells anything above chance; -units names some to switch."}
    model = Model.of(checkpoint)
    # Up to a whole line, so that a sample begins where the text does.
    prime_ids = recording.ids[:PRIME].tolist()
    newline = max((place for place, each in enumerate(characters[:PRIME]) if each == "\n"), default=len(prime_ids) - 1)
    prime_ids = prime_ids[: newline + 1]

    def sample(clamps: dict[tuple[int, int], float]) -> str:
        choose = samplers.categorical(Generator(123), TEMPERATURE, model.sampling_dtype)
        ids = list(Session(model.clamped(clamps)).sample(SAMPLE, choose, prime_ids))[len(prime_ids) :]
        return checkpoint.vocab.decode(ids).decode(errors="replace")

    def held(layer: int, unit: int, quantile: float) -> tuple[str, str]:
        value = round(float(np.quantile(recording.layers[layer - 1]["h"][:, unit], quantile)), 2)
        return f'-clamp "{layer}:{unit}={value:g}"', sample({(layer, unit): value})

    free = "left free", sample({})
    units = [
        {"name": f"{layer}:{unit}", "samples": [held(layer, unit, LOW), free, held(layer, unit, HIGH)]}
        for layer, unit in shown
    ]
    about = (
        f"What the network writes after the first {len(prime_ids)} characters of the text (in grey) while one unit's "
        "output is held at a value: at one that is low for it, and at one that is high. All with the same random "
        f"numbers, at temperature {TEMPERATURE}. sample.py does it with -clamp, for any units and values."
    )
    prime = checkpoint.vocab.decode(prime_ids).decode(errors="replace")
    return {"units": units, "prime": prime, "about": about}

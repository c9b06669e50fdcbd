"""Compare losses, norms and parameters with those of Torch7 at each iteration of recorded runs, without tolerance."""

from collections.abc import Iterable, Iterator

from charrnn_port.checkpoints import fingerprint
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.model.update import norms
from charrnn_port.reports.verify.recordings import Numbers, Run
from charrnn_port.reports.verify.results import Bits
from charrnn_port.training.events import Evaluated, Event, Iteration, Started

PART = "Torch7's bits"


def watch(events: Iterable[Event], network: CharRNN, recorded: Numbers, found: Numbers) -> Iterator[Event]:
    """Yield the events of a run, and fill `found` with its values of the recorded numbers."""
    for what in recorded:
        found[what] = {}
    for event in events:
        if isinstance(event, Evaluated) and "validation loss" in recorded:
            found["validation loss"][event.i] = event.val_loss
        elif isinstance(event, Iteration) and recorded:
            gradient_norm, parameter_norm = norms(network.grad_params, network.params)
            found["loss"][event.i] = event.train_loss
            found["gradient norm"][event.i], found["parameter norm"][event.i] = gradient_norm, parameter_norm
        if isinstance(event, Started | Iteration) and event.i in recorded.get("parameters", ()):
            found["parameters"][event.i] = fingerprint(network.params)
        yield event


def compare(recorded: Run, found: Numbers) -> Bits:
    """Find the first iteration of a run with a number that differs from the recorded one in any bit."""
    others: dict[int, list[str]] = {}
    for what, numbers in recorded.bits.items():
        for i, theirs in numbers.items():
            ours = found[what].get(i)
            if in_full(ours) != in_full(theirs):
                others.setdefault(i, []).append(f"{what} {apart(ours, theirs)}")
    first = min(others, default=None)
    measured = [(i, words) for i in sorted(others) for words in others[i] if words.endswith("apart")]
    if measured and measured[0][0] != first:  # a fingerprint detects the smallest difference, but not its size
        others[first].append(f"iteration {measured[0][0]}: {measured[0][1]}")
    return Bits(
        PART,
        f"{recorded.torch7} {recorded.name}",
        "bits",
        iterations=len(recorded.bits["loss"]),
        numbers=sum(len(numbers) for what, numbers in recorded.bits.items() if what != "parameters"),
        fingerprints=len(recorded.bits["parameters"]),
        first_other=first,
        other="" if first is None else "; ".join(others[first]),
    )


def in_full(value: float | str | None) -> str | None:
    """Return a number as a string with all its bits."""
    return value.hex() if isinstance(value, float) else value


def apart(ours: float | str | None, theirs: float | str) -> str:
    """Return a description of the difference from the recorded number."""
    if isinstance(ours, float) and isinstance(theirs, float):
        return f"{ours!r}, recorded {theirs!r}, {abs(ours - theirs):.1e} apart"
    return f"{ours or 'missing'}, recorded {theirs}"

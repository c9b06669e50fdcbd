"""Metrics for Prometheus, in its text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import inf

from charrnn_port.sharing.server.completions import Text

# Upper bounds, in seconds, of the histogram of the time to the first character.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts of the requests and responses of this process."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()  # by path and status
        self.characters: Counter[str] = Counter()  # sent, by model
        self.gone = 0  # clients that disconnected before the end of their response
        self._waits = Counter()  # texts by bucket of the time to the first character
        self._waited = 0.0  # seconds to the first character, summed over texts

    def ended(self, model: str, texts: Sequence[Text], gone: bool) -> None:
        """Count a response that has ended; `gone` if it did because the client disconnected."""
        self.characters[model] += sum(text.sent for text in texts)
        self.gone += gone
        for text in texts:
            if text.first is not None:
                seconds = text.first - text.created
                self._waits[next((bucket for bucket in BUCKETS if seconds <= bucket), inf)] += 1
                self._waited += seconds

    def text(self, loads: dict[str, tuple[int, int]]) -> str:
        """Return all metrics; `loads` has for each model the numbers of texts in progress and of texts that wait."""
        return "".join(f"{line}\n" for line in self._lines(loads))

    def _lines(self, loads: dict[str, tuple[int, int]]) -> Iterator[str]:
        yield from metric(
            "requests_total", "counter", "Requests by path and status.",
            ((f'{{path="{path}",status="{status}"}}', n) for (path, status), n in sorted(self.requests.items())),
        )  # fmt: skip
        yield from metric("characters_total", "counter", "Characters sent.", labelled(self.characters.items()))
        yield from metric("clients_gone_total", "counter", "Clients that disconnected early.", [("", self.gone)])
        for place, (name, about) in enumerate(
            [("streams_in_progress", "Texts in progress."), ("streams_waiting", "Texts in the queue.")]
        ):
            yield from metric(name, "gauge", about, labelled((model, load[place]) for model, load in loads.items()))
        values, total = [], 0
        for bucket in (*BUCKETS, inf):
            total += self._waits[bucket]
            values.append((f'_bucket{{le="{str(bucket).replace("inf", "+Inf")}"}}', total))
        values += [("_sum", self._waited), ("_count", total)]
        yield from metric("first_character_seconds", "histogram", "From a request to its first character.", values)


def metric(name: str, kind: str, about: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
    """Yield the lines of one metric; each value comes with the text after the name, such as labels."""
    yield f"# HELP charrnn_{name} {about}"
    yield f"# TYPE charrnn_{name} {kind}"
    for rest, value in values:
        yield f"charrnn_{name}{rest} {value}"


def labelled(values: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """Yield values with the model's name as a label."""
    for model, value in values:
        escaped = model.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        yield f'{{model="{escaped}"}}', value

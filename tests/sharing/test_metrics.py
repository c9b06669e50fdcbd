"""The text of /metrics: counts of requests, characters and texts, in Prometheus's format."""

import math
from types import SimpleNamespace

import pytest

from charrnn_port.sharing.server.metrics import BUCKETS, Metrics


def text(sent: int, wait: float | None, reason: str | None = "length") -> SimpleNamespace:
    """Return an ended text; its first character came `wait` seconds after its request."""
    first = None if wait is None else 100 + wait
    return SimpleNamespace(sent=sent, created=100.0, first=first, finish_reason=reason)


def values(metrics: Metrics, **loads: tuple[int, int]) -> dict[str, float]:
    """Return the values by name and labels."""
    lines = metrics.text(loads).splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_each_metric_has_a_help_and_a_type():
    lines = Metrics().text({}).splitlines()
    assert [line for line in lines if line.startswith("# ")] == [
        "# HELP charrnn_requests_total Requests by path and status.",
        "# TYPE charrnn_requests_total counter",
        "# HELP charrnn_characters_total Characters sent.",
        "# TYPE charrnn_characters_total counter",
        "# HELP charrnn_clients_gone_total Clients that disconnected early.",
        "# TYPE charrnn_clients_gone_total counter",
        "# HELP charrnn_streams_in_progress Texts in progress.",
        "# TYPE charrnn_streams_in_progress gauge",
        "# HELP charrnn_streams_waiting Texts in the queue.",
        "# TYPE charrnn_streams_waiting gauge",
        "# HELP charrnn_first_character_seconds From a request to its first character.",
        "# TYPE charrnn_first_character_seconds histogram",
    ]


def test_before_the_first_request_all_is_zero():
    found = values(Metrics())
    assert set(found.values()) == {0.0}
    assert len(found) == 1 + len(BUCKETS) + 3  # clients gone; the buckets with +Inf, sum and count


def test_characters_requests_and_loads():
    metrics = Metrics()
    metrics.requests["/v1/completions", 200] += 2
    metrics.requests["/health", 200] += 1
    metrics.ended("lstm", [text(7, 0.0), text(5, 0.0)], False)
    metrics.ended("lstm", [text(3, 0.0)], False)
    found = values(metrics, lstm=(2, 4), gru=(0, 1))
    assert found['charrnn_requests_total{path="/v1/completions",status="200"}'] == 2
    assert found['charrnn_requests_total{path="/health",status="200"}'] == 1
    assert found['charrnn_characters_total{model="lstm"}'] == 15
    assert found['charrnn_streams_in_progress{model="lstm"}'] == 2
    assert found['charrnn_streams_waiting{model="lstm"}'] == 4
    assert found['charrnn_streams_in_progress{model="gru"}'] == 0
    assert found['charrnn_streams_waiting{model="gru"}'] == 1


def test_a_client_that_is_gone_counts_once():
    """Whatever the number of its texts."""
    metrics = Metrics()
    metrics.ended("lstm", [text(7, 0.0), text(5, 0.0, None), text(5, 0.0, None)], True)
    metrics.ended("lstm", [text(7, 0.0)], False)
    assert values(metrics)["charrnn_clients_gone_total"] == 1


@pytest.mark.parametrize(("wait", "bound"), [(0.0, 0.001), (0.75, 1.0), (1.0, 1.0), (10.0, 10.0), (11.0, math.inf)])
def test_a_bucket_counts_all_waits_up_to_its_bound(wait, bound):
    metrics = Metrics()
    metrics.ended("lstm", [text(1, wait)], False)
    found = values(metrics)
    for each in (*BUCKETS, math.inf):
        name = "+Inf" if each == math.inf else str(each)
        assert found[f'charrnn_first_character_seconds_bucket{{le="{name}"}}'] == (each >= bound)


def test_sum_and_count_of_waits():
    """A text whose client left before its first character has none."""
    metrics = Metrics()
    metrics.ended("lstm", [text(1, 0.25), text(1, 20.0), text(0, None, None)], False)
    found = values(metrics)
    assert found["charrnn_first_character_seconds_sum"] == 20.25
    assert found["charrnn_first_character_seconds_count"] == 2


def test_names_of_models_are_escaped():
    metrics = Metrics()
    metrics.ended('a\\b"c\nd', [text(1, 0.0)], False)
    assert r'charrnn_characters_total{model="a\\b\"c\nd"} 1' in metrics.text({}).splitlines()

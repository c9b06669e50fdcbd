"""`charrnn benchmark`: its tables, on networks that take no time."""

import json
import re

import pytest
import torch
from click.testing import CliRunner
from conftest import assert_one_line_error

from charrnn_port import __main__ as charrnn
from charrnn_port.reports import benchmark, load


def test_the_table_of_training(tmp_path, capsys):
    """Its columns, and a figure in each but for nn.GRU, which computes another function."""
    (tmp_path / "input.txt").write_bytes(benchmark.random_text(100_000))
    rows = benchmark.time_training(str(tmp_path), [(8, 1)], torch.device("cpu"), 3)
    header, *lines = capsys.readouterr().out.strip().splitlines()[1:]
    assert header.split() == "compiled fused script plain nn.* floor ours / nn.* ours / floor".split()
    assert [row["what"] for row in rows] == [
        f"{model} 8x1 batch 50 {dtype}" for model in ("lstm", "gru", "rnn") for dtype in ("float64", "float32")
    ]
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(row["what"])
        assert ("nn.*" in row["seconds"]) == (not line.startswith("gru"))
        assert {"fused", "plain", "floor"} <= set(row["seconds"])


def test_load(tmp_path, monkeypatch):
    """Training alone, beside a busy process, and twice at once, in both types."""
    monkeypatch.setattr(load, "ROUNDS", 1)
    path = tmp_path / "load.json"
    result = CliRunner().invoke(charrnn.benchmark, ["-load", "1", "-sizes", "8x1,16x1", "-repeats", "3", "-json", path])
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith("lstm 8x1 batch 50 float")]
    assert len(lines) == 2
    assert all(len(re.findall(r"\d+\.\d+", line)) == 9 for line in lines)
    assert "beside 1 busy" in result.stdout
    for row in json.loads(path.read_text())["rows"]:
        assert row["busy"] == 1
        assert all(len(values) == 1 for values in row["seconds"].values())


@pytest.mark.parametrize(("options", "words"), [(["-device", "cuda"], "cuda"), (["-sizes", "8"], "-sizes")])
def test_load_of_what_cannot_be(options, words):
    assert_one_line_error(CliRunner().invoke(charrnn.benchmark, ["-load", "1", *options]), 1, words)

"""Tests the tables and counts of `charrnn benchmark` on very small networks."""

import json
import re

import pytest
import torch
from click.testing import CliRunner, Result
from conftest import NEEDS_COMPILER, assert_one_line_error
from torch.utils.flop_counter import FlopCounterMode

from charrnn_port import __main__ as charrnn
from charrnn_port.model import CharRNN, library
from charrnn_port.model.peak import multiply_adds, read_all
from charrnn_port.reports.benchmark import baselines, contention, limits, parts, start, work
from charrnn_port.util.errors import UserError

TABLES = "training,parts,evaluation,sampling,start,preprocessing".split(",")
LABELS = [f"{model} 8x1 batch 50 {dtype}" for model in ("lstm", "gru", "rnn") for dtype in ("float64", "float32")]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(charrnn.benchmark, ["-sizes", "8x1", "-repeats", "3", *map(str, arguments)])


def table(tmp_path, name: str) -> tuple[list[str], list[dict]]:
    """Return the lines of a table below its title, and its rows."""
    path = tmp_path / "benchmark.json"
    result = run("-tables", name, "-json", path)
    assert result.exit_code == 0, result.output
    lines = result.stdout[result.stdout.index("\n\n") + 2 :].splitlines()
    rows = [row for row in json.loads(path.read_text())["rows"] if row["what"] != "at most"]
    return lines[1:], rows


@pytest.mark.long
def test_the_table_of_training(tmp_path):
    """The table has its columns, with a number in each except for nn.GRU, which computes another function."""
    (header, *lines), rows = table(tmp_path, "training")
    assert header.split() == "compiled fused script plain nn.* floor ours / nn.* ours / floor share of peak".split()
    assert [row["what"] for row in rows] == LABELS
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(row["what"])
        assert ("nn.*" in row["seconds"]) == (not line.startswith("gru"))
        assert {"fused", "plain", "floor"} <= set(row["seconds"])
        assert line.endswith("%") == ("peak" in row["seconds"]) == (library(torch.float32) is not None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
@pytest.mark.parametrize("model", baselines.LAYERS)
def test_pytorch_in_a_graph(model):
    """It trains as without a graph: the same losses after two iterations of warmup."""
    losses = []
    for graph in (False, True):
        torch.manual_seed(1)
        iteration = baselines.torch_training(model, 8, 1, 4, torch.float64, torch.device("cuda"), graph)
        losses.append([iteration() for _ in range(3 if graph else 5)])
    assert losses[1] == pytest.approx(losses[0][2:], abs=1e-9)


@NEEDS_COMPILER
def test_the_table_of_parts(tmp_path):
    """The parts and the rest add up to the iteration."""
    (header, *lines), rows = table(tmp_path, "parts")
    of_training, of_sampling = parts.columns(parts.PARTS), parts.columns(parts.PARTS_OF_SAMPLING)
    assert header.split() == ["iteration", *" ".join(of_training).split()]
    assert [row["what"] for row in rows[:6]] == [f"parts {label}" for label in LABELS]
    assert [row["what"] for row in rows[6:]] == ["sampling parts lstm 8x1 float64", "sampling parts lstm 8x1 float32"]
    names = [of_training] * 6 + [of_sampling] * 2
    for line, row, columns in zip([*lines[:6], *lines[-2:]], rows, names, strict=True):
        assert len(re.findall(r"\d+\.\d\d", line)) == 1 + len(columns)
        assert list(row["seconds"]) == columns
        assert all(min(row["seconds"][part]) > 0 for part in columns[:-1])
        for turn, whole in enumerate(row.get("iteration") or row["text"]):
            assert sum(values[turn] for values in row["seconds"].values()) == pytest.approx(whole)


def test_the_table_of_evaluation(tmp_path):
    (header, *lines), rows = table(tmp_path, "evaluation")
    assert header.split() == "training evaluation evaluation / training".split()
    assert [line[: len(label)] for line, label in zip(lines, LABELS[:2], strict=True)] == LABELS[:2]
    assert all(row["characters"] == 50 * 50 for row in rows)


@pytest.mark.long
def test_the_table_of_sampling(tmp_path, monkeypatch):
    """The share of bandwidth is shown if the weights are too large for a cache."""
    (_, *lines), rows = table(tmp_path, "sampling")
    assert [row["what"] for row in rows] == ["sampling lstm 8x1 float64", "sampling lstm 8x1 float32"]
    assert [row["bytes"] for row in rows] == [8 * (4 * 8 * 8 + 65 * 8), 4 * (4 * 8 * 8 + 65 * 8)]
    assert all({"ours", "floor", "many"} <= set(row["seconds"]) for row in rows)
    if library(torch.float32):
        assert all("in cache" in line for line in lines)
        monkeypatch.setattr(limits, "cache_size", lambda: 0)
        (_, *lines), _ = table(tmp_path, "sampling")
        assert all(re.search(r"\d%", line) for line in lines)


@pytest.mark.long
def test_the_table_of_starts(tmp_path):
    lines, (row,) = table(tmp_path, "start")
    assert [line[:28].strip() for line in lines] == [start.IMPORT, start.SAMPLE, start.IMPORTED, start.TRAIN]
    assert ["/ import torch" in line for line in lines] == [False, True, False, True]
    assert all(len(values) == 3 for values in row["seconds"].values())


def test_a_start_ends_at_its_line():
    """A start that fails, or that ends too early, is an error."""
    start.run(["-c", "print('going', flush=True); print('1/2', flush=True); import time; time.sleep(1000)"], "1/")
    for program, until, words in (("exit('no such thing')", None, "no such thing"), ("print('2/2')", "1/", "-c")):
        with pytest.raises(UserError, match=words):
            start.run(["-c", program], until)


@pytest.mark.long
def test_tables_come_in_their_order():
    """Only the selected tables are printed."""
    result = run("-tables", "preprocessing,evaluation")
    titles = re.findall(r"^(characters a second|preprocessing|sampling|start|time by part)", result.stdout, re.M)
    assert titles == ["characters a second", "preprocessing"]


def test_a_table_that_is_none():
    assert_one_line_error(run("-tables", "training,speed"), 2, "-tables", "'speed'", *TABLES)


# What is counted


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("model", ["lstm", "gru", "rnn"])
def test_flops(model, num_layers):
    """The count is PyTorch's for plain cells, without the products with one-hot vectors."""
    V, H, T, B = 11, 6, 4, 5
    network = CharRNN(model, V, H, num_layers, dtype=torch.float64)
    ids = torch.zeros(T, B, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        network.training_pass(ids, ids, network.zero_state(B), None, False)
    one_hot = 2 * 2 * T * B * V * work.GATES[model] * H  # forward, and for the gradient of the weights
    assert work.training_flops(model, H, num_layers, B, T, V) == counter.get_total_flops() - one_hot


def test_weights_of_a_character():
    """The weights are all matrices except the first layer's i2h."""
    network = CharRNN("lstm", 65, 128, 2, dtype=torch.float32)
    matrices = [p for part in (*network.layers, network.decoder) for name, p in part.items() if name.endswith("weight")]
    assert work.weight_count("lstm", 128, 2, 65) == sum(p.numel() for p in matrices) - 65 * 4 * 128


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_the_processor_is_given_to_do(dtype):
    """Arithmetic grows with its rounds; a tensor is read completely, whatever its size."""
    assert multiply_adds(dtype, 2000) == 2 * multiply_adds(dtype, 1000) > 0
    numbers = torch.arange(1000, dtype=dtype)
    assert read_all(numbers) == numbers.sum()


# Beside other processes


@pytest.mark.long
def test_load(tmp_path, monkeypatch):
    """Times training alone, beside a busy process, and beside a second training, in both types."""
    monkeypatch.setattr(contention, "ROUNDS", 1)
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

"""Tests of `charrnn look` without a browser: error analysis, n-gram models, figures, and error messages."""

import math
import re
import sys
from collections import Counter, defaultdict
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import NEEDS_COMPILER, RECORDINGS, assert_one_line_error

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.checkpoints import Checkpoint, save_checkpoint
from charrnn_port.model.memory import parameter_count
from charrnn_port.reports.look import errors, ngrams
from charrnn_port.reports.look.gates import gates
from charrnn_port.reports.look.packing import labels, pieces
from charrnn_port.reports.look.properties import characters_at
from charrnn_port.reports.look.recording import batched_states, record
from charrnn_port.sampling import Model, Session, trace
from charrnn_port.util.vocabulary import Vocabulary

LSTM = RECORDINGS / "lua_checkpoints/lstm.t7"
PLAY = (RECORDINGS / "play/input.txt").read_bytes()


def look(*arguments, stdin=None):
    return CliRunner().invoke(charrnn.look, [str(word) for word in arguments], input=stdin)


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").write_bytes(PLAY[:500])
    return tmp_path / "text"


# Error analysis


def test_rows_of_errors():
    """Rows by class and position in word and line: sums of nats, and counts of probabilities above 1/2."""
    characters, nats = list("xAb 1\nc."), np.array([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4])
    classes = {row.name: (row.count, pytest.approx(row.nats), row.right) for row in errors.by_class(characters, nats)}
    assert classes == {
        "upper case": (1, 0.1, 1),
        "lower case": (2, 3.4, 1),
        "space": (1, 0.4, 1),
        "digit": (1, 0.8, 0),
        "newline": (1, 1.6, 0),
        "punctuation": (1, 6.4, 0),
    }
    words = [(row.name, row.count) for row in errors.by_place_in_word(characters, nats)]
    assert words == [("1", 2), ("2", 1), ("3", 1), ("between words", 3)]
    assert [(row.name, row.count) for row in errors.by_place_in_line(list("a" * 12), np.ones(11))] == [
        ("1 to 10", 9),
        ("11 to 20", 2),
    ]


def witten_bell(training, text, vocab_size, n):
    """Compute the probabilities from the formula, with counts in dictionaries."""
    counts = defaultdict(Counter)
    for length in range(n):
        for place in range(length, len(training)):
            counts[tuple(training[place - length : place])][training[place]] += 1

    def probability(context, character):
        shorter = probability(context[1:], character) if context else 1 / vocab_size
        found = counts[context]
        if not found:
            return shorter
        return (found[character] + len(found) * shorter) / (found.total() + len(found))

    return [probability(tuple(text[max(0, place - n + 1) : place]), text[place]) for place in range(1, len(text))]


@pytest.mark.parametrize("vocab_size", [5, 70_000], ids=["few", "keys do not fit in 64 bits"])
@pytest.mark.parametrize("length", [2, 3, 200])
def test_ngrams_follow_their_formula(vocab_size, length):
    """To 1e-12, also for texts shorter than n; the probabilities of all characters sum to 1."""
    random = np.random.RandomState(3)
    training, text = random.randint(0, 5, 400), random.randint(0, 5, length)
    for n, found in enumerate(ngrams.probabilities(training, text, vocab_size), start=1):
        assert found == pytest.approx(witten_bell(training.tolist(), text.tolist(), vocab_size, n), abs=1e-12)
    if vocab_size == 5 and length == 200:
        endings = [list(ngrams.probabilities(training, np.append(text[-6:], last), 5))[-1][-1] for last in range(5)]
        assert sum(endings) == pytest.approx(1, abs=1e-12)


def test_pieces_of_a_text_have_no_common_context():
    """N-grams, rows of errors and predictions of separate pieces are those of each piece alone."""
    random = np.random.RandomState(4)
    training, text, begins = random.randint(0, 5, 400), random.randint(0, 5, 60), [0, 20, 23]
    pieces = np.split(text, begins[1:])
    alone = [ngrams.probabilities(training, piece, 5) for piece in pieces]
    for found, *expected in zip(ngrams.probabilities(training, text, 5, begins), *alone, strict=True):
        assert found.tolist() == np.concatenate(expected).tolist()
    characters = ["ab c"[each % 4] for each in text]
    nats = random.uniform(0, 2, 57)
    for rows in (errors.by_class, errors.by_place_in_word, errors.by_place_in_line):
        parts = zip(np.split(np.array(characters), begins[1:]), np.split(nats, [19, 21]), strict=True)
        each = [rows(part.tolist(), its_nats) for part, its_nats in parts]
        names = {row.name: sum(other.count for some in each for other in some if other.name == row.name)
                 for row in rows(characters, nats, begins)}  # fmt: skip
        assert {row.name: row.count for row in rows(characters, nats, begins)} == names
        assert sum(row.nats for row in rows(characters, nats, begins)) == pytest.approx(nats.sum())
    network = charrnn_port.load_checkpoint(LSTM).build("plain", torch.float64)
    together = record(network, text.tolist(), begins)
    recorded = [layer[name] for layer in together.layers for name in network.cell.STATE]
    for found, expected in zip(batched_states(network, text.tolist(), begins), recorded, strict=True):
        assert np.abs(found - expected).max() < 1e-6
    figures = [record(network, piece.tolist()).figures for piece in pieces]
    assert (together.figures.log_probs == np.concatenate([each.log_probs for each in figures])).all()
    assert together.spread(together.figures.log_probs)[begins].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["lstm", *(pytest.param(name, marks=pytest.mark.long) for name in ("gru", "rnn"))])
@pytest.mark.parametrize(
    "fastest",
    [
        pytest.param("plain", marks=pytest.mark.long),
        pytest.param("fused", marks=pytest.mark.long),
        pytest.param("compiled", marks=NEEDS_COMPILER),
    ],
)
def test_the_recording_is_the_trace(name, fastest, monkeypatch):
    """The fast cells record the gates, states and predictions of the plain ones, which a new cell has alone."""
    monkeypatch.setattr(sys.modules[record.__module__], "fastest_backend", lambda *given: fastest)
    checkpoint = charrnn_port.load_checkpoint(LSTM.with_stem(name))
    network, ids = checkpoint.build("plain", torch.float64), checkpoint.vocab.encode(PLAY[:343])
    found = record(network, ids, [0, 100])
    steps = [*trace(network, ids[:100]), *trace(network, ids[100:])]
    assert found.log_probs == pytest.approx(np.array([step.log_probs for step in steps]), rel=1e-6)
    for index, layer in enumerate(found.layers):
        assert list(layer) == list(steps[0].layers[index])
        for part, values in layer.items():
            expected = np.array([step.layers[index][part] for step in steps])
            assert values == pytest.approx(expected, rel=1e-6, abs=1e-9), part


def test_ngrams_compared_with_the_network():
    """Characters that only one of the two predicts correctly are counted both ways."""
    training, text = np.array([0, 1] * 50), np.array([0, 1, 0, 1, 1])
    nats = -np.log([0.9, 0.4, 0.4, 0.9])
    memory = errors.memories(training, text, 2, nats)[0][-1]
    assert (memory.n, memory.right, memory.only_it, memory.only_network) == (6, 3, 2, 1)


def test_gates_that_are_open():
    """Shares of the time for each unit."""
    network = charrnn_port.load_checkpoint(LSTM).build("plain", torch.float32)
    recording = record(network, [1, 2, 3, 4, 5] * 20)
    found = {(each["layer"], each["gate"]): each for each in gates(recording)}
    assert set(found) == {(layer, gate) for layer in (1, 2) for gate in ("in", "forget", "out")}
    values = recording.layers[1]["forget"]
    assert found[2, "forget"]["open"] == pytest.approx((values > 0.9).mean(0), abs=5e-5)
    assert found[2, "forget"]["shut"] == pytest.approx((values < 0.1).mean(0), abs=5e-5)


# How characters are shown


def test_bytes_are_shown_as_characters():
    """A character of several bytes is shown at its last byte; each byte has its own name."""
    text = "né\r\n".encode() + b"\xff\x00"
    vocab = Vocabulary(bytes(sorted(set(text))))
    assert pieces(characters_at(text), vocab) == ["n", "", "é", "␍", "\n", "\ufffd", "\ufffd"]
    assert labels(vocab) == ["U+0000", "↵", "␍", "n", "\\xa9", "\\xc3", "\\xff"]
    assert labels(Vocabulary("né", with_unknown=True)) == ["n", "é", "unknown"]


# Figures


def test_a_figure(tmp_path, text):
    """Every character of the passage has a background with the color of the value's sign and the strength of its size.
    A character of several bytes has that of its last byte.
    """
    pytest.importorskip("matplotlib")
    target = tmp_path / "unit.svg"
    result = look(LSTM, text, "-units", "2:3", "-part", "h", "-passage", "100-300", "-o", target)
    assert result.exit_code == 0, result.output
    steps = list(Session(Model.of(charrnn_port.load_checkpoint(LSTM))).trace(PLAY[:500]))
    last = [place for place in range(100, 300) if PLAY[place + 1] & 0xC0 != 0x80]
    values = np.array([steps[place].layers[1]["h"][3] for place in last])
    svg = ElementTree.parse(target)
    texts = ["".join(each.itertext()) for each in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "unit 3 of layer 2, its h" in texts
    shown = "".join(each for each in texts if len(each) == 1)
    assert shown == "".join(PLAY[100:300].decode().replace("\n", "↵").split())
    grounds = re.findall(r'fill: (#\w+)(?:; fill-opacity: ([\d.]+))?"', target.read_text())
    grounds = [(color, float(alpha)) for color, alpha in grounds if color in ("#e2780a", "#146ecd")]
    assert [color for color, _ in grounds] == ["#e2780a" if value > 0 else "#146ecd" for value in values]
    assert [alpha for _, alpha in grounds] == pytest.approx(0.85 * abs(values), abs=1e-4)


@pytest.mark.long
def test_a_figure_shows_the_best_unit_by_default(tmp_path):
    """As PNG too; the same file each time."""
    pytest.importorskip("matplotlib")
    (tmp_path / "text").write_bytes(PLAY[:1500])
    pictures = []
    for name in ("a.png", "a.svg", "b.svg"):
        result = look(RECORDINGS / "lua_checkpoints/rnn.t7", tmp_path / "text", "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0].startswith(b"\x89PNG")
    assert pictures[1] == pictures[2]
    assert "on the text's second half, chance" in pictures[1].decode()


def test_characters_that_a_font_lacks(tmp_path):
    """An SVG has them as text, which other fonts may show; for a PNG a warning is printed."""
    pytest.importorskip("matplotlib")
    network = charrnn_port.load_checkpoint(LSTM)
    count = parameter_count("lstm", 3, 8, 1)
    opt = network.opt | {"rnn_size": 8, "num_layers": 1, "encoding": "utf-8"}
    checkpoint = Checkpoint(opt, Vocabulary("a文\r"), torch.zeros(count, dtype=torch.float64), 0, 0.0, [], {}, math.nan)
    save_checkpoint(checkpoint, tmp_path / "few.t7.pt")
    (tmp_path / "text").write_bytes("a文\r文".encode())
    arguments = (tmp_path / "few.t7.pt", tmp_path / "text", "-units", "1:0", "-o")
    results = [look(*arguments, tmp_path / name) for name in ("a.svg", "a.png")]
    assert [result.exit_code for result in results] == [0, 0]
    assert "the font lacks" not in results[0].stderr
    assert results[0].stderr.startswith(f"wrote {tmp_path / 'a.svg'}, ")
    assert results[1].stderr.startswith("the font lacks")
    assert (tmp_path / "a.svg").read_text().count(">文<") == 2


# Errors


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["-o", "look.pdf"], 2, ["look.pdf", ".html", ".svg"]),
        (["-units", "3:0", "-o", "look.html"], 2, ["-units", "3:0", "1 to 2"]),
        (["-units", "2", "-o", "look.html"], 2, ["'2'", "2:131"]),
        (["-units", "1:" + "1" * 5000, "-o", "look.html"], 2, ["2:131"]),  # more digits than int() reads
        (["-units", "1:1,1:2", "-o", "look.svg"], 2, ["one unit"]),
        (["-units", "1:1", "-part", "update", "-o", "look.svg"], 2, ["update", "forget"]),
        (["-units", "1:1", "-passage", "9-3", "-o", "look.svg"], 2, ["9-3"]),
        (["-units", "1:1", "-passage", "0-" + "1" * 5000, "-o", "look.svg"], 2, ["0-640"]),
        (["-units", "1:1", "-passage", "500-600", "-o", "look.svg"], 2, ["500-600", "500 characters"]),
        (["-o", "missing/look.html"], 1, ["missing/look.html"]),
    ],
)
def test_errors(tmp_path, monkeypatch, text, arguments, status, words):
    """Errors are one line with the invalid value, before the network reads the text; no file is written."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr(sys.modules[errors.__package__], "record")
    assert_one_line_error(look(LSTM, text, *arguments), status, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_the_text_is_not_replaced_by_its_page(tmp_path):
    page = tmp_path / "text.html"
    page.write_bytes(PLAY[:500])
    assert_one_line_error(look(LSTM, page, "-o", page), 1, "cannot overwrite a file that is read")
    assert page.read_bytes() == PLAY[:500]


@pytest.mark.parametrize("text", [b"", b"a"])
def test_too_short_a_text(tmp_path, text):
    assert_one_line_error(look(LSTM, "-", "-o", tmp_path / "look.html", stdin=text), 1, "stdin", "two characters")


def test_unknown_characters(tmp_path):
    """They are an error with their position, or are left out and counted up to the last character that is read."""
    (tmp_path / "text").write_bytes(b"the }moon " * 300)
    arguments = (LSTM, tmp_path / "text", "-length", 90, "-o", tmp_path / "look.html")
    assert_one_line_error(look(*arguments), 1, "}", "position 4", "-unknown skip")
    result = look(*arguments, "-unknown", "skip")
    assert result.exit_code == 0, result.output
    assert "10 characters of" in result.stderr


def test_no_figure_without_findings(tmp_path, text):
    """Unless a unit is named."""
    pytest.importorskip("matplotlib")
    text.write_bytes(b"moon")
    assert_one_line_error(look(LSTM, text, "-o", tmp_path / "unit.svg"), 1, "no unit", "-units")


@pytest.mark.long
def test_a_large_network_stays_below_5_megabytes(tmp_path):
    """512x3 with random weights, on 20,000 characters, without findings."""
    small = charrnn_port.load_checkpoint(LSTM)
    count = parameter_count("lstm", len(small.vocab), 512, 3)
    params = torch.empty(count, dtype=torch.float64).uniform_(-0.08, 0.08, generator=torch.Generator().manual_seed(1))
    opt = small.opt | {"rnn_size": 512, "num_layers": 3}
    save_checkpoint(Checkpoint(opt, small.vocab, params, 0, 0.0, [], {}, math.nan), tmp_path / "large.t7.pt")
    (tmp_path / "text").write_bytes(PLAY[:30_000])
    result = look(tmp_path / "large.t7.pt", tmp_path / "text", "-unknown", "skip", "-o", tmp_path / "look.html")
    assert result.exit_code == 0, result.output
    assert 3_000_000 < (tmp_path / "look.html").stat().st_size < 5_000_000
    assert '"findings":[]' in (tmp_path / "look.html").read_text()

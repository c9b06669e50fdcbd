"""Tests of `charrnn score`: its tables, JSON and CSV against the predictions of a session."""

import csv
import io
import json
import re
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from conftest import RECORDINGS, assert_one_line_error

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.checkpoints import Checkpoint, is_checkpoint
from charrnn_port.reports import heat, text_stream
from charrnn_port.reports.score import Lines, Score, Table, perplexity
from charrnn_port.reports.scoring import CharacterScores
from charrnn_port.reports.text_stream import Block
from charrnn_port.sampling import Model, Session
from charrnn_port.util.vocabulary import Vocabulary

LUA = RECORDINGS / "lua_checkpoints"
PLAY = (RECORDINGS / "play/input.txt").read_bytes()


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    """Run on the CPU, in double precision even on a machine with a GPU."""
    return CliRunner().invoke(charrnn.score, [*map(str, arguments), "-gpuid", "-1"], input=stdin)


def log_probs(checkpoint: Checkpoint, text: bytes) -> np.ndarray:
    """Return the log-probabilities of each character but the first, `[n - 1, vocab_size]`, by a session."""
    session, found = Session(Model.of(checkpoint)), []
    for id_ in checkpoint.vocab.encode(text)[:-1]:
        session.feed([id_])
        found.append(session.log_probs())
    return np.array(found)


def nats(checkpoint: Checkpoint, text: bytes) -> np.ndarray:
    """Return the nats of each character but the first, `[n - 1]`."""
    ids = checkpoint.vocab.encode(text)[1:]
    return -log_probs(checkpoint, text)[range(len(ids)), ids]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(PLAY[1000:2500])
    return path


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_json_equals_the_predictions_of_a_session(name, text):
    checkpoint = charrnn_port.load_checkpoint(LUA / f"{name}.t7")
    expected = nats(checkpoint, text.read_bytes()).mean()
    found = json.loads(run(LUA / f"{name}.t7", text, "-json", "-gpuid", -1).stdout)
    assert found["characters"] == 1499
    assert abs(found["nats_per_character"] - expected) < 1e-12
    assert found["bits_per_character"] == pytest.approx(expected / np.log(2))
    assert found["perplexity"] == pytest.approx(np.exp(expected))
    assert found["text"] == str(text)


def test_each_text_starts_from_the_zero_state(text, tmp_path):
    """Several texts give several lines, each the same as for the text alone; one of them is stdin."""
    other = tmp_path / "other.txt"
    other.write_bytes(PLAY[5000:5500])
    rows = run(LUA / "lstm.t7", text, "-", other, text, stdin=PLAY[5000:5500]).stdout.splitlines()
    assert rows[0].split() == ["nats/char", "bits/char", "perplexity", "characters", "text"]
    assert [row.split()[-1] for row in rows[1:]] == [str(text), "stdin", str(other), str(text)]
    assert rows[1] == rows[4]
    assert rows[2].split()[:4] == rows[3].split()[:4]
    expected = nats(charrnn_port.load_checkpoint(LUA / "lstm.t7"), PLAY[5000:5500]).mean()
    assert f"{expected:.4f}" == rows[2].split()[0]


def test_which_checkpoint_a_text_is_most_likely_under(text):
    names = [str(LUA / f"{name}.t7") for name in ("rnn", "lstm")]
    expected = {name: nats(charrnn_port.load_checkpoint(name), text.read_bytes()).sum() for name in names}
    ranking = sorted(expected, key=expected.get)
    _, *rows, verdict = run(*names, text).stdout.splitlines()
    assert [row.split()[4] for row in rows] == [f"{name}," for name in ranking]
    assert f"most likely under {ranking[0]}, {expected[ranking[1]] - expected[ranking[0]]:.1f} nats" in verdict
    objects = json.loads(run(*names, text, "-json").stdout)
    assert [each["checkpoint"] for each in objects] == ranking


def test_csv_has_a_row_for_each_character(text, monkeypatch):
    """And one header, also for a text that is read in several blocks."""
    monkeypatch.setattr(text_stream, "BLOCK", 40)
    text.write_bytes(PLAY[1000:1040] + b'"\n' * (b'"' in PLAY) + PLAY[1040:1100])
    checkpoint = charrnn_port.load_checkpoint(LUA / "gru.t7")
    content, ids = text.read_bytes(), checkpoint.vocab.encode(text.read_bytes())
    header, first, *rows = csv.reader(io.StringIO(run(LUA / "gru.t7", text, "-csv").stdout))
    assert header == ["position", "character", "log_probability", "rank", "entropy"]
    assert first == ["0", chr(content[0]), "", "", ""]
    assert [int(row[0]) for row in rows] == list(range(1, len(content)))
    assert "".join(row[1] for row in rows) == content[1:].decode()
    for row, its_log_probs, id_ in zip(rows, log_probs(checkpoint, content), ids[1:], strict=True):
        assert abs(float(row[2]) - its_log_probs[id_]) < 1e-12
        assert int(row[3]) == 1 + sorted(its_log_probs, reverse=True).index(its_log_probs[id_])
        assert abs(float(row[4]) + (np.exp(its_log_probs) * its_log_probs).sum()) < 1e-12


def test_lines_are_sorted_by_surprise(text):
    """A newline belongs to its line. Empty lines are left out, and the text's first character is not counted."""
    text.write_bytes(PLAY[1000:2500].replace(b"\n", b"\n\n", 3) + b"no newline")
    content = text.read_bytes()
    each = [0.0, *nats(charrnn_port.load_checkpoint(LUA / "lstm.t7"), content)]
    expected, begin = [], 0
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        count = len(line) - (begin == 0)
        if line != b"\n":
            expected.append((sum(each[begin : begin + len(line)]) / count, number, count, line.decode().rstrip("\n")))
        begin += len(line)
    expected.sort(reverse=True)
    found = json.loads(run(LUA / "lstm.t7", text, "-lines", 1, "-json").stdout)["lines"]
    assert [(line["line"], line["characters"], line["text"]) for line in found] == [line[1:] for line in expected]
    assert [line["nats_per_character"] for line in found] == pytest.approx([line[0] for line in expected], abs=1e-12)
    rows = run(LUA / "lstm.t7", text, "-lines", 1).stdout.splitlines()[3:]
    assert rows == [f"{mean:9.4f} {number:6}  {said}" for mean, number, _, said in expected]


def test_unknown_characters(text, monkeypatch):
    """They are an error with their position; with -unknown skip the text is scored as if they were not there."""
    monkeypatch.setattr(text_stream, "BYTES", 1000)
    text.write_bytes(PLAY[:1500] + b"\xff" + PLAY[1500:2500])
    plain = text.with_name("plain.txt")
    plain.write_bytes(PLAY[:2500])
    result = run(LUA / "rnn.t7", text)
    assert_one_line_error(result, 1, "0xff at position 1500", "-unknown skip")
    assert result.stdout == ""
    skipped = run(LUA / "rnn.t7", text, "-unknown", "skip")
    assert "1 characters of" in skipped.stderr
    assert skipped.stdout.split()[5:9] == run(LUA / "rnn.t7", plain).stdout.split()[5:9]


def in_unicode(name: str, path, symbols: str) -> None:
    """Write a checkpoint whose vocabulary has Unicode characters in place of as many bytes."""
    checkpoint = charrnn_port.load_checkpoint(LUA / f"{name}.t7")
    checkpoint.vocab = Vocabulary((symbols + "".join(map(chr, range(0x400, 0x500))))[: len(checkpoint.vocab)])
    charrnn_port.save_checkpoint(checkpoint, path)


def test_unicode_texts(tmp_path):
    """Characters are counted, not bytes; comparing such a network with one of bytes is an error."""
    in_unicode("rnn", tmp_path / "a.t7.pt", "aé€\n")
    path = tmp_path / "text"
    path.write_text("aé€a\né€", encoding="utf-8")
    rows = list(csv.reader(io.StringIO(run(tmp_path / "a.t7.pt", path, "-csv").stdout)))
    assert "".join(row[1] for row in rows[1:]) == "aé€a\né€"
    assert json.loads(run(tmp_path / "a.t7.pt", path, "-json").stdout)["characters"] == 6
    assert_one_line_error(run(tmp_path / "a.t7.pt", LUA / "rnn.t7", path), 1, "bytes", "Unicode")


@pytest.mark.parametrize("view", ["-lines", "-heat"])
def test_views_of_characters_need_a_network_of_characters(view, text, tmp_path):
    checkpoint = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    checkpoint.vocab = Vocabulary(tuple(f"word{number}" for number in range(len(checkpoint.vocab))))
    charrnn_port.save_checkpoint(checkpoint, tmp_path / "a.t7.pt")
    assert_one_line_error(run(tmp_path / "a.t7.pt", text, view, 1), 2, "show characters: use -csv")


def test_dynamic_evaluation_leaves_the_checkpoint(text, tmp_path):
    """It has a lower loss on a repetitive text, the same for each copy of it, and does not change the file."""
    path = tmp_path / "a.t7"
    shutil.copy(LUA / "lstm.t7", path)
    text.write_bytes(PLAY[1000:1200] * 10)
    static = json.loads(run(path, text, "-json").stdout)
    result = run(path, text, text, "-json", "-dynamic", 0.005)
    first, second = json.loads(result.stdout)
    assert "dynamic evaluation: " in result.stderr
    assert "learns" in result.stderr
    assert first == second
    assert first["nats_per_character"] < static["nats_per_character"] - 0.1
    assert path.read_bytes() == (LUA / "lstm.t7").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([LUA / "rnn.t7"], 2, ["FILE"]),
        ([LUA / "rnn.t7", LUA / "gru.t7"], 2, ["no text"]),
        (["TEXT", LUA / "rnn.t7"], 1, ["plain text"]),
        ([LUA / "rnn.t7", "nowhere.txt"], 1, ["nowhere.txt"]),
        ([LUA / "rnn.t7", LUA / "rnn.t7", "TEXT"], 1, ["twice"]),
        ([LUA / "rnn.t7", "-", "-"], 1, ["stdin can only be read once"]),
        ([LUA / "rnn.t7", "-"], 1, ["stdin", "two characters"]),
        ([LUA / "rnn.t7", "TEXT", "-csv", "-json"], 2, ["-csv", "-json"]),
        ([LUA / "rnn.t7", LUA / "gru.t7", "TEXT", "-lines", "1"], 2, ["-lines", "2"]),
        ([LUA / "rnn.t7", "TEXT", "TEXT", "-csv"], 2, ["-csv", "one text"]),
        ([LUA / "rnn.t7", "TEXT", "-dynamic", "2"], 2, ["-dynamic: 2"]),
    ],
)
def test_errors(arguments, status, words, text):
    arguments = [text if word == "TEXT" else word for word in arguments]
    assert_one_line_error(run(*arguments, stdin=PLAY[:1]), status, *words)


def test_checkpoints_are_recognized_by_their_first_bytes(tmp_path):
    saved = charrnn_port.load_checkpoint(LUA / "rnn.t7")
    charrnn_port.save_checkpoint(saved, tmp_path / "a.t7.pt")
    assert is_checkpoint(tmp_path / "a.t7.pt")
    assert all(map(is_checkpoint, [*LUA.glob("*.t7"), tmp_path]))
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "3.txt").write_bytes(b"3\n2\n1\n")
    assert not any(
        map(is_checkpoint, [tmp_path / "a.txt", tmp_path / "3.txt", tmp_path / "none", RECORDINGS / "torch7.h5"])
    )


# Scores without a network


def test_a_score_adds_up_blocks():
    """The perplexity is exp of the mean, and infinite where that is too large for a number."""
    score = Score("a.t7", "text", "val")
    for units, probabilities in (("aéé", [0.5, 0.25]), ("文", [0.125])):
        block = Block(units, np.arange(len(units)))
        score.add(block, CharacterScores(np.zeros(len(probabilities), np.int64), np.log(probabilities)[:, None]))
    assert score.values() == {
        "checkpoint": "a.t7",
        "text": "text",
        "split": "val",
        "nats_per_character": pytest.approx(2 * np.log(2)),
        "bits_per_character": pytest.approx(2),
        "bits_per_byte": pytest.approx(6 / 7),
        "perplexity": pytest.approx(4),
        "characters": 3,
    }
    assert perplexity(699.5) == np.exp(699.5)
    assert perplexity(700.0) == perplexity(1e9) == np.inf


@pytest.mark.parametrize(("split", "name"), [("all", "b"), ("val", "b (val split)")])
def test_a_table_of_one_checkpoint(split, name):
    """The header comes once."""
    lines, table = [], Table(several=False, per_byte=False)
    for nats in (30.0, 5.0):
        table.print([Score("a.t7", "b", split, nats, 10, 10)], lines.append)
    assert lines == [
        "nats/char  bits/char  perplexity  characters  text",
        f"   3.0000     4.3281      20.086          10  {name}",
        f"   0.5000     0.7213       1.649          10  {name}",
    ]


def test_a_table_of_several_checkpoints():
    lines = []
    scores = [Score(name, "b", "all", nats, 10, 10) for name, nats in (("a", 5), ("c", 30))]
    Table(several=True, per_byte=False).print(scores, lines.append)
    assert lines == [
        "nats/char  bits/char  perplexity  characters  checkpoint, text",
        "   0.5000     0.7213       1.649          10  a, b",
        "   3.0000     4.3281      20.086          10  c, b",
        "b is most likely under a, 25.0 nats ahead of c",
    ]


@pytest.mark.parametrize("units", [b"ab\ncd\n\ne", "ab\ncd\n\ne"])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_lines_that_are_cut_by_blocks(units, size):
    """Character i has i nats; the first has no prediction."""
    lines = Lines()
    for begin in range(0, len(units), size):
        places = np.arange(begin, min(begin + size, len(units)))
        known = places[places > 0]
        figures = CharacterScores(np.zeros(len(known), np.int64), -known[:, None].astype(float))
        lines.add(Block(units[begin : begin + size], places), figures)
    assert [tuple(line.values()) for line in lines.values()] == [(4, 7.0, 1, "e"), (2, 4.0, 3, "cd"), (1, 1.5, 2, "ab")]


# Colors


class Terminal(io.StringIO):
    """A stdout that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def painted(units: bytes | str, bits: list[float], monkeypatch) -> str:
    """Return what is written to a terminal for a text whose first character has no prediction."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    figures = CharacterScores(np.zeros(len(bits), np.int64), -np.array(bits)[:, None] * np.log(2))
    heat.Heat().show(Block(units, np.arange(len(units))), figures)
    return terminal.getvalue()


def test_heat_paints_by_bits(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = painted(b"abcdef", [0.5, 1.5, 3.5, 5.5, 20], monkeypatch)
    styles = [*heat.COLORS[:3], f"{heat.COLORS[3]};4", f"{heat.COLORS[4]};1;4"]
    texts = ["ab", "c", "d", "e", "f"]
    assert shown == "".join(f"\033[{style}m{text}\033[0m" for style, text in zip(styles, texts, strict=True))


def test_heat_has_a_legend(monkeypatch, capsys):
    """It names the bounds of the colors, and what they mean as probabilities."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    painted(b"a", [], monkeypatch)
    colors, meaning = capsys.readouterr().err.splitlines()
    shown = re.sub(r"\033\[[\d;]*m", "", colors)  # which are left out where stderr is not a terminal
    assert shown == "surprise in bits:  below 1  1 to 3  3 to 5  5 to 8  8 and more "
    assert meaning.startswith("1, 3, 5, 8 bits: probability 1/2, 1/8, 1/32, 1/256")


def test_heat_is_readable_on_any_terminal():
    """The text of each level has a contrast of at least 4.5 to its own background (WCAG 2.2, level AA)."""

    def luminance(color: int) -> float:
        levels = (0, 95, 135, 175, 215, 255)
        cube = [levels[(color - 16) // size % 6] for size in (36, 6, 1)]  # the 6 x 6 x 6 colors, and then grays
        shares = [each / 255 for each in (cube if color < 232 else [8 + 10 * (color - 232)] * 3)]
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for style in heat.COLORS:
        ground, ink = map(int, re.fullmatch(r"48;5;(\d+);38;5;(\d+)", style).groups())
        dark, light = sorted((luminance(ground), luminance(ink)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_heat_without_colors(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted(b"abc\nd", [1.5, 6, 9, 9], monkeypatch) == "ab\033[4mc\033[0m\033[1;4m↵\033[0m\n\033[1;4md\033[0m"


def test_heat_shows_characters_whole_and_controls_as_escapes(monkeypatch):
    """The surprise of a character is the sum over its bytes; control characters do not reach the terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    shown = painted("aé\x1b€".encode(), [3, 3, 0, 1, 1, 1], monkeypatch)
    assert shown == "a\033[4mé\033[0m\\x1b€"


def test_heat_where_there_is_no_terminal(text):
    result = run(LUA / "lstm.t7", text, "-heat", 1)
    assert result.stdout_bytes == text.read_bytes()
    assert f"{text.read_text()}\nHow much of this text" in result.output  # what follows begins on a new line
    assert "not a terminal" in result.stderr
    assert "1499" in result.stderr


def test_single_precision(text):
    double, single = (json.loads(run(LUA / "lstm.t7", text, "-json", "-dtype", dtype).stdout)["nats_per_character"]
                      for dtype in ("float64", "float32"))  # fmt: skip
    assert 0 < abs(double - single) < 1e-5
    assert torch.get_default_dtype() == torch.float32

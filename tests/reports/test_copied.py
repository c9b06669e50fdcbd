"""Tests of `charrnn copied`: matches against brute force, the splits against the loader, and the whole program."""

import html
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from conftest import RECORDINGS, assert_one_line_error, run_train

from charrnn_port import __main__ as charrnn
from charrnn_port.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from charrnn_port.model.memory import parameter_count
from charrnn_port.reports.copied import ORDER, markov_chains, split
from charrnn_port.reports.matches import Matches, covered, longest_matches, passages
from charrnn_port.reports.whole_texts import whole_texts
from charrnn_port.util.encodings import Encoding
from charrnn_port.util.minibatch_loader import MinibatchLoader
from charrnn_port.util.vocabulary import Vocabulary

LUA = RECORDINGS / "lua_checkpoints/lstm.t7"
PLAY = (RECORDINGS / "play/input.txt").read_bytes()
NEW = b"#@%^*|~{}+" * 3  # none of these is in the play


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(charrnn.copied, [*map(str, arguments)], input=stdin)


def array(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8)


def brute_force(sample: bytes, pieces: list[bytes]) -> list[int]:
    """Return the length of the longest match at each byte, by trying all."""
    starts = range(len(sample))
    return [
        max(n for n in range(len(sample) - i + 1) if n == 0 or any(sample[i : i + n] in piece for piece in pieces))
        for i in starts
    ]


# Matches


@pytest.mark.parametrize("seed", range(25))
def test_matches_equal_brute_force(seed):
    """Texts of 1 to 4 different bytes, so that they repeat themselves; one sample is a part of the text."""
    rng = np.random.default_rng(seed)
    letters, size = rng.integers(1, 5), rng.integers(0, 80)
    text = rng.integers(0, letters, size).astype(np.uint8)
    a, b, c, d = sorted(rng.integers(0, size + 1, 4).tolist())
    ranges = [(a, b), (c, d)][: rng.integers(0, 3)]
    samples = [rng.integers(0, letters, rng.integers(0, 40)).astype(np.uint8) for _ in range(2)] + [text[size // 3 :]]
    pieces = [text[begin:end].tobytes() for begin, end in ranges]
    for sample, matches in zip(samples, longest_matches(samples, text, ranges), strict=True):
        lengths = brute_force(sample.tobytes(), pieces)
        assert matches.lengths.tolist() == lengths
        for place, length in enumerate(lengths):
            begin = matches.places[place]
            assert sample[place : place + length].tolist() == text[begin : begin + length].tolist()
            assert not length or any(first <= begin and begin + length <= last for first, last in ranges)


@pytest.mark.parametrize("seed", range(10))
def test_passages_and_shares_equal_brute_force(seed):
    rng = np.random.default_rng(seed)
    sample, text = (rng.integers(0, 3, 60).astype(np.uint8) for _ in range(2))
    (matches,) = longest_matches([sample], text, [(0, 60)])
    data, other = sample.tobytes(), text.tobytes()
    for least in (1, 3, 5):
        found = {(i, j) for i in range(60) for j in range(i + least, 61) if data[i:j] in other}
        maximal = {(i, j) for i, j in found if not {(i - 1, j), (i, j + 1)} & found}
        listed = [(each.sample_position, each.sample_position + each.length) for each in passages(matches, least)]
        assert listed == sorted(maximal)
        assert covered(matches.lengths, least) == len({place for i, j in found for place in range(i, j)})


def test_a_planted_copy_is_found():
    rng = np.random.default_rng(0)
    text, sample = (rng.integers(0, 256, 5000).astype(np.uint8) for _ in range(2))
    sample[1000:1700] = text[3000:3700]
    (matches,) = longest_matches([sample], text, [(0, len(text))])
    assert list(passages(matches, 20)) == [(700, 1000, 3000)]


def test_no_passage_from_no_text():
    (matches,) = longest_matches([array(b"abc")], array(b""), [])
    assert matches.lengths.tolist() == [0, 0, 0]
    assert covered(Matches(np.zeros(0, np.int64), np.zeros(0, np.int64)).lengths, 5) == 0


# Whole texts


def test_whole_texts_of_a_list():
    """Names that are in the list with both borders; those that only the validation split has are marked."""
    names = b"Anna\nAnnabel\n\nBo\nEve\nBo\n"
    held_out = [(4, 12), (14, 17)]  # Annabel, and the first Bo with the separator before each
    count, found = whole_texts(b"Ann\nAnnabel\nBo\nEv\nBo\nEve\n\n", names, b"\n", held_out)
    assert count == 6
    assert found == [(b"Annabel", 2, True), (b"Bo", 6, False), (b"Bo", 6, False), (b"Eve", 5, False)]
    assert whole_texts(b"a\nb\n", b"a\nb\0c\0", b"\0", []) == (1, [(b"a\nb", 1, False)])


def test_whole_texts_are_printed(tmp_path):
    (tmp_path / "input.txt").write_text("Anna\nBo\nCornelius\nDora\n" * 3)
    (tmp_path / "new.txt").write_text("Anna\nAnn\nDora\n")
    (tmp_path / "none.txt").write_text("nn\n")
    opt = {"batch_size": 1, "seq_length": 9, "train_frac": 0.75, "val_frac": 0.25, "separator": r"\n", "dropout": 0}
    checkpoint = checkpoint_of(Vocabulary(bytes(sorted({*b"Anna\nBo\nCornelius\nDora\n"}))), opt)
    cv = tmp_path / "cv.t7.pt"
    save_checkpoint(replace(checkpoint, opt=checkpoint.opt | {"data_dir": str(tmp_path)}), cv)
    shown = run(cv, tmp_path / "new.txt", tmp_path / "none.txt").stdout
    assert f"new.txt: 2 of 3 texts are whole texts of {tmp_path}/input.txt, 0 of them held out\n" in shown
    assert "\n  line  text\n     1  Anna\n     4  Dora\n" in shown
    assert f"none.txt: none of 1 texts is a whole text of {tmp_path}/input.txt\n" in shown
    found = json.loads(run(cv, tmp_path / "new.txt", "-json").stdout)["samples"][0]
    assert (found["texts"], [each["text"] for each in found["whole_texts"]]) == (3, ["Anna", "Dora"])


# Baselines


@pytest.mark.parametrize("split_by", ["rows", "end"])
@pytest.mark.parametrize("encoding", ["bytes", "utf-8", "words"])
def test_the_splits_are_those_of_the_loader(tmp_path, encoding, split_by):
    text = "".join(np.random.default_rng(0).choice(list("aé€😀b\n"), 3000))
    data = text.encode()
    (tmp_path / "input.txt").write_bytes(data)
    how = {"echo": lambda line: None, "encoding": Encoding(encoding), "split_by": split_by}
    loader = MinibatchLoader(tmp_path, 7, 4, 0.8, 0.1, **how)
    opt = {"batch_size": 7, "seq_length": 4, "train_frac": 0.8, "val_frac": 0.1, "split_by": split_by}
    ours = split(data, checkpoint_of(loader.vocab, opt), "cv")
    for number, ranges in zip((1, 2), ours, strict=True):
        rows = np.concatenate([loader.next_batch(number)[0] for _ in range(loader.split_sizes[number])]).T
        assert [data[begin:end] for begin, end in ranges] == [loader.vocab.decode(row) for row in rows.tolist()]


def test_the_splits_of_short_texts():
    """Each text is a piece, with the end of the separator before it; they are spread over the file."""
    data = b"anna\nbert\ncarl\ndora\n"
    opt = {"batch_size": 1, "seq_length": 5, "train_frac": 0.75, "val_frac": 0.25, "separator": "\\n"}
    trained, held_out = split(data, checkpoint_of(Vocabulary(bytes(sorted(set(data)))), opt), "cv")
    texts = sorted(data[begin:end].strip() for begin, end in [*trained, *held_out])
    assert texts == [b"anna", b"bert", b"carl", b"dora"]
    assert (len(trained), len(held_out)) == (3, 1)


def checkpoint_of(vocab, opt):
    """Return a checkpoint with these options and a small network."""
    opt = {"model": "lstm", "rnn_size": 2, "num_layers": 1, "encoding": vocab.encoding, **opt}
    params = torch.zeros(parameter_count("lstm", len(vocab), 2, 1), dtype=torch.float64)
    return Checkpoint(opt, vocab, params, 0, 0.0, [], {}, math.nan)


def test_random_texts_follow_their_contexts():
    """Each byte has been seen after its context, and each seed has its own text."""
    text = PLAY[:20_000]
    chains = markov_chains(array(text), 1)
    assert chains.tolist() == markov_chains(array(text), 1).tolist() != markov_chains(array(text), 2).tolist()
    around = text + text[: ORDER + 1]
    for chain in chains[:3]:
        drawn = chain.tobytes()
        assert all(drawn[place : place + ORDER + 1] in around for place in range(200))


# The program


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "play.txt"
    path.write_bytes(PLAY)
    return path


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "sample.txt"
    path.write_bytes(NEW + PLAY[5000:5060] + NEW)
    return path


@pytest.fixture
def trained(tmp_path):
    """Return a checkpoint of a run whose text is 20 times a different line; 10 of 20 batches are held out."""
    data = b"".join(b"%02d" % number + bytes([97 + number]) * 38 for number in range(20))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(data)
    result = run_train(
        "-data_dir", tmp_path / "data", "-checkpoint_dir", tmp_path / "cv", "-rnn_size", 2, "-num_layers", 1,
        "-batch_size", 2, "-seq_length", 20, "-train_frac", 0.5, "-val_frac", 0.5, "-max_epochs", 0.1, "-gpuid", -1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (checkpoint,) = (tmp_path / "cv").glob("*.t7.pt")
    return checkpoint


def test_tables(sample, text):
    result = run(LUA, sample, "-text", text)
    rows = result.stdout.splitlines()
    assert rows[1].split() == ["N", "=", "5", "10", "20", "30", "50", "100", "longest", "bytes"]
    assert rows[2].split() == ["50.0%"] * 5 + ["0.0%", "60", "120", str(sample)]
    assert rows[3].split()[0] == "100.0%"
    assert "order-5 Markov chain" in rows[3]
    line = PLAY[:5000].count(b"\n") + 1
    assert rows[-1].split()[:4] == ["60", "30", "5000", str(line)]
    assert result.stderr == ""


def test_json(sample, text):
    found = json.loads(run(LUA, sample, "-", "-text", text, "-json", stdin=NEW).stdout)
    first, stdin = found["samples"]
    (passage,) = first["passages"]
    assert passage["passage"].encode() == PLAY[5000:5060]
    assert (passage["bytes"], passage["sample_position"], passage["text_position"]) == (60, 30, 5000)
    assert first["shares"] == {"5": 0.5, "10": 0.5, "20": 0.5, "30": 0.5, "50": 0.5, "100": 0.0}
    assert (stdin["name"], stdin["longest"], stdin["passages"]) == ("stdin", 0, [])
    assert [each["name"][:6] for each in found["baselines"]] == ["random"]


def test_only_the_training_split_counts_as_training_text(trained, tmp_path):
    """The first half of each row of a batch is trained on: bytes 0 to 199 and 400 to 599."""
    data = (tmp_path / "data/input.txt").read_bytes()
    (tmp_path / "sample.txt").write_bytes(data[100:300])
    found = json.loads(run(trained, tmp_path / "sample.txt", "-json").stdout)
    (passage,) = found["samples"][0]["passages"]
    assert (passage["bytes"], passage["sample_position"], passage["text_position"]) == (100, 0, 100)
    held_out = found["baselines"][0]
    assert (held_out["name"], held_out["bytes"], held_out["longest"]) == ("held-out text", 400, 1)


def test_the_runs_text_in_another_place_is_split_too(trained, tmp_path):
    (tmp_path / "data").rename(tmp_path / "moved")
    (tmp_path / "sample.txt").write_bytes(NEW)
    assert_one_line_error(run(trained, tmp_path / "sample.txt"), 1, "no training text at", "-text")
    moved = run(trained, tmp_path / "sample.txt", "-text", tmp_path / "moved/input.txt")
    assert "held-out text" in moved.stdout
    (tmp_path / "moved/input.txt").write_bytes(PLAY)
    other = run(trained, tmp_path / "sample.txt", "-text", tmp_path / "moved/input.txt")
    assert "held-out text" not in other.stdout
    assert "differs from the text that the run was trained on" in other.stderr


def test_the_page_marks_the_passage(sample, text, tmp_path):
    sample.write_bytes(b"<&\xff" + sample.read_bytes())
    assert run(LUA, sample, "-text", text, "-o", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    (pre,) = re.findall(r"<pre>\n(.*)</pre>", page, re.S)
    assert html.unescape(re.sub("<[^>]*>", "", pre)) == f"<&\ufffd{sample.read_bytes()[3:].decode()}"
    (title, marked) = re.search(r'<a [^>]*href="#passage-0-0" title="([^"]*)">(.*)</a>', pre, re.S).groups()
    assert html.unescape(marked).encode() == PLAY[5000:5060]
    assert title.startswith("60 bytes, in the training text at byte 5000, line ")
    assert 'id="passage-0-0"' in page


class Terminal(io.StringIO):
    """A stdout that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_show_underlines_without_colors(sample, text, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout", Terminal())
    sample.write_bytes(NEW + PLAY[4998:5058] + NEW)
    charrnn.copied.callback(model=LUA, samples=(sample,), text=text, show=1, least=40)
    passage = PLAY[4998:5058].decode().replace("\n", "\033[0m\n\033[4m")
    shown = charrnn.sys.stdout.getvalue().replace("↵", "")
    assert shown == f"{NEW.decode()}\033[4m{passage}\033[0m{NEW.decode()}\n"


def test_show_where_there_is_no_terminal(sample, text):
    result = run(LUA, sample, "-text", text, "-show", 1)
    assert result.stdout_bytes == sample.read_bytes() + b"\n"
    assert "not a terminal" in result.stderr
    assert "passages of at least 20 bytes" in result.stderr


def test_errors_are_one_line(sample, text, tmp_path):
    (tmp_path / "empty.txt").write_bytes(b"")
    good = (LUA, sample, "-text", text)
    assert_one_line_error(run(LUA, "none.txt", "-text", text), 1, "cannot read none.txt: No such file")
    assert_one_line_error(run(LUA, tmp_path / "empty.txt", "-text", text), 1, "empty.txt is empty")
    assert_one_line_error(run(LUA, LUA, "-text", text), 1, "lstm.t7 is a checkpoint")
    assert_one_line_error(run(LUA, sample, "-text", tmp_path / "none"), 1, "no training text at", "-text")
    assert_one_line_error(run(LUA, sample, "-text", tmp_path / "empty.txt"), 1, "empty.txt is empty")
    assert_one_line_error(run(LUA, "-", "-", "-text", text), 1, "name - once")
    assert_one_line_error(run(*good, "-show", "-json"), 2, "-show and -json")
    assert_one_line_error(run(*good, "-least", 0), 2, "-least")
    assert_one_line_error(run(*good, "-o", tmp_path), 1, "-o", "cannot overwrite")
    assert_one_line_error(run(*good, "-o", tmp_path / "no/page.html"), 1, "cannot write")
    for read in (sample, text):
        assert_one_line_error(run(*good, "-o", read), 1, "-o", "cannot overwrite a file that is read")
    assert_one_line_error(run(sample, sample), 1, "sample.txt")


def test_a_missing_text_is_not_downloaded(sample, tmp_path, monkeypatch):
    """The default data_dir is relative to the folder where the run was started."""
    monkeypatch.chdir(tmp_path)
    saved = load_checkpoint(LUA)
    save_checkpoint(replace(saved, opt=saved.opt | {"data_dir": "data/tinyshakespeare"}), tmp_path / "run.t7.pt")
    error = "no training text at data/tinyshakespeare/input.txt"
    assert_one_line_error(run("run.t7.pt", sample), 1, error, "-text")

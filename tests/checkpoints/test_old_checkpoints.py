"""Tests that checkpoints of the Lua original work wherever ours do: sampling, evaluation, -init_from (in the tests of
recorded runs), inspect, convert, and Python.
"""

import io
import json
import math
import pickle
import random
import string
import time
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from conftest import NEEDS_COMPILER, RECORDINGS, REFERENCE, assert_one_line_error, run_sample
from runs import recorded, typed
from t7_helpers import assert_same_graph
from test_lua_checkpoint import LEFT_OUT, OTHER_VALUES, RECORDED

import charrnn_port
from charrnn_port.__main__ import convert, inspect
from charrnn_port.reports.verify import samples, vectors
from charrnn_port.reports.verify.results import Same
from charrnn_port.reports.verify.runs import Backend
from charrnn_port.torch7 import t7
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

FILES = RECORDINGS / "lua_checkpoints"
VARIANTS = ["seed123", "seed7_t05", "t2", "argmax", "prime", "prime_argmax"]


def run_tool(tool, *arguments: object) -> Result:
    return CliRunner().invoke(tool, [str(word) for word in arguments])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", RECORDED)
def test_samples_the_recorded_bytes(name, variant, tmp_path):
    (sample,) = [sample for sample in recorded(name).samples if sample.variant == variant]
    old = tmp_path / "any_name"  # the format is detected by content
    old.write_bytes((FILES / f"{name}.t7").read_bytes())
    result = run_sample(old, "-gpuid", "-1", "-verbose", "0", *typed(sample.arguments))
    assert samples.compare(name, sample, result.stdout_bytes).holds


@pytest.mark.parametrize(
    "cell", [pytest.param("compiled", marks=NEEDS_COMPILER), pytest.param("fused", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("name", RECORDED)
def test_validation_loss_is_the_one_inside(play, name, cell):
    """It is equal in all bits with compiled cells, else to a relative 1e-12; the file name has four digits."""
    run = recorded(name)
    loss = vectors.val_loss(run, Backend(cell), play.parent)
    assert loss.holds, loss
    assert isinstance(loss, Same) if cell == "compiled" else loss.limit == 1e-12
    inside = charrnn_port.load_checkpoint(FILES / f"{name}.t7").val_loss
    assert f"_{inside:.4f}.t7" in run.checkpoints[-1]


@pytest.mark.parametrize("name", RECORDED)
def test_there_and_back(name, tmp_path):
    """.t7 → .t7.pt → .t7 gives the recorded graph, node by node, except what lua.py leaves out."""
    ours, back = tmp_path / "ours.t7.pt", tmp_path / "back.t7"
    assert run_tool(convert, FILES / f"{name}.t7", ours).exit_code == 0
    assert run_tool(convert, ours, back).exit_code == 0
    assert_same_graph(t7.load(back), t7.load(FILES / f"{name}.t7"), LEFT_OUT, OTHER_VALUES)
    first, second = charrnn_port.load_checkpoint(ours), charrnn_port.load_checkpoint(back)
    assert torch.equal(first.params, second.params)
    same = {"params": 0, "version": ""}  # the original's files have no version
    assert vars(first) | same == vars(second) | same


def test_convert_needs_a_format(tmp_path):
    result = run_tool(convert, FILES / "rnn.t7", tmp_path / "rnn.onnx")
    assert_one_line_error(result, 1, "rnn.onnx", ".t7.pt")


def test_inspect_tells_the_same_of_both_formats(tmp_path):
    ours = tmp_path / "gru.t7.pt"
    run_tool(convert, FILES / "gru.t7", ours)
    texts = [run_tool(inspect, file).stdout for file in (FILES / "gru.t7", ours)]
    assert texts[0] == texts[1]
    for words in ("model : gru", "parameters : 17340", "vocab_size : 60", "iteration : 285", "rnn_size : 32"):
        assert words in texts[0]
    values = json.loads(run_tool(inspect, ours, "-json").stdout)
    assert (values["model"], values["parameters"], values["iteration"]) == ("gru", 17340, 285)
    assert list(values["val_losses"]) == ["100", "200", "285"]
    assert round(values["val_loss"], 4) == 2.5571


def test_inspect_prints_nothing_that_a_terminal_obeys(tmp_path):
    saved = charrnn_port.load_checkpoint(FILES / "rnn.t7")
    saved.opt |= {"data_dir": "a\x1b[31m\nb", "savefile": "größe", "\x1b": 1}
    charrnn_port.save_checkpoint(saved, tmp_path / "red.t7.pt")
    lines = run_tool(inspect, tmp_path / "red.t7.pt").stdout.split("\n")
    assert r"  'data_dir : a\x1b[31m\nb'" in lines
    assert r"  '\x1b : 1'" in lines
    assert "  savefile : größe" in lines


def strict(text: str) -> dict:
    """Return the value of JSON text, and refuse NaN and Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_inspect_json_is_json_and_has_all_that_is_small(tmp_path):
    saved = charrnn_port.load_checkpoint(REFERENCE / "checkpoints/charrnn_port_0.1.t7.pt")
    saved.val_loss, saved.val_losses[80], saved.train_losses[0] = math.nan, math.inf, -math.inf
    saved.opt["grad_clip"] = math.inf
    saved.progress |= {"schedule": {"best": math.nan}, "text": "f7886f"}
    saved.progress["unfinished"] = {math.nan: 1.0}  # a corrupt file may have it as a key too
    charrnn_port.save_checkpoint(saved, tmp_path / "nan.t7.pt")
    values = strict(run_tool(inspect, tmp_path / "nan.t7.pt", "-json").stdout)
    assert (values["val_loss"], values["val_losses"]["80"], values["opt"]["grad_clip"]) == (None, None, None)
    assert values["train_losses"] == [None, *saved.train_losses[1:]]
    assert values["val_losses"]["20"] == saved.val_losses[20]
    assert values["version"] == charrnn_port.__version__
    rate = saved.progress["optimizer"]["learning_rate"]
    rest = {"text": "f7886f", "unfinished": {"nan": 1.0}}
    assert values["progress"] == {"optimizer": {"learning_rate": rate}, "schedule": {"best": None}, **rest}
    values = strict(run_tool(inspect, FILES / "rnn.t7", "-json").stdout)
    assert (values["version"], values["progress"], len(values["train_losses"])) == (None, None, 285)


def test_from_python(recordings):
    """Runs the example of docs/python.md."""
    saved = charrnn_port.load_checkpoint(FILES / "lstm.t7")
    text = b"".join(charrnn_port.sample_bytes(saved, length=200, primetext=b"The tide ", temperature=0.8))
    assert text + b"\n" == bytes(recordings["runs/lstm/samples/prime"][:])
    with pytest.raises(UserError, match="position 1"):
        charrnn_port.sample_bytes(saved, primetext=b"a\xff")


# Hostile files give one clear error and run no code.


@pytest.fixture
def small_checkpoint(tmp_path):
    """Return the bytes of the smallest recorded checkpoint as .t7.pt, and a path for changed ones."""
    path = tmp_path / "small.t7.pt"
    run_tool(convert, FILES / "rnn.t7", path)
    return path.read_bytes(), path


def test_truncated_t7_pt(small_checkpoint):
    whole, path = small_checkpoint
    for size in [*range(0, 600), *range(600, len(whole), 997)]:
        path.write_bytes(whole[:size])
        with pytest.raises(UserError):
            charrnn_port.load_checkpoint(path)


def test_mutated_t7_pt(small_checkpoint):
    """Random changes of single bytes, also in the pickle, give an error or a valid checkpoint, quickly."""
    whole, path = small_checkpoint
    names = zipfile.ZipFile(io.BytesIO(whole)).namelist()
    pickle_name = next(name for name in names if name.endswith("data.pkl"))
    begin = whole.index(zipfile.ZipFile(io.BytesIO(whole)).read(pickle_name))
    generator = random.Random(1)
    for _ in range(300):
        place = generator.randrange(len(whole)) if generator.random() < 0.3 else begin + generator.randrange(2000)
        path.write_bytes(whole[:place] + bytes([generator.randrange(256)]) + whole[place + 1 :])
        start = time.process_time()
        with suppress(UserError):
            charrnn_port.load_checkpoint(path).require_consistent()
        assert time.process_time() - start < 1


class Payload:
    """A class whose pickle would run code."""

    def __reduce__(self):
        return exec, ("raise SystemError('a payload ran')",)


def test_a_pickle_with_a_payload_is_named_and_refused(tmp_path):
    for protocol in (2, 3, 4, 5):
        (tmp_path / "bare.pt").write_bytes(pickle.dumps(Payload(), protocol))
        with pytest.raises(UserError, match="a bare pickle is refused, because it may run code"):
            charrnn_port.load_checkpoint(tmp_path / "bare.pt")
    torch.save(Payload(), tmp_path / "new.pt")
    with pytest.raises(UserError, match=r"wants to run (\w+\.)?exec, which is refused"):
        charrnn_port.load_checkpoint(tmp_path / "new.pt")


@pytest.mark.parametrize(
    "change",
    [
        {"opt": {}}, {"opt": None}, {"vocab": b""}, {"vocab": b"aa"}, {"vocab": "ab"}, {"vocab": 1}, {"vocab": ["a"]},
        {"params": torch.zeros(3)},
        {"params": None}, {"i": "1"}, {"train_losses": None}, {"more": 1},
        {"train_losses": ["1"]}, {"val_losses": {1: None}}, {"opt": {"model": {}}},
        {"progress": 1}, {"progress": {}},
        {"opt": {"model": "rnn", "rnn_size": 2**62, "num_layers": 2**62, "dropout": 0}},
        {"opt": {"model": "rnn", "rnn_size": -1, "num_layers": 1, "dropout": 0}},
        {"opt": {"model": "cnn", "rnn_size": 1, "num_layers": 1, "dropout": 0}},
        {"opt": {"model": "rnn", "rnn_size": 32, "num_layers": 2, "dropout": 1}},
    ],
)  # fmt: skip
def test_values_that_do_not_fit(small_checkpoint, change):
    _, path = small_checkpoint
    torch.save(torch.load(path) | change, path)
    with pytest.raises(UserError, match="corrupt or not a checkpoint: "):
        charrnn_port.load_checkpoint(path)


def test_a_newer_format_is_named(small_checkpoint):
    _, path = small_checkpoint
    torch.save(torch.load(path) | {"format": "charrnn_port checkpoint 4"}, path)
    with pytest.raises(UserError, match="charrnn_port checkpoint 4, which a newer charrnn_port wrote"):
        charrnn_port.load_checkpoint(path)


@pytest.mark.parametrize("symbols", [f"é文🙂{string.ascii_letters}01234567", bytes(range(60, 0, -1))])
def test_vocabularies_of_characters_and_in_any_order(small_checkpoint, symbols, tmp_path):
    """They are stored unchanged. The original's format holds bytes only."""
    _, path = small_checkpoint
    saved = charrnn_port.load_checkpoint(path)
    saved.vocab = Vocabulary(symbols[:60])
    charrnn_port.save_checkpoint(saved, path)
    loaded = charrnn_port.load_checkpoint(path)
    assert loaded.vocab == saved.vocab
    text = b"".join(charrnn_port.sample_bytes(loaded, 50))
    assert loaded.vocab.decode(loaded.vocab.encode(text)) == text
    if isinstance(symbols, str):
        with pytest.raises(UserError, match="cannot hold characters of several bytes"):
            charrnn_port.save_checkpoint(loaded, tmp_path / "for_lua.t7")


def test_single_precision_stays_single(small_checkpoint):
    _, path = small_checkpoint
    values = torch.load(path)
    torch.save(values | {"params": values["params"].float()}, path)
    assert charrnn_port.load_checkpoint(path).params.numpy().dtype == np.float32

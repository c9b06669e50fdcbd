"""A run with -encoding words, from training to sampling; bits per byte compare encodings."""

import json
import math

import h5py
import pytest
import torch
from click.testing import CliRunner, Result
from conftest import RECORDINGS, assert_one_line_error, run_sample, run_train
from runs import EVERY, SMALL

import charrnn_port
from charrnn_port import __main__ as charrnn

PLAY = (RECORDINGS / "play/input.txt").read_text()[:4000]


def run(verb: str, *arguments: object) -> Result:
    return CliRunner().invoke(charrnn.verbs()[verb], [str(word) for word in arguments])


def train(folder, *more):
    (folder / "input.txt").write_text(PLAY)
    words = [*SMALL, *EVERY, "-max_epochs", 1, "-data_dir", folder, "-checkpoint_dir", folder / "cv", *more]
    result = run_train(*words)
    assert result.exit_code == 0, result.output
    return folder / "cv", charrnn_port.load_checkpoint(folder / "cv")


@pytest.fixture(scope="module", params=[1, 20])
def trained(request, tmp_path_factory):
    """Return the checkpoint folder and the checkpoint of a short run, without and with an unknown symbol."""
    return train(tmp_path_factory.mktemp("words"), "-encoding", "words", "-min_count", request.param)


def test_score_and_evaluate_give_the_validation_loss(trained):
    """To 1e-12, and its bits per byte: over the bytes of the words that were predicted."""
    cv, checkpoint = trained
    vocab = checkpoint.vocab
    assert (vocab.unknown is not None) == ("min_count" in checkpoint.opt)
    scored = json.loads(run("score", cv, "-split", "val", "-json", "-gpuid", -1).stdout)
    evaluated = json.loads(run("evaluate", cv, "-split", "val", "-json", "-gpuid", -1).stdout)
    assert run("split", cv, "-o", cv.parent / "parts").exit_code == 0
    val = (cv.parent / "parts/val.txt").read_text()
    assert len(vocab.units_of(val)) == scored["characters"]
    for found in (scored, evaluated):
        assert abs(found["nats_per_character"] - checkpoint.val_loss) < 1e-12
        bits = found["nats_per_character"] * found["characters"] / math.log(2)
        size = bits / found["bits_per_byte"]
        assert abs(size - round(size)) < 1e-6
        assert abs(size - len(val.encode())) < 100  # targets are one word later than what is read, in each row
    assert scored["bits_per_byte"] == pytest.approx(evaluated["bits_per_byte"], rel=1e-12)


def test_a_text_of_bytes_has_as_many_bits_per_byte_as_per_character(tmp_path):
    cv, _ = train(tmp_path)
    for verb in ("score", "evaluate"):
        found = json.loads(run(verb, cv, "-split", "val", "-json", "-gpuid", -1).stdout)
        assert found["bits_per_byte"] == pytest.approx(found["bits_per_character"], rel=1e-12)
    assert "bits/byte" not in run("score", cv, "-split", "val", "-gpuid", -1).stdout


def test_sampling(trained):
    """-length counts words. The unknown symbol is never sampled."""
    cv, checkpoint = trained
    text = run_sample(cv, "-verbose", 0, "-gpuid", -1, "-length", 50, "-primetext", "the ").stdout
    assert text.startswith("the ")
    assert "\ufffd" not in text
    pieces = list(charrnn_port.sample_bytes(checkpoint, 50, primetext="the "))
    assert len(pieces) == 2 + 50
    assert text == b"".join(pieces).decode() + "\n"


def test_files(trained, tmp_path):
    """Checkpoints and safetensors keep the words; .t7 files cannot. torch.load reads plain values."""
    cv, checkpoint = trained
    again = tmp_path / "x.t7.pt"
    charrnn_port.save_checkpoint(checkpoint, again)
    loaded = torch.load(again, weights_only=True)
    assert (loaded["format"], loaded["vocab"]) == ("charrnn_port checkpoint 3", list(checkpoint.vocab.symbols))
    assert loaded["unknown"] == (checkpoint.vocab.unknown is not None)
    assert charrnn_port.load_checkpoint(again).vocab == checkpoint.vocab
    assert_one_line_error(run("convert", cv, tmp_path / "x.t7"), 1, "cannot hold words")
    safetensors = tmp_path / "x.safetensors"
    if run("convert", cv, safetensors).exit_code == 0:  # where safetensors is installed
        assert charrnn_port.load_checkpoint(safetensors).vocab == checkpoint.vocab


def test_reports(trained, tmp_path):
    cv, checkpoint = trained
    table = run("score", cv, "-split", "val", "-gpuid", -1).stdout
    assert table.startswith("nats/char  bits/char  bits/byte")
    rows = run("score", cv, "-split", "val", "-csv", "-gpuid", -1).stdout
    assert rows.startswith("position,character,")
    assert_one_line_error(run("score", cv, "-split", "val", "-lines", "-gpuid", -1), 2, "-csv")
    assert_one_line_error(run("look", cv, "-split", "val", "-o", tmp_path / "x.html"), 1, "reads words")
    assert run("inspect", cv).exit_code == 0
    assert run("trace", cv, "-split", "val", "-o", tmp_path / "x.h5").exit_code == 0
    with h5py.File(tmp_path / "x.h5") as file:
        assert [each.decode() for each in file["vocab"]] == list(checkpoint.vocab.symbols)


def test_resume_and_separator(tmp_path):
    """Lines of words, each a text of its own."""
    cv, checkpoint = train(tmp_path, "-encoding", "words", "-separator", r"\n")
    scored = json.loads(run("score", cv, "-split", "val", "-json", "-gpuid", -1).stdout)
    assert abs(scored["nats_per_character"] - checkpoint.val_loss) < 1e-12
    assert "\n" not in run_sample(cv, "-verbose", 0, "-gpuid", -1, "-length", 50).stdout.removesuffix("\n")
    assert run_train("-resume", "latest", "-checkpoint_dir", cv, "-max_epochs", 2).exit_code == 0

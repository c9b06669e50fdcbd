"""A run with -encoding words or bpe, from training to sampling; bits per byte compare encodings."""

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
from charrnn_port.reports.text_stream import characters_of

PLAY = (RECORDINGS / "play/input.txt").read_text()[:4000]


def run(verb: str, *arguments: object) -> Result:
    return CliRunner().invoke(charrnn.verbs()[verb], [str(word) for word in arguments])


def train(folder, *more):
    (folder / "input.txt").write_text(PLAY)
    words = [*SMALL, *EVERY, "-max_epochs", 1, "-data_dir", folder, "-checkpoint_dir", folder / "cv", *more]
    result = run_train(*words)
    assert result.exit_code == 0, result.output
    return folder / "cv", charrnn_port.load_checkpoint(folder / "cv")


@pytest.fixture(scope="module", params=["words", "words -min_count 20", "bpe -vocab_size 300"])
def trained(request, tmp_path_factory):
    """Return the folder and the checkpoint of a short run: of words, with an unknown symbol, and of tokens."""
    if request.param.startswith("bpe"):
        pytest.importorskip("tokenizers")
    return train(tmp_path_factory.mktemp("words"), "-encoding", *request.param.split())


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
    text = run_sample(cv, "-verbose", 0, "-gpuid", -1, "-length", 50, "-primetext", "the ").stdout_bytes
    assert text.startswith(b"the ")
    assert "\ufffd".encode() not in text
    pieces = list(charrnn_port.sample_bytes(checkpoint, 50, primetext="the "))
    assert len(pieces) == len(checkpoint.vocab.encode(b"the ")) + 50
    assert text == b"".join(pieces) + b"\n"


def test_files(trained, tmp_path):
    """Checkpoints and safetensors keep words and merges; .t7 files cannot. torch.load reads plain values."""
    cv, checkpoint = trained
    again = tmp_path / "x.t7.pt"
    charrnn_port.save_checkpoint(checkpoint, again)
    loaded = torch.load(again, weights_only=True)
    saved = [list(pair) for pair in getattr(checkpoint.vocab, "merges", [])] or list(checkpoint.vocab.symbols)
    assert (loaded["format"], loaded["vocab"]) == ("charrnn_port checkpoint 3", saved)
    assert loaded["unknown"] == (checkpoint.vocab.unknown is not None)
    assert charrnn_port.load_checkpoint(again).vocab == checkpoint.vocab
    assert_one_line_error(run("convert", cv, tmp_path / "x.t7"), 1, f"cannot hold {checkpoint.vocab.kind}")
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
    look = run("look", cv, "-split", "val", "-o", tmp_path / "x.html")
    assert_one_line_error(look, 1, f"reads {checkpoint.vocab.kind}")
    assert run("inspect", cv).exit_code == 0
    assert run("trace", cv, "-split", "val", "-o", tmp_path / "x.h5").exit_code == 0
    with h5py.File(tmp_path / "x.h5") as file:
        assert [each.decode() for each in file["vocab"]] == characters_of(list(checkpoint.vocab.symbols))


def test_pages_read_characters(trained, tmp_path):
    cv, checkpoint = trained
    for name in ("page.html", "module.mjs"):
        assert_one_line_error(run("export", cv, tmp_path / name), 1, f"not {checkpoint.vocab.kind}")
    if run("export", cv, f"{tmp_path}/hub/").exit_code == 0:  # where safetensors is installed
        assert not (tmp_path / "hub/page.html").exists()
        assert "page.html" not in (tmp_path / "hub/README.md").read_text()


def test_served_texts_are_those_of_sample_py(trained):
    """Whole and streamed; max_tokens counts words, or tokens, and log-probabilities are theirs."""
    pytest.importorskip("starlette")
    from served import client_of, complete, events

    cv, checkpoint = trained
    printed = b"".join(charrnn_port.sample_bytes(checkpoint, 40, primetext="the ", seed=3, temperature=0.7))
    body = {"prompt": "the ", "max_tokens": 40, "seed": 3, "temperature": 0.7}
    with client_of(cv) as client:
        whole = complete(client, **body, logprobs=0, echo=True)
        (choice,) = whole["choices"]
        assert choice["text"] == printed.decode(errors="replace")
        assert whole["usage"]["completion_tokens"] == 40
        assert len(choice["logprobs"]["tokens"]) == whole["usage"]["total_tokens"]
        streamed = "".join(event["choices"][0]["text"] for event in events(client, **body))
        assert "the " + streamed == choice["text"]


def test_another_text_is_read_with_the_tokens_of_the_network(tmp_path):
    """By evaluate, as score reads it, and by a run that begins with the network."""
    pytest.importorskip("tokenizers")
    cv, checkpoint = train(tmp_path, "-encoding", "bpe", "-vocab_size", 280)
    other = tmp_path / "other"
    other.mkdir()
    (other / "input.txt").write_text(PLAY[::-1])
    how = ["-split", "all", "-json", "-gpuid", -1]
    evaluated = json.loads(run("evaluate", cv, "-data_dir", other, "-batch_size", 1, "-seq_length", 1, *how).stdout)
    scored = json.loads(run("score", cv, other / "input.txt", "-json", "-gpuid", -1).stdout)
    assert evaluated["characters"] == scored["characters"] + 1  # the last target is the first token of the text
    assert evaluated["bits_per_byte"] == pytest.approx(scored["bits_per_byte"], rel=1e-3)
    more = [*SMALL, "-max_epochs", 1, "-data_dir", other, "-checkpoint_dir", other / "cv", "-init_from", cv]
    begun = run_train(*more, "-encoding", "bpe")
    assert begun.exit_code == 0, begun.output
    tuned = charrnn_port.load_checkpoint(other / "cv")
    assert tuned.vocab == checkpoint.vocab
    assert tuned.opt["vocab_size"] == 280
    assert run_train("-resume", "latest", "-checkpoint_dir", other / "cv", "-max_epochs", 2).exit_code == 0


@pytest.mark.parametrize(("options", "problem"), [
    ("-vocab_size 500", "needs -encoding bpe"), ("-encoding bpe -min_count 2", "no symbol is unknown"),
    ("-encoding bpe -vocab_size 256", "256 is out of range"),
])  # fmt: skip
def test_options_that_exclude_each_other(options, problem):
    assert_one_line_error(run_train(*options.split()), 2, problem)


def test_a_short_text_has_fewer_tokens(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "input.txt").write_text("to be or not to be " * 9)
    words = ["-batch_size", 2, "-seq_length", 4, "-rnn_size", 2, "-max_epochs", 1, "-encoding", "bpe", "-gpuid", -1]
    result = run_train(*words, "-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv")
    assert result.exit_code == 0, result.output
    assert "-vocab_size 1000: the text has only 2" in result.stderr


def test_resume_and_separator(tmp_path):
    """Lines of words, each a text of its own."""
    cv, checkpoint = train(tmp_path, "-encoding", "words", "-separator", r"\n")
    scored = json.loads(run("score", cv, "-split", "val", "-json", "-gpuid", -1).stdout)
    assert abs(scored["nats_per_character"] - checkpoint.val_loss) < 1e-12
    assert "\n" not in run_sample(cv, "-verbose", 0, "-gpuid", -1, "-length", 50).stdout.removesuffix("\n")
    assert run_train("-resume", "latest", "-checkpoint_dir", cv, "-max_epochs", 2).exit_code == 0

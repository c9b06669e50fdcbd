"""Training on many short texts (-separator): the loss is that of each text alone, from the zero state."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from conftest import assert_one_line_error, run_sample, run_train
from runs import EVERY, SMALL, saved

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.sampling import BatchedSession, Model, Session, samplers, until
from charrnn_port.torch7.random import Generator

NAMES = [f"{first}{last}" for first in ("An", "Ber", "Cor", "Dori", "El") for last in ("na", "tha", "nelia", "s", "a")]


def run(verb: str, *arguments: object) -> Result:
    return CliRunner().invoke(charrnn.verbs()[verb], [str(word) for word in arguments])


def loss_of(checkpoint, names) -> float:
    """Return the mean loss of the characters of names and their ends, each name alone, from the zero state."""
    network, losses = checkpoint.build("plain", torch.float64), []
    for name in names:
        ids = torch.tensor(checkpoint.vocab.encode(b"\n" + name.encode() + b"\n"))[:, None]
        log_probs, _ = network.log_probs(ids[:-1], network.zero_state(1))
        losses += (-log_probs[:, 0].gather(1, ids[1:]))[:, 0].tolist()
    return float(np.mean(losses))


@pytest.fixture(scope="module", params=["auto", "plain", "fused"])
def trained(request, tmp_path_factory):
    """Return the checkpoint folder of a short run on names, some of which take two batches, and its last losses."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "input.txt").write_text("\n".join(NAMES))
    words = [*SMALL, "-eval_val_every", 5, "-seq_length", 6, "-train_frac", 0.6, "-val_frac", 0.2]
    words += ["-cell", request.param, "-separator", r"\n", "-data_dir", folder, "-checkpoint_dir", folder / "cv"]
    result = run_train(*words)
    assert result.exit_code == 0, result.output
    assert "25 texts of 5.2 bytes on average, 9 at most: " in result.stderr
    return folder


def test_the_validation_loss_is_that_of_each_text_alone(trained):
    """To 1e-12; as that of `charrnn evaluate` and `score`, which say how many characters there are."""
    checkpoint = charrnn_port.load_checkpoint(trained / "cv")
    for split, more in (("val", []), ("train", []), ("all", [trained / "input.txt"])):
        assert run("split", trained / "cv", "-o", trained / "parts").exit_code == 0
        names = NAMES if split == "all" else (trained / f"parts/{split}.txt").read_text().split()
        expected = checkpoint.val_loss if split == "val" else loss_of(checkpoint, names)
        assert abs(loss_of(checkpoint, names) - expected) < 1e-12
        evaluated = json.loads(run("evaluate", trained / "cv", "-split", split, "-json", "-gpuid", -1).stdout)
        scored = json.loads(run("score", trained / "cv", *more, "-split", split, "-json", "-gpuid", -1).stdout)
        for found in (evaluated, scored):
            assert abs(found["nats_per_character"] - expected) < 1e-12
            assert found["characters"] == sum(len(name) + 1 for name in names)


def test_resuming_gives_the_same_run(trained, tmp_path):
    """Bit by bit, also from the middle of a text."""
    states = saved(trained / "cv")
    first, last = states[min(states)], states[max(states)]
    result = run_train("-resume", first[0], "-checkpoint_dir", tmp_path / "again")
    assert result.exit_code == 0, result.output
    again = saved(tmp_path / "again")[max(states)][1]
    assert torch.equal(again.params, last[1].params)
    assert again.train_losses == last[1].train_losses


def test_sampling_begins_and_ends_with_a_text(trained):
    """Each of -n texts is one text, without its end, as drawn from the state after the separator."""
    checkpoint = charrnn_port.load_checkpoint(trained / "cv")
    result = run_sample(trained / "cv", "-n", 3, "-verbose", 0, "-gpuid", -1, "-length", 30)
    network = checkpoint.build("plain", torch.float64)
    begin = torch.tensor(checkpoint.vocab.encode(b"\n"))[:, None]
    scores = network.log_probs(begin, network.zero_state(1))[0][0, 0].detach().numpy()
    session = Session(Model.of(checkpoint))
    assert np.allclose(session.log_probs(), scores, rtol=0, atol=1e-12)
    texts = []
    for seed in (123, 124, 125):
        ids = Session(Model.of(checkpoint)).sample(30, samplers.categorical(Generator(seed)))
        texts.append(b"".join(until(b"\n", (checkpoint.vocab.decode([id_]) for id_ in ids))).decode())
    assert result.stdout == "".join(f"{text}\n" for text in texts)
    primed = run_sample(trained / "cv", "-verbose", 0, "-gpuid", -1, "-primetext", "An", "-length", 30).stdout
    assert primed.startswith("An")
    assert primed.count("\n") == 1


@pytest.mark.parametrize("use_numpy", [None, True])
def test_texts_that_are_sampled_together_begin_alike(trained, use_numpy):
    """Also one that joins the others later: bit by bit as alone."""
    checkpoint = charrnn_port.load_checkpoint(trained / "cv")
    network = checkpoint.build("fused", torch.float64)
    model = Model(network, checkpoint.vocab, use_numpy, separator=checkpoint.separator)
    alone, together = Session(model), BatchedSession(model, 1)
    assert np.array_equal(together.scores[:, 0], alone.scores)
    together.feed([3])
    together.keep([0], 1)
    together.feed([4, 3])
    alone.feed([3])
    assert np.array_equal(together.scores[:, 1], alone.scores)
    clamped = Session(model.clamped({(1, 0): 1.0}))
    assert not np.array_equal(clamped.scores, Session(model).scores)


def test_each_file_is_a_text(tmp_path):
    """Its end is a symbol of its own, NUL; the checkpoint keeps it, and the reports read the folder."""
    for number, name in enumerate(NAMES):
        (tmp_path / f"{number:02}.txt").write_text(f"{name}\n{name}\n")
    words = [*SMALL, *EVERY, "-train_frac", 0.6, "-val_frac", 0.2, "-data_dir", tmp_path]
    result = run_train(*words, "-checkpoint_dir", tmp_path / "cv")
    assert result.exit_code == 0, result.output
    checkpoint = charrnn_port.load_checkpoint(tmp_path / "cv")
    assert (checkpoint.opt["separator"], checkpoint.separator) == (r"\x00", b"\0")
    scored = json.loads(run("score", tmp_path / "cv", "-split", "val", "-json", "-gpuid", -1).stdout)
    assert abs(scored["nats_per_character"] - checkpoint.val_loss) < 1e-12
    assert run("split", tmp_path / "cv", "-o", tmp_path / "parts").exit_code == 0
    assert (tmp_path / "parts/val.txt").read_bytes().count(b"\0") == 5
    assert "differs" not in run("split", tmp_path / "cv", "-o", tmp_path / "parts").stderr
    assert run("trace", tmp_path / "cv", "-split", "val", "-o", tmp_path / "trace.h5").exit_code == 0
    assert run_train("-resume", "latest", "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 4).exit_code == 0


def test_a_folder_with_one_text(tmp_path):
    """It is one text of many, or a long one with another name than input.txt, which the error names."""
    (tmp_path / "book.txt").write_text("one long text " * 100)
    words = [*SMALL, "-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv"]
    assert_one_line_error(run_train(*words), 1, "only one text in", "rename book.txt to input.txt")
    (tmp_path / "book.txt").rename(tmp_path / "input.txt")
    assert run_train(*words).exit_code == 0


def test_dry_run_and_samples(tmp_path):
    (tmp_path / "input.txt").write_text("\n".join(NAMES))
    words = [*SMALL, "-separator", r"\n", "-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv"]
    result = run_train(*words, "-dry_run", 1)
    assert result.exit_code == 0, result.output
    assert "% of the batches of 4 x 10 is padding" in result.stderr
    result = run_train(*words, "-sample_every", 5, "-dropout", 0.5)
    assert result.exit_code == 0, result.output


def test_errors(tmp_path):
    (tmp_path / "input.txt").write_text("one long text " * 100)
    words = [*SMALL, "-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv"]
    assert_one_line_error(run_train(*words, "-separator", r"\n"), 1, "-separator", "is not in the text")
    assert_one_line_error(run_train(*words, "-separator", r"\q"), 1, "-separator", "unknown escape")

"""Tests the options of sample.py that the original does not have, with the whole program."""

import io
import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import RECORDINGS, ROOT, assert_one_line_error, full_disk, run_sample

import charrnn_port
from charrnn_port.model import BACKENDS
from charrnn_port.options import SampleOptions
from charrnn_port.sampling import Model, Session, prompt, streams
from charrnn_port.sampling.text import until
from charrnn_port.torch7.random import Generator
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

LSTM = RECORDINGS / "lua_checkpoints/lstm.t7"
QUIET = ["-verbose", 0, "-gpuid", -1]


def text(*arguments: object, stdin: bytes = b"") -> bytes:
    """Return what the program prints to stdout."""
    result = run_sample(LSTM, *QUIET, *arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def error(*arguments: object, status: int = 2, words: tuple[str, ...] = ()) -> None:
    assert_one_line_error(run_sample(LSTM, *QUIET, *arguments), status, *words)


def left_by(probabilities: np.ndarray, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> np.ndarray:
    """Return probabilities `[V]` after the filters, by definition: dropped ones are 0, and the rest sums to 1."""
    left = probabilities.copy()
    falling = np.argsort(-left)
    if top_k:
        left[falling[top_k:]] = 0
        left /= left.sum()
    if top_p < 1:
        count = next(count for count in range(1, 1 + len(left)) if left[falling[:count]].sum() >= top_p)
        left[falling[count:]] = 0
        left /= left.sum()
    left[left < min_p * left.max()] = 0
    return left / left.sum()


@pytest.mark.parametrize(
    "filters", [{"top_k": 5}, {"top_p": 0.6}, {"min_p": 0.2}, {"top_k": 8, "top_p": 0.8}, {"top_p": 0.9, "min_p": 0.1},
                {"top_k": 7, "top_p": 0.95, "min_p": 0.05}]
)  # fmt: skip
@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_filters_draw_by_their_definitions(filters, temperature):
    """Temperature, top_k, top_p and min_p apply in this order; each character uses one word of the random stream."""
    model = Model.of(charrnn_port.load_checkpoint(LSTM))
    session, random, expected = Session(model), Generator(8), b"The "
    session.feed(model.vocab.encode(expected))
    for _ in range(100):
        powers = np.exp(session.log_probs() / temperature)
        probabilities = left_by(powers / powers.sum(), **filters)
        id_ = int(probabilities.cumsum().searchsorted(random.words(1)[0] * 2.0**-32))
        session.feed([id_])
        expected += model.vocab.decode([id_])
    given = itertools.chain(*((f"-{name}", value) for name, value in filters.items()))
    assert (
        text("-primetext", "The ", "-seed", 8, "-length", 100, "-temperature", temperature, *given) == expected + b"\n"
    )


def test_filters_that_leave_all_change_nothing():
    assert text("-top_k", 10**6, "-length", 300) == text("-length", 300)
    assert text("-top_p", 1, "-min_p", 0, "-top_k", 0, "-length", 50) == text("-length", 50)


def test_top_k_1_is_argmax():
    greedy = text("-sample", 0, "-primetext", "The ", "-length", 50)
    assert text("-top_k", 1, "-primetext", "The ", "-length", 50) == greedy
    assert text("-min_p", 1, "-primetext", "The ", "-length", 50) == greedy
    assert text("-beam", 1, "-primetext", "The ", "-length", 50) == greedy


@pytest.mark.parametrize(
    "wrong", [("-top_k", -1), ("-top_p", 0), ("-top_p", 1.1), ("-min_p", -0.1), ("-min_p", 2), ("-n", 0), ("-beam", -1),
              ("-interactive", 2), ("-unknown", "ask"), ("-length", -1)]
)  # fmt: skip
def test_values_out_of_range(wrong):
    error(*wrong, words=(f"{wrong[0]}: ", str(wrong[1])))


@pytest.mark.parametrize(
    ("together", "word"),
    [
        (["-primetext", "a", "-primefile", "b"], "-primefile"), (["-length", 0, "-output", "x"], "-length 0"),
        (["-length", 0, "-n", 2], "-length 0"), (["-length", 0, "-beam", 2], "-beam"), (["-beam", 2, "-n", 2], "-n"),
        (["-sample", 0, "-n", 2], "-n"), (["-interactive", 1, "-output", "x"], "-interactive"),
        (["-interactive", 1, "-beam", 2], "-interactive"), (["-interactive", 1, "-n", 2], "-interactive"),
        (["-interactive", 1, "-primetext", "x"], "-primetext"),
        (["-interactive", 1, "-primefile", "x"], "-primefile"),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other(together, word):
    error(*together, words=(word,))


# Beam search


def test_a_wider_beam_is_more_likely():
    model = Model.of(charrnn_port.load_checkpoint(LSTM))

    def log_prob(line: bytes) -> float:
        session, total = Session(model), 0.0
        session.feed(model.vocab.encode(b"The "))
        for id_ in model.vocab.encode(line[4:-1]):
            total += session.log_probs()[id_]
            session.feed([id_])
        return total

    found = [log_prob(text("-beam", beam, "-primetext", "The ", "-length", 20)) for beam in (1, 4, 16)]
    assert found[0] < found[1] <= found[2]


# Prime texts


def test_a_prime_text_from_a_file(tmp_path):
    """All bytes count, including the newline at the end."""
    (tmp_path / "prime").write_bytes(b"The tide\nis in\n")
    expected = text("-primetext", "The tide\nis in\n", "-length", 20)
    assert text("-primefile", tmp_path / "prime", "-length", 20) == expected
    assert text("-primefile", "-", "-length", 20, stdin=b"The tide\nis in\n") == expected
    assert text("-primefile", "-", "-length", 20) == text("-length", 20)
    loud = run_sample(LSTM, "-gpuid", -1, "-primefile", tmp_path / "prime", "-length", 20).stdout_bytes
    assert loud.startswith(
        b"creating an lstm...\nseeding with the 15 bytes of " + bytes(tmp_path / "prime") + b"\n-----"
    )


def test_a_prime_file_that_cannot_be_read(tmp_path):
    error("-primefile", tmp_path / "none", status=1, words=(f"-primefile {tmp_path}/none: No such file",))
    error("-primefile", tmp_path, status=1, words=("Is a directory",))


def test_without_stdin(monkeypatch):
    """As in a notebook, stdin may be None or closed."""
    for stdin in (None, io.StringIO("The ")):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(UserError, match="-primefile -: cannot read stdin"):
            streams.prime_text(SampleOptions(model="", primefile="-"))
        with pytest.raises(UserError, match="-interactive 1: cannot read stdin"):
            next(prompt.piped_lines())


def test_unknown_characters_of_a_prime_text():
    error("-primetext", "Th}e", status=1, words=("-primetext has '}' at position 2",))
    skipped = run_sample(LSTM, *QUIET, "-primetext", "Th}e ", "-unknown", "skip", "-length", 20)
    assert skipped.stdout_bytes == text("-primetext", "The ", "-length", 20)
    assert skipped.stderr == "-unknown skip: left out 1 bytes of the prime text that are not in the vocabulary\n"
    assert run_sample(LSTM, *QUIET, "-primetext", "The ", "-unknown", "skip", "-length", 1).stderr == ""


# Where a text ends


@pytest.mark.parametrize("stop", ["e", "oo", " o", "eeeeee", "\n"])
def test_a_text_stops_before_the_stop_text(stop):
    """The stop sequence is searched for after the prime text only."""
    whole = text("-primetext", "oo e", "-length", 200)
    expected = whole[4:-1].split(stop.encode())[0]
    assert text("-primetext", "oo e", "-length", 200, "-stop", stop) == b"oo e" + expected + b"\n"


def test_a_stop_text_may_begin_anywhere():
    """It may overlap itself: each text of up to six characters that occurs stops the sample at its first occurrence."""
    whole = text("-length", 120)
    for size, place in itertools.product(range(1, 7), range(0, 100, 9)):
        stop = whole[place : place + size]
        pieces = list(until(stop, (bytes([byte]) for byte in whole)))
        assert b"".join(pieces) == whole[: whole.index(stop)]
    assert b"".join(until(b"aab", [b"a", b"a", b"a", b"a", b"b", b"c"])) == b"aa"
    assert b"".join(until(b"aab", [b"a", b"a"])) == b"aa"


def test_a_stop_text_that_can_never_come():
    error("-stop", "}", status=1, words=("-stop has '}'",))


def test_an_endless_text_stops():
    assert text("-length", 0, "-stop", "oo", "-primetext", "The ") == text("-stop", "oo", "-primetext", "The ")


def command(*arguments: object) -> list[str]:
    return [str(word) for word in (sys.executable, ROOT / "sample.py", LSTM, *QUIET, *arguments)]


@pytest.mark.long
def test_an_endless_text_is_the_long_one_and_ends_by_ctrl_c():
    """The sampled text and a newline are printed, without an error; the status is 130."""
    process = subprocess.Popen(command("-length", 0), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    drawn = process.stdout.read(3000)
    process.send_signal(signal.SIGINT)
    drawn += process.stdout.read()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 130
    assert drawn == text("-length", len(drawn) - 1)


# Several texts


def test_several_texts_are_those_of_several_runs():
    """They go to stdout one after the other, each after a line with its seed, unless -verbose 0."""
    options = ["-length", 30, "-primetext", "The ", "-top_p", 0.9]
    alone = [text(*options, "-seed", seed) for seed in (7, 8, 9)]
    assert len(set(alone)) == 3
    assert text(*options, "-seed", 7, "-n", 3) == b"".join(alone)
    lines = run_sample(LSTM, "-gpuid", -1, *options, "-seed", 7, "-n", 3).stdout_bytes
    rest = b"".join(b"-------------------------- seed %d\n%b" % (7 + place, each) for place, each in enumerate(alone))
    assert lines == b"creating an lstm...\nseeding with The \n" + rest


def test_several_texts_stop_each_for_itself():
    alone = [text("-length", 0, "-stop", " ", "-seed", seed) for seed in range(1, 9)]
    assert text("-length", 0, "-stop", " ", "-seed", 1, "-n", 8) == b"".join(alone)
    assert len(set(map(len, alone))) > 3


# Files


def test_a_text_in_a_file(tmp_path):
    path = tmp_path / "text"
    path.write_text("an older one")
    assert text("-length", 30, "-output", path) == b""
    assert path.read_bytes() == text("-length", 30)
    result = run_sample(LSTM, "-gpuid", -1, "-length", 30, "-output", path)
    assert result.stdout.endswith("over first character\n")
    assert result.stderr == f"wrote {path}, 31 bytes\n"
    assert os.listdir(tmp_path) == ["text"]


def test_several_texts_in_one_file_or_in_one_each(tmp_path):
    text("-length", 30, "-n", 3, "-seed", 9, "-output", tmp_path / "all")
    assert (tmp_path / "all").read_bytes() == text("-length", 30, "-n", 3, "-seed", 9)
    text("-length", 30, "-n", 3, "-seed", 9, "-output", tmp_path / "text-{seed}")
    assert sorted(os.listdir(tmp_path)) == ["all", "text-10", "text-11", "text-9"]
    assert (tmp_path / "text-10").read_bytes() == text("-length", 30, "-seed", 10)


def test_a_file_that_cannot_be_written(tmp_path):
    error("-output", tmp_path / "none/text", status=1, words=(f"-output {tmp_path}/none/text: No such file",))
    error("-output", tmp_path, status=1, words=("not a regular file",))
    error("-output", os.devnull, status=1, words=("not a regular file",))


@pytest.mark.long
def test_a_full_disk_leaves_the_older_file(tmp_path):
    path = tmp_path / "text"
    path.write_text("an older one")
    with full_disk(9000):
        ended = subprocess.run(command("-length", 20_000, "-output", path), capture_output=True)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr.decode() == f"Error: -output {path}: File too large\n"
    assert path.read_text() == "an older one"
    assert os.listdir(tmp_path) == ["text"]


@pytest.mark.long
def test_ctrl_c_leaves_no_half_file(tmp_path):
    process = subprocess.Popen(command("-length", 10**9, "-output", tmp_path / "text"), stderr=subprocess.PIPE)
    while not os.listdir(tmp_path):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert (process.returncode, errors) == (130, b"\nError: interrupted\n")
    assert os.listdir(tmp_path) == []


# From Python


@pytest.mark.parametrize(
    "options",
    [{"top_k": 4, "top_p": 0.9, "min_p": 0.1}, {"beam": 3}, {"stop": "oo"}, {"unknown": "skip"}],
)
def test_from_python_equals_the_program(options):
    saved = charrnn_port.load_checkpoint(LSTM)
    primetext = "The }" if "unknown" in options else "The "
    given = itertools.chain(*((f"-{name}", value) for name, value in options.items()))
    expected = text("-length", 40, "-primetext", primetext, *given)
    for source in (saved, Model.of(saved)):
        pieces = charrnn_port.sample_bytes(source, 40, primetext=primetext, **options)
        assert b"".join(pieces) + b"\n" == expected


def test_from_python_without_end():
    saved = charrnn_port.load_checkpoint(LSTM)
    endless = charrnn_port.sample_bytes(saved, length=0)
    assert b"".join(itertools.islice(endless, 2500)) == b"".join(charrnn_port.sample_bytes(saved, 2500))


def test_characters_of_unicode():
    """All options work with a Unicode vocabulary: each character is printed with all its bytes."""
    network = BACKENDS["fused"]("lstm", 4, 6, 1)
    network.params.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    model = Model(network, Vocabulary("aé文 "))
    whole = b"".join(charrnn_port.sample_bytes(model, 200, primetext="文é")).decode()
    assert len(whole) == 202
    prime = "文z".encode() + b"\xff" + "é".encode()
    stopped = b"".join(charrnn_port.sample_bytes(model, 0, primetext=prime, stop="a文", unknown="skip"))
    assert stopped.decode() == whole[: whole.index("a文", 2)]


def test_from_python_a_stop_text_may_be_bytes():
    saved = charrnn_port.load_checkpoint(LSTM)
    assert b"".join(charrnn_port.sample_bytes(saved, 99, stop=b"oo")) == text("-length", 99, "-stop", "oo")[:-1]


def test_what_is_read_is_not_overwritten(tmp_path):
    """Neither the network nor the prime text."""
    network, prime = tmp_path / "lstm.t7", tmp_path / "prime.txt"
    network.write_bytes(LSTM.read_bytes())
    prime.write_text("The ")
    for path, words in ((network, "a checkpoint"), (prime, "a file that is read")):
        result = run_sample(network, "-primefile", prime, *QUIET, "-length", 5, "-output", path)
        assert_one_line_error(result, 1, f"-output {path}", f"cannot overwrite {words}")
    assert (network.read_bytes(), prime.read_text()) == (LSTM.read_bytes(), "The ")


def test_a_dash_is_stdout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text("-length", 20, "-output", "-") == text("-length", 20)
    assert os.listdir(tmp_path) == []

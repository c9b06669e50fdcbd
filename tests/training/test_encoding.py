"""-encoding utf-8 and -min_count through whole programs: train, resume, sample, inspect, convert."""

import json
import re

import pytest
import torch
from click.testing import CliRunner
from conftest import assert_one_line_error, run_sample, run_train
from runs import EVERY, SMALL, TEXT, assert_same, comparable, log_lines, saved

import charrnn_port
from charrnn_port.__main__ import convert, inspect
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

# 312 different characters, most of them once.
CHINESE = "".join("道可道，非常道。名可名，非常名。" + chr(0x4E00 + i % 300) for i in range(330)) + "é\r\n🙂"
UTF_8 = ["-encoding", "utf-8"]
# The options that checkpoints hold since 0.2. Later options are in them only if they are used.
KEPT = """
    data_dir rnn_size num_layers model learning_rate learning_rate_decay learning_rate_decay_after decay_rate dropout
    seq_length batch_size max_epochs grad_clip train_frac val_frac init_from seed print_every eval_val_every
    checkpoint_dir savefile keep_last accurate_gpu_timing gpuid opencl dtype state_carry tf32 cell
""".split()


@pytest.fixture
def data(tmp_path):
    """Return a folder with the Chinese text, which has a CRLF."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(CHINESE.encode())
    return tmp_path / "data"


@pytest.fixture
def trained(data, tmp_path):
    """Return a function that trains a short run with more options and returns the path of its checkpoint."""

    def train(*options: object, folder: str = "cv"):
        arguments = [*SMALL, "-data_dir", data, "-checkpoint_dir", tmp_path / folder, "-max_epochs", 0.3, *options]
        result = run_train(*arguments)
        assert result.exit_code == 0, result.output
        checkpoints = saved(tmp_path / folder)
        return checkpoints[max(checkpoints)][0]

    return train


def test_ascii_is_the_same_either_way(tmp_path):
    """Lines, parameters and samples are equal."""
    (tmp_path / "input.txt").write_bytes(TEXT)
    start = [*SMALL, *EVERY, "-data_dir", tmp_path]
    results, samples, checkpoints = [], [], []
    for encoding in ("bytes", "utf-8"):
        folder = tmp_path / encoding
        results.append(run_train(*start, "-checkpoint_dir", folder, "-encoding", encoding))
        files = saved(folder)
        samples.append(run_sample(files[144][0], "-gpuid", -1, "-length", 100, "-primetext", "fox").stdout_bytes)
        checkpoints.append(files[144][1])
    assert comparable(results[0].stdout) == comparable(results[1].stdout)
    assert len(log_lines(results[0].stdout)) == 144
    assert samples[0] == samples[1]
    assert_same(*checkpoints)
    assert checkpoints[1].vocab == Vocabulary(checkpoints[0].vocab.symbols.decode())


def test_without_these_options_checkpoints_are_what_they_were(trained):
    values = torch.load(trained())
    assert (values["format"], type(values["vocab"])) == ("charrnn_port checkpoint 2", bytes)
    assert list(values["opt"]) == KEPT
    assert "unknown" not in values
    with_both = torch.load(trained(*UTF_8, "-min_count", 2, folder="other"))
    assert set(with_both["opt"]) - set(KEPT) == {"encoding", "min_count"}


@pytest.mark.parametrize("options", [UTF_8, [*UTF_8, "-min_count", "3"], ["-min_count", "20"]], ids=" ".join)
def test_a_run_goes_on_to_the_digit(data, tmp_path, options):
    arguments = [*SMALL, "-eval_val_every", 20, "-data_dir", data, *options, "-max_epochs", 0.3]
    whole = run_train(*arguments, "-checkpoint_dir", tmp_path / "whole")
    checkpoints = saved(tmp_path / "whole")
    resumed = run_train("-resume", checkpoints[20][0], "-checkpoint_dir", tmp_path / "rest")
    assert resumed.exit_code == 0, resumed.output
    end = max(checkpoints)
    assert end > 30
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[20:]
    assert_same(saved(tmp_path / "rest")[end][1], checkpoints[end][1])


@pytest.mark.parametrize("options", [["-encoding", "bytes"], ["-min_count", "4"]], ids=" ".join)
def test_they_belong_to_a_run(trained, options):
    path = trained(*UTF_8, "-min_count", 2)
    assert_one_line_error(run_train("-resume", path, *options), 1, " ".join(options), "would change the run")


def test_samples_are_utf_8(trained):
    path = trained(*UTF_8)
    result = run_sample(path, "-gpuid", -1, "-verbose", 0, "-length", 50, "-temperature", 2, "-primetext", "非常🙂é")
    text = result.stdout_bytes.decode()
    assert text.startswith("非常🙂é")
    assert len(text) == 4 + 50 + 1
    assert set(text) - {"\n"} <= set(CHINESE)


def test_what_a_prime_text_may_be(trained):
    path = trained(*UTF_8)
    assert_one_line_error(run_sample(path, "-primetext", "ü"), 1, "-primetext has 'ü' at position 0")
    wrong = run_sample(path, "-primetext", b"\xe9\x81".decode(errors="surrogateescape"))
    assert_one_line_error(wrong, 1, "-primetext is not UTF-8: byte 0xe9 at position 0")


@pytest.mark.parametrize("encoding", ["bytes", "utf-8"])
@pytest.mark.parametrize("how", [["-temperature", 5], ["-temperature", 1e-3], ["-sample", 0]], ids=str)
def test_the_unknown_symbol_is_never_sampled(data, trained, encoding, how):
    """Even if it is the most likely one: a third of the text are letters that occur once or twice."""
    rare = "".join(map(chr, range(0x100, 0x300)))
    (data / "input.txt").write_text("ab" * 500 + rare)
    path = trained("-encoding", encoding, "-min_count", 40)
    saved_ = charrnn_port.load_checkpoint(path)
    assert saved_.vocab == Vocabulary({"bytes": saved_.vocab.symbols, "utf-8": "ab"}[encoding], with_unknown=True)
    saved_.params[-1] = 50  # its bias
    charrnn_port.save_checkpoint(saved_, path)
    for prime in ([], ["-primetext", "aba"]):
        result = run_sample(path, "-gpuid", -1, "-verbose", 0, "-length", 200, *how, *prime)
        assert result.exit_code == 0, result.output
        text = result.stdout_bytes[:-1]
        if encoding == "utf-8":
            assert len(text) == 200 + len(prime and "aba")
        assert set(text) <= set(saved_.vocab.symbols.encode() if encoding == "utf-8" else saved_.vocab.symbols)


def test_a_prime_text_may_have_unknown_symbols(trained):
    """They are fed as the unknown symbol, and shown as U+FFFD."""
    path = trained(*UTF_8, "-min_count", 3)
    result = run_sample(path, "-gpuid", -1, "-verbose", 0, "-length", 5, "-primetext", "非ü🙂常")
    assert re.fullmatch("非\ufffd\ufffd常[^\ufffd]{5}\n", result.stdout_bytes.decode())


def test_the_number_of_unknown_characters_is_logged(data, tmp_path):
    once = [character for character in set(CHINESE) if CHINESE.count(character) == 1]
    arguments = [*SMALL, "-data_dir", data, "-max_epochs", 0.1, *UTF_8, "-min_count", 2, "-checkpoint_dir"]
    for _ in range(2):  # from the cache too
        result = run_train(*arguments, tmp_path / "cv")
        line = f"unknown symbol: {len(once)} characters in {len(once)} places, rarer than -min_count 2\n"
        assert line in result.stderr
    assert f"vocab size: {len(set(CHINESE)) - len(once) + 1}\n" in result.stdout
    assert "unknown symbol" not in run_train(*arguments, tmp_path / "cv", "-min_count", 1).stderr


def test_text_that_is_not_utf_8(data, tmp_path):
    (data / "input.txt").write_bytes(TEXT + b"caf\xe9 au lait")
    arguments = [*SMALL, "-data_dir", data, "-checkpoint_dir", tmp_path / "cv"]
    words = f"input.txt is not UTF-8: byte 0xe9 at position {len(TEXT) + 3} (", "-encoding bytes"
    assert_one_line_error(run_train(*arguments, *UTF_8), 1, *words)
    assert run_train(*arguments, "-max_epochs", 0.1).exit_code == 0


def test_init_from_needs_the_same_encoding(data, trained, tmp_path):
    path = trained(*UTF_8)
    arguments = [
        *SMALL,
        "-data_dir",
        data,
        "-checkpoint_dir",
        tmp_path / "fine",
        "-max_epochs",
        0.1,
        "-init_from",
        path,
    ]
    wrong = run_train(*arguments)
    assert_one_line_error(wrong, 1, "one is of Unicode characters, the other of bytes", "Use -encoding utf-8")
    assert run_train(*arguments, *UTF_8).exit_code == 0


def test_inspect_names_the_encoding(trained):
    path = trained(*UTF_8, "-min_count", 2)
    vocab = charrnn_port.load_checkpoint(path).vocab
    table = CliRunner().invoke(inspect, [str(path)])
    assert f"  encoding : utf-8\n  vocab_size : {len(vocab)}\n" in table.stdout
    assert "  encoding : utf-8\n" in table.stdout.split("opt:")[1]
    summary = json.loads(CliRunner().invoke(inspect, [str(path), "-json"]).stdout)
    assert (summary["encoding"], summary["vocab"]) == ("utf-8", [*vocab.symbols, None])


def test_convert_says_what_lua_cannot_hold(data, trained, tmp_path):
    def converted(path) -> object:
        return CliRunner().invoke(convert, [str(path), str(tmp_path / "for_lua.t7")])

    assert_one_line_error(converted(trained(*UTF_8)), 1, "cannot hold characters of several bytes", "-encoding utf-8")
    assert_one_line_error(converted(trained("-min_count", 20, folder="b")), 1, "an unknown symbol (-min_count)")
    assert not (tmp_path / "for_lua.t7").exists()
    (data / "input.txt").write_bytes(TEXT)
    path = trained(*UTF_8, folder="c")  # of ASCII only
    assert converted(path).exit_code == 0
    ours, theirs = charrnn_port.load_checkpoint(path), charrnn_port.load_checkpoint(tmp_path / "for_lua.t7")
    assert theirs.vocab == Vocabulary(ours.vocab.symbols.encode())
    assert b"".join(charrnn_port.sample_bytes(theirs, 50)) == b"".join(charrnn_port.sample_bytes(ours, 50))


def test_a_checkpoint_with_an_unknown_symbol_has_a_format_of_its_own(trained, tmp_path):
    """Versions without the unknown symbol refuse the format by its name."""
    path = trained(*UTF_8, "-min_count", 2)
    values = torch.load(path)
    assert (values["format"], values["unknown"]) == ("charrnn_port checkpoint 3", True)
    assert charrnn_port.load_checkpoint(path).vocab == Vocabulary(values["vocab"], with_unknown=True)
    for unknown in (1, None, "yes"):
        torch.save(values | {"unknown": unknown}, path)
        with pytest.raises(UserError, match="unknown is a "):
            charrnn_port.load_checkpoint(path)
    assert torch.load(trained(*UTF_8, folder="other"))["format"] == "charrnn_port checkpoint 2"


@pytest.mark.parametrize("names", [["input.txt"], ["one.txt", "two.txt"]])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_text_in_another_encoding_trains_with_a_warning(encoding, names, tmp_path):
    """Each file of a folder of texts is named."""
    for name in names:
        (tmp_path / name).write_bytes(("the quick brown fox\n" * 50).encode(encoding))
    sizes = "-rnn_size 4 -num_layers 1 -batch_size 4 -seq_length 5 -max_epochs 0.1 -gpuid -1".split()
    result = run_train(*sizes, "-data_dir", tmp_path, "-checkpoint_dir", tmp_path / "cv")
    assert result.exit_code == 0, result.output
    for name in names:
        assert (f"{tmp_path / name} is UTF-16" in result.stderr) == (encoding == "utf-16")

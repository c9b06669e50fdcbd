"""Tests that options from a YAML file are parsed as if typed, and that -print_config prints such a file."""

import builtins
import sys

import pytest
from conftest import ROOT, assert_one_line_error, run_train
from runs import EVERY, SMALL, TEXT, TIME, log_lines, saved

import charrnn_port
from charrnn_port.config import as_text, with_config
from charrnn_port.options import TrainOptions
from charrnn_port.training.events import Started
from charrnn_port.util.errors import UserError

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture
def write(tmp_path):
    """Write a file of options with this text."""

    def write(text, mode="w"):
        path = tmp_path / "options.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return tmp_path / "data"


def effective(path, **typed):
    """Return the options of a file and of the command line that differ from the defaults."""
    options, given = with_config(TrainOptions(config=path, **typed), frozenset(typed))
    changed = {name: value for name, value in options.values().items() if value != getattr(TrainOptions(), name)}
    assert set(changed) <= given | {"config"}
    return {name: value for name, value in changed.items() if name != "config"}


@pytest.mark.parametrize(
    "text",
    [
        "model: gru\nrnn_size: 64\nlearning_rate: 1e-3\n",
        "model: {model: gru, rnn_size: 64}\nlearning_rate: 0.001\n",
        "anything at all:\n  model: 'gru'\n  rnn_size: 0x40\n\n# a comment\noptimization:\n  learning_rate: 1.0e-3\n",
        '{"model": "gru", "s": {"rnn_size": 6.4e1, "learning_rate": "1e-3"}}',
        "\ufeffmodel: gru\r\nrnn_size: 64\r\nlearning_rate: 1e-3\r\n",
    ],
)
def test_flat_or_in_groups(write, text):
    assert effective(write(text)) == {"model": "gru", "rnn_size": 64, "learning_rate": 1e-3}


def test_what_was_typed_comes_first(write):
    path = write("rnn_size: 64\nnum_layers: 3\n")
    assert effective(path, rnn_size=32, seed=5) == {"rnn_size": 32, "num_layers": 3, "seed": 5}
    assert effective(path, rnn_size=128) == {"num_layers": 3}  # typed, though it is the default


def test_text_is_text(write):
    """As on the command line, what YAML would read as a number, a boolean or a date may be the name of a file."""
    for name in ("123", "on", "2026-01-01", "1_000"):
        assert effective(write(f"savefile: {name}")) == {"savefile": name}


def test_an_empty_file_changes_nothing(write):
    assert effective(write("")) == effective(write("# nothing\n")) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 3\nsize: {rnn_sise: 64}", "line 2: unknown option: rnn_sise; did you mean rnn_size?"),
        ("zzz: 3", "line 1: unknown option: zzz; see -help"),
        ("-rnn_size: 3", "line 1: unknown option: -rnn_size; did you mean rnn_size?"),
        ("seed: 3\n\nrnn_size: 0", "line 3: -rnn_size: 0 is out of range: it must be at least 1"),
        ("model: gnu", "line 1: -model: 'gnu' is not one of lstm, gru, rnn"),
        ("rnn_size: ''", "line 1: -rnn_size: '' is not a number"),
        ("rnn_size: true", "line 1: -rnn_size: 'true' is not a number"),
        ("tf32: 'true'", "line 1: -tf32: expected 0 (off) or 1 (on), got 'true'"),
        ("tf32: maybe", "line 1: -tf32: expected 0 (off) or 1 (on), got 'maybe'"),
        ("rnn_size: 3\nmodel: {rnn_size: 3}", "line 2: duplicate option rnn_size"),
        ("config: other.yaml", "line 1: unknown option: config"),
    ],
)
def test_a_wrong_option_is_named_with_its_line(write, text, words):
    path = write(text)
    assert_one_line_error(run_train("-config", path), 2, f"{path}, {words}")


@pytest.mark.parametrize(
    "text",
    ["a: {b: {rnn_size: 3}}", "- rnn_size", "rnn_size: [3]", "rnn_size", "a: [", ": :", "? [a]\n: 3", "x: &x {y: *x}",
     "a: \x01", "rnn_size: *nothing", b"\xff\xfe", "%", "!!python/name:os.system x"],
)  # fmt: skip
def test_what_is_no_file_of_options(write, text):
    path = write(text)
    assert_one_line_error(run_train("-config", path), 1, f"-config {path} is not a YAML file of options: ")


@pytest.mark.parametrize("null", ["null", "Null", "NULL", "~", ""])
def test_null_is_not_given(null, write):
    path = write("".join(f"{name}: {null}\n" for name in ("init_from", "tensorboard", "seed", "tf32")))
    assert with_config(TrainOptions(config=path), frozenset())[1] == set()
    assert effective(write("savefile: 'null'")) == {"savefile": "null"}


@pytest.mark.parametrize(("word", "value"), [("true", 1), ("True", 1), ("on", 1), ("NO", 0), ("false", 0), ("off", 0)])
def test_switches_may_be_booleans(word, value, write):
    """Only switches: a name may be a word that YAML takes for a boolean."""
    options, given = with_config(TrainOptions(config=write(f"tf32: {word}\nprogress: {word}")), frozenset())
    assert (options.tf32, options.progress, given) == (value, value, {"tf32", "progress"})
    assert effective(write(f"savefile: {word}")) == {"savefile": word}


def test_the_home_folder_in_paths(write, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    text = "data_dir: ~/x\ncheckpoint_dir: '~/cv'\ninit_from: ~/cv/a.t7.pt\ntensorboard: ~/tb\nsavefile: ~x"
    assert effective(write(text)) == {
        "data_dir": "/home/me/x",
        "checkpoint_dir": "/home/me/cv",
        "init_from": "/home/me/cv/a.t7.pt",
        "tensorboard": "/home/me/tb",
        "savefile": "~x",
    }


def test_progress_in_a_file_turns_the_bar_off(write, data, tmp_path, monkeypatch):
    """A missing tqdm is an error where the file asks for a bar, so that it is read before bars are shown."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    start = [*SMALL, "-data_dir", data, "-checkpoint_dir", tmp_path / "cv", "-dry_run", 1, "-config"]
    assert run_train(*start, write("progress: false")).exit_code == 0
    assert_one_line_error(run_train(*start, write("progress: true")), 1, "-progress 1 needs tqdm")


def test_stdin_is_not_a_file_of_options():
    assert_one_line_error(run_train("-config", "-"), 1, "-config -: ", "write them to a file")


def test_files_that_are_not_there(tmp_path):
    assert_one_line_error(run_train("-config", tmp_path / "none.yaml"), 1, "none.yaml: No such file or directory")
    assert_one_line_error(run_train("-config", tmp_path), 1, f"{tmp_path}: Is a directory")


def test_without_the_library(write, monkeypatch):
    real = builtins.__import__

    def fail(name, *rest):
        if name == "yaml":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fail)
    words = 'pip install -c constraints.txt -e ".[watch]" (".[all]" installs all optional packages)'
    assert_one_line_error(run_train("-config", write("seed: 3")), 1, "PyYAML, which is not installed", words)


def test_a_run_of_a_file_is_that_of_its_options(write, data, tmp_path):
    """It prints the same lines and writes the same checkpoints; it can be resumed, also with the same file."""
    typed = [*SMALL, *EVERY, "-data_dir", data]
    run_train(*typed, "-checkpoint_dir", tmp_path / "typed")
    words = [str(word).removeprefix("-") if place % 2 == 0 else word for place, word in enumerate(typed)]
    path = write("".join(f"{name}: {value}\n" for name, value in zip(words[::2], words[1::2], strict=True)))
    result = run_train("-config", path, "-checkpoint_dir", tmp_path / "filed")
    assert result.exit_code == 0
    ours, theirs = [saved(tmp_path / name)[144][1] for name in ("filed", "typed")]
    assert ours.train_losses == theirs.train_losses
    assert ours.opt == theirs.opt | {"checkpoint_dir": str(tmp_path / "filed")}
    assert not {"config", "print_config"} & set(ours.opt)
    start = saved(tmp_path / "filed")[100][0]
    resumed = run_train("-resume", start, "-config", path, "-checkpoint_dir", tmp_path / "rest")
    assert log_lines(resumed.stdout) == [TIME.sub("", line) for line in log_lines(result.stdout)[100:]]
    refused = run_train("-resume", start, "-config", write("rnn_size: 9"), "-checkpoint_dir", tmp_path / "rest")
    assert_one_line_error(refused, 1, "-rnn_size 9 would change the run, which has 8")


def test_from_python(write, data):
    path = write(f"data_dir: {data}\nbatch_size: 4\nseq_length: 10\nrnn_size: 8\nmax_epochs: 1\n")
    started = next(charrnn_port.train(config=path, rnn_size=9))
    assert isinstance(started, Started)
    assert (started.options.rnn_size, started.options.batch_size, started.iterations) == (9, 4, 48)


def test_print_config_prints_what_can_be_given_to_config(write, tmp_path):
    """It prints all resolved options and exits; the output used as a file prints the same again."""
    typed = "-rnn_size 64 -learning_rate 1e-9 -savefile 123 -init_from a:b#c.t7 -model gru -max_epochs 0.1".split()
    typed += ["-data_dir", "wörter, 'die'"]
    printed = run_train(*typed, "-print_config", 1, "-checkpoint_dir", tmp_path / "cv")
    assert (printed.exit_code, printed.stderr) == (0, "")
    path = write(printed.stdout)
    assert run_train("-config", path, "-print_config", 1).stdout == printed.stdout
    kept, _ = with_config(TrainOptions(config=path), frozenset())
    expected = TrainOptions(rnn_size=64, learning_rate=1e-9, savefile="123", init_from="a:b#c.t7", model="gru",
                            max_epochs=0.1, data_dir="wörter, 'die'", checkpoint_dir=tmp_path / "cv")  # fmt: skip
    assert kept.values() == expected.values() | {"config": str(path)}
    assert not (tmp_path / "cv").exists()


def test_print_config_of_a_run_that_goes_on(data, tmp_path):
    run_train(*SMALL, *EVERY, "-data_dir", data, "-checkpoint_dir", tmp_path / "cv")
    words = ["-resume", "latest", "-checkpoint_dir", tmp_path / "cv", "-max_epochs", 4]
    printed = run_train(*words, "-print_config", 1).stdout
    (tmp_path / "options.yaml").write_text(printed)
    assert "  rnn_size: 8\n" in printed
    on = run_train("-config", tmp_path / "options.yaml")
    assert on.exit_code == 0, on.output
    assert log_lines(on.stdout)[-1].startswith("192/192 ")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_files_in_configs(path):
    changed = effective(path)
    assert changed == {} if path.name == "faithful.yaml" else changed
    assert ("data_dir" in changed) is False


def test_faithful_is_all_defaults_of_the_original():
    options, given = with_config(TrainOptions(config=ROOT / "configs/faithful.yaml"), frozenset())
    assert options.values() | {"config": ""} == TrainOptions().values()
    assert {"rnn_size", "learning_rate", "seed"} <= given


def test_the_text_has_the_help_s_groups():
    groups = [line[:-1] for line in as_text(TrainOptions()).splitlines() if line.endswith(":") and line[0] != " "]
    assert groups[:3] == ["data", "model params", "optimization"]
    with pytest.raises(UserError, match=r"none\.yaml"):
        with_config(TrainOptions(config="none.yaml"), frozenset())

"""Tests that `charrnn VERB` runs all programs, like train.py and sample.py, from any folder."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import RECORDINGS, ROOT, assert_one_line_error, run_sample, traps

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.options import Options, described

CHECKPOINT = RECORDINGS / "lua_checkpoints/rnn.t7"
STARTS = {
    "charrnn": [sys.executable, "-P", "-m", "charrnn_port"] if sys.version_info >= (3, 11) else None,
    "python -m charrnn_port": [sys.executable, "-m", "charrnn_port"],
}
STARTS = {name: words for name, words in STARTS.items() if words}


@pytest.fixture
def elsewhere(tmp_path):
    """Return a folder with a user's modules, which have the names of files in this repository."""
    return traps(tmp_path)


def run(start: list[str], *arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [*start, *(str(word) for word in arguments)]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("flag", ["-help", "-h", "--help"])
def test_help_lists_the_verbs(start, flag, elsewhere):
    result = run(start, flag, cwd=elsewhere)
    assert (result.returncode, result.stderr) == (0, "")
    for verb in charrnn.verbs():
        assert re.search(rf"^  {verb} +\w.*\w", result.stdout, re.M)
    assert len(re.findall(r"^  \w", result.stdout, re.M)) == len(charrnn.verbs())


@pytest.mark.parametrize("flag", ["-version", "--version"])
def test_version(flag):
    result = run(STARTS["python -m charrnn_port"], flag)
    assert (result.returncode, result.stdout) == (0, f"charrnn_port {charrnn_port.__version__}\n")


def test_version_is_in_the_changelog():
    assert f"## {charrnn_port.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def main(*arguments: str, monkeypatch, capsys) -> tuple[int, str, str]:
    """Run `charrnn ARGUMENTS` in this process. Return its status, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["charrnn", *arguments])
    status = 0
    try:
        charrnn.main()
    except SystemExit as end:
        status = end.code or 0
    return status, *capsys.readouterr()


@pytest.mark.parametrize(
    ("verb", "hint"),
    [
        ("trian", "did you mean train?"),
        ("Sample", "did you mean sample?"),
        ("-x", f"expected one of {', '.join(charrnn.verbs())}; see charrnn -help"),
    ],
)
def test_no_such_verb(verb, hint, monkeypatch, capsys):
    result = main(verb, monkeypatch=monkeypatch, capsys=capsys)
    assert result == (2, "", f"Error: unknown verb: {verb}; {hint}\n")


def test_no_verb_at_all_prints_the_help_as_an_error(monkeypatch, capsys):
    status, shown, empty = main("-help", monkeypatch=monkeypatch, capsys=capsys)
    assert (status, empty) == (0, "")
    assert main(monkeypatch=monkeypatch, capsys=capsys) == (2, "", shown)
    assert main("help", monkeypatch=monkeypatch, capsys=capsys) == (0, shown, "")


def test_help_of_a_verb(monkeypatch, capsys):
    expected = main("plot", "-help", monkeypatch=monkeypatch, capsys=capsys)
    assert expected[0] == 0
    assert main("help", "plot", monkeypatch=monkeypatch, capsys=capsys) == expected


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(start, id=name, marks=[pytest.mark.long] if name == "python -m charrnn_port" else [])
        for name, start in STARTS.items()
    ],
)
def test_sample_from_any_folder(start, elsewhere):
    arguments = "-length 50 -gpuid -1 -seed 7".split()
    result = run(start, "sample", CHECKPOINT, *arguments, cwd=elsewhere)
    assert result.stderr == ""
    assert result.stdout == run_sample(CHECKPOINT, *arguments).stdout


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # any import of it fails
sys.modules["numpy"] = None
from charrnn_port import __main__ as charrnn
sys.argv = ["charrnn", *sys.argv[1:]]
charrnn.main()
"""


@pytest.mark.parametrize("verb", ["", *charrnn.verbs()])
def test_help_needs_no_torch(verb):
    """Importing torch takes seconds."""
    result = run([sys.executable, "-c", WITHOUT_TORCH], *filter(None, [verb]), "-help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Usage: charrnn" in result.stdout


@pytest.mark.parametrize("verb", ["", *charrnn.verbs()])
def test_help_fits_80_columns(verb, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["charrnn", *filter(None, [verb]), "-help"])
    with suppress(SystemExit):
        charrnn.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("verb", charrnn.verbs())
def test_help_has_a_line_for_everything(verb):
    program = charrnn.verbs()[verb]
    text = CliRunner().invoke(program, ["-help"]).stdout
    for param in program.params:
        name = re.escape(param.metavar if param.param_type_name == "argument" else param.opts[0])
        assert re.search(rf"^  {name}(?!\w).*\n?.*\w\w\w", text, re.M), name
    assert re.search(r"Example: (python \w+\.py|charrnn) ", text)


def test_every_option_says_what_it_does():
    """Every option has a consequence in whole sentences for the docs."""
    for options_class in Options.__subclasses__():
        for each, about in described(options_class):
            assert about.help, each.name
            assert about.metavar or about.consequence.endswith("."), each.name


def test_several_checkpoints_for_a_program_that_takes_one(tmp_path):
    """As by `sample.py cv/*`."""
    for program in (charrnn.verbs()["sample"], charrnn.inspect, charrnn.convert):
        words = ["cv/a.t7.pt", "cv/b.t7.pt", "cv/c.t7.pt"]
        assert_one_line_error(CliRunner().invoke(program, words), 2, "several checkpoints", "or their folder")
    assert_one_line_error(CliRunner().invoke(charrnn.verbs()["train"], ["data/x"]), 2, "unexpected argument: data/x")


def test_missing_arguments():
    assert_one_line_error(CliRunner().invoke(charrnn.convert, ["one.t7"]), 2, "OUT")
    assert_one_line_error(CliRunner().invoke(charrnn.inspect, []), 2, "MODEL")

"""The README and docs/ are correct: their commands and their Python run, and files and options that they name exist.

Blocks fenced as ```bash, and as ```python on docs/python.md, are run here, on a small text and with small networks.
Commands that need a network, several processes or many minutes are fenced as ```console. Files for other programs are
fenced with their own names.
"""

import ast
import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path
from typing import get_args

import h5py
import pytest
import torch
from click.testing import CliRunner
from conftest import RECORDINGS, REFERENCE, ROOT
from pages import PAGES, blocks, prose, quoted

from charrnn_port import __main__ as charrnn
from charrnn_port.training import events

LUA = RECORDINGS / "lua_checkpoints/lstm.t7"
INSTALL = '    pip install -c constraints.txt -e ".[all]" && python train.py\n'
TEST = '    pip install -c constraints.txt -e ".[test]" && ruff check . && pytest -n auto --dist worksteal\n'
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
DOCS = [name for name in NAMES if name.startswith("docs/")]
# Blocks that tests/test_recipes.py runs.
RECIPES = {f"python {name}" for name in "recorder optimizer schedule sampler option verb cell".split()}
# Blocks that tests/sharing/ runs.
SHARED = {f"python {name}" for name in "onnx pt2 torchscript safetensors".split()} | {"javascript"}
SERVED = {"nginx", "haproxy", "yaml"}
DIAGRAMS = {"mermaid"}


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Change to the folder of a reader: texts of eleven iterations per epoch, a short text, an old checkpoint."""
    text = (RECORDINGS / "play/input.txt").read_bytes()[:30_000]
    for name in ("tinyshakespeare", "my_text"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "input.txt").write_bytes(text)
    (tmp_path / "my_text.txt").write_bytes(text[:600])
    shutil.copy(LUA, tmp_path / "OLD.t7")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_line(line: str) -> None:
    """Run one command in this process, with a small network and a short run."""
    words, _, target = line.partition(" > ")
    program, *arguments = shlex.split(words, comments=True)
    if program == "python":
        name = {"train.py": "train", "sample.py": "sample"}[arguments.pop(0)]
    else:
        assert program == "charrnn", f"{line}: the test cannot run this; fence it as console"
        name = arguments.pop(0)
    for word in arguments[: 1 if name == "convert" else None]:  # files that the reader's runs have not made
        if word.endswith(".t7.pt") and not Path(word).exists():
            if not Path("cv").exists():
                run_line("python train.py")
            shutil.copy(max(Path("cv").glob("*.t7.pt"), key=lambda path: path.stat().st_mtime_ns), word)
    if name in ("train", "sample"):
        arguments += ["-gpuid", "-1"]
    if name == "train" and "-resume" not in arguments:
        arguments += ["-rnn_size", "12", "-max_epochs", "1"]
    result = CliRunner().invoke(charrnn.verbs()[name], arguments)
    assert result.exit_code == 0, f"{line}\n{result.output}"
    if target:
        Path(target).write_bytes(result.stdout_bytes)


def commands(page: Path) -> list[str]:
    """Return the lines of a page's ```bash blocks."""
    return [line for block in blocks(page) if block.info == "bash" for line in block.text.splitlines() if line]


LONG = {"interpretability.md"}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.long] if page.name in LONG else [])
        for page in filter(commands, PAGES)
    ],
)
def test_commands_run(page, reader):
    for line in commands(page):
        run_line(line)


def test_the_python_page_runs(reader, capsys):
    """Run its blocks in order, as in a notebook."""
    page, names = ROOT / "docs/python.md", {}
    for block in blocks(page):
        assert block.info == "python", "all blocks of this page are run"
        exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), names)
    printed = capsys.readouterr().out
    assert "10/11 (epoch 0.909), train_loss = " in printed
    assert "-rnn_size: 0 is out of range: it must be at least 1" in printed
    assert len(names["losses"]) == 11
    assert len(set(names["texts"])) == 8


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_block_is_of_another_kind(page):
    """Test that no block is skipped because of a misspelled kind, such as ```shell."""
    others = {"python.md": {"python"}, "CONTRIBUTING.md": RECIPES, "export.md": SHARED, "serving.md": SERVED}
    others["architecture.md"] = DIAGRAMS
    known = {"bash", "console"} | others.get(page.name, set())
    assert {block.info for block in blocks(page)} <= known


# Names on the pages


def anchor(heading: str) -> str:
    """Return the anchor that GitHub makes from a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, place = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.is_file(), target
        if place:
            headings = re.findall(r"^#+ (.*)$", prose(other), re.M)
            assert place in map(anchor, headings), target


# Torch7's sources, and a file that a recipe lets the reader write.
NOT_HERE = {"THRandom.c", "THTensorRandom.c", "model/mgu.py"}
FOLDERS = ("charrnn_port", "configs", "model", "util", "docs", "tests", ".ci", ".github")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_are_named_exist(page):
    for word in " ".join(quoted(page)).split():
        if word in NOT_HERE or word.endswith(".lua"):
            continue
        if word.split("/")[0] in FOLDERS and "/" in word:
            assert any(ROOT.glob(word.rstrip("/"))), word
        elif re.fullmatch(r"\w+\.(py|md|c|h|cfg|toml)", word):
            assert any((ROOT / place / word).exists() for place in [".", *FOLDERS]), word


ALL_OPTIONS = {f"-{each.opts[0].strip('-')}" for verb in charrnn.verbs().values() for each in verb.params}
# Options of python, pip, pytest, git, grep, torchrun, lm_eval, gcc, docker and xcode-select, and of every program.
OTHERS = {"-m", "-model", "-tasks", "-model_args", "-c", "-e", "-help", "-version", "-nproc_per_node", "-ffp"}
OTHERS |= {"-gpus", "-install", "-exclude", "-vxFf"}
OTHERS |= {"-nnodes", "-node_rank", "-master_addr", "-master_port", "-max_restarts", "-local_addr"}
OTHERS |= {"-rdzv_backend", "-rdzv_endpoint", "-rdzv_conf"}
OTHERS |= {"-rm", "-init", "-it", "-user", "-build", "-read", "-tmpfs", "-cpuset", "-cpus", "-platform"}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_options_that_are_named_exist(page):
    texts = quoted(page) + [block.text for block in blocks(page) if block.info in ("bash", "console")]
    for text in texts:
        for word in re.findall(r"(?:^|\s)(--?[a-z]\w+)", text, re.M):
            assert f"-{word.strip('-')}" in ALL_OPTIONS | OTHERS, word


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_lines_of_the_default_run_are_the_originals(page):
    recorded = (REFERENCE / "lstm_defaults_tinyshakespeare.txt").read_text().splitlines()
    for line in re.findall(r"^ +(\d+/21150 .*)$", page.read_text(), re.M):
        assert line.split(", time/batch")[0] in recorded


# Single pages


def test_the_readmes_two_commands():
    """.ci/run finds the second by `[test]`, so only one line may contain it."""
    text = (ROOT / "README.md").read_text()
    assert INSTALL in text
    assert TEST in text
    assert text.count("[test]") == 1


def test_the_readme_leads_to_every_page():
    links = re.findall(r"\]\(([^)#]+)", prose(ROOT / "README.md"))
    assert {*DOCS, "CHANGELOG.md", "CONTRIBUTING.md"} <= set(links)


# Words of earlier versions, for which readers would not search.
CODE = ("charrnn_port", "model", "util")
UNUSUAL = r"\b(foretells?|tells?|told|nobody|somebody|whoever|house|rooms?|doors?|likeliest|can be had)\b"


def test_the_readme_and_titles_use_the_terms_of_the_field():
    titles = [title for page in PAGES for title in re.findall(r"^#+ (.*)$", prose(page), re.M)]
    for text in [(ROOT / "README.md").read_text(), (ROOT / "docs/faq.md").read_text(), *titles]:
        assert re.findall(UNUSUAL, text, re.I) == [], text[:80]


def test_help_uses_the_terms_of_the_field():
    for verb, main in charrnn.verbs().items():
        text = CliRunner().invoke(main, ["-help"]).stdout
        assert text
        assert re.findall(UNUSUAL, text, re.I) == [], verb


def test_errors_use_the_terms_of_the_field():
    """The texts of all errors that reach a user, wherever they are raised."""
    count = 0
    for path in [*ROOT.glob("*.py"), *(path for name in CODE for path in (ROOT / name).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("UserError", "fail"):
                for each in ast.walk(node):
                    if isinstance(each, ast.Constant) and isinstance(each.value, str):
                        count += 1
                        assert re.findall(UNUSUAL, each.value, re.I) == [], (path, each.value)
    assert count > 100


def test_options_have_a_page_for_both_programs():
    headings = re.findall(r"^## (.*)$", (ROOT / "docs/options.md").read_text(), re.M)
    for verb in charrnn.verbs():
        assert any(f"charrnn {verb}" in heading.split(", ") for heading in headings)
    for program in ("train.py", "sample.py"):
        assert f"python {program}" in "\n".join(headings)
        assert f"`python {program} -help`" in (ROOT / "README.md").read_text()


def test_the_page_of_files_names_every_key(reader):
    """Compare with a cache and a checkpoint that a run has written."""
    run_line("python train.py")
    (checkpoint,) = Path("cv").glob("*.t7.pt")
    saved = torch.load(checkpoint, weights_only=True)
    progress = saved["progress"]
    keys = {*saved, *progress, *progress["optimizer"], *progress["random"]}
    with h5py.File("data/tinyshakespeare/data.h5") as cache:
        keys |= {*cache, *cache.attrs}
    assert keys <= set(quoted(ROOT / "docs/files.md"))


def test_the_python_page_names_every_event():
    page = (ROOT / "docs/python.md").read_text()
    for event in get_args(events.Event):
        (row,) = re.findall(rf"^\| (?:\w+, )*{event.__name__}(?:, \w+)* \|.*$", page, re.M)
        for each in fields(event):
            assert each.name in row or event is events.Saving, (event, each.name)


def tree() -> dict[str, str]:
    """Return the tree on docs/architecture.md: paths, folders with a slash at the end, with their descriptions."""
    paragraphs = (ROOT / "docs/architecture.md").read_text().split("\n\n")
    drawing = next(each for each in paragraphs if each.startswith("    train.py"))
    found, folders = {}, []
    for line in drawing.splitlines():
        indent, names, about = re.fullmatch(r" {4}( *)(\S+(?: \S+\.\w+)*) +(\S.*)", line).groups()
        depth = len(indent) // 2
        for name in names.split():
            found["".join(folders[:depth]) + name] = about
        folders[depth:] = [names]
    return found


def test_the_tree_is_drawn_as_it_is():
    """Test that each package and each module has its line, except where the folder's line says "a file each"."""
    drawn = tree()
    assert [path for path in drawn if not (ROOT / path).exists()] == []
    many = [path for path, about in drawn.items() if " each" in about or path.endswith("t7/")]
    for folder in ("model", "util", "charrnn_port"):
        for path in (ROOT / folder).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix().removesuffix("__init__.py")
            assert name in drawn or name.startswith(tuple(many)), name

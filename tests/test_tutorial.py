"""docs/tutorial.ipynb runs from top to bottom, offline, with a small network; no outputs are stored in it."""

import ast
import os

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

SMALL = "SIZE, RNN_SIZE, EPOCHS, EVERY, SHOWN, READ = 60_000, 16, 2, 5, 60, 400"
NEEDS_TOPICS = "pydoc_data.topics"


@pytest.fixture
def notebook():
    """Read the notebook."""
    return nbformat.read(ROOT / "docs/tutorial.ipynb", as_version=4)


def names_in(source: str) -> set[str]:
    """Return the names that are assigned in a piece of Python."""
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


@pytest.mark.long
def test_the_tutorial_runs(notebook, tmp_path, monkeypatch):
    """It trains a network whose loss falls, prints samples of several iterations, and draws its figures."""
    pytest.importorskip(NEEDS_TOPICS)
    (settings,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert names_in(settings.source) == names_in(SMALL)
    settings.source = SMALL
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    notebook.cells.append(nbformat.v4.new_code_cell("print(losses[0], losses[-1], uniform, sorted(val_losses))"))
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "60,000 characters, " in printed
    for after in (5, 10, 20, 44):
        assert f"=== after {after} iterations: validation loss " in printed
    for temperature in (0.2, 0.5, 1.0, 1.5):
        assert f"=== temperature {temperature} ===\nThe " in printed
    assert " on the first half, " in printed
    first, last, uniform = map(float, printed.splitlines()[-1].split()[:3])
    assert last < first - 0.3
    assert first == pytest.approx(uniform, abs=0.1)
    kinds = [kind for output in outputs if output.output_type == "display_data" for kind in output.data]
    assert kinds.count("image/png") == 2
    assert kinds.count("text/html") == 1


def test_no_outputs_are_stored(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_the_notebook_is_valid(notebook):
    nbformat.validate(notebook)


def test_links_lead_somewhere(notebook):
    """Links to pages, which are relative to docs/, and to headings of the notebook."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = {line.lstrip("# ").replace(" ", "-") for line in text.splitlines() if line.startswith("#")}
    for target in [part.split(")")[0] for part in text.split("](")[1:]]:
        if target.startswith("#"):
            assert target[1:] in headings
        elif not target.startswith("https://"):
            assert (ROOT / "docs" / target).is_file(), target

"""The figures of docs/how_it_works.md are those that docs/figures.py draws."""

import subprocess
import sys
from xml.etree import ElementTree

from conftest import ROOT

DOCS = ROOT / "docs"


def test_the_figures_are_drawn_by_the_script(tmp_path):
    """Run the script and compare its files with those in docs/, all of which the page shows."""
    subprocess.run([sys.executable, DOCS / "figures.py", tmp_path], check=True)
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    page = (DOCS / "how_it_works.md").read_text(encoding="utf-8")
    assert len(drawn) == 3
    for name, content in drawn.items():
        assert (DOCS / name).read_bytes() == content, f"{name} is outdated: run python docs/figures.py docs"
        assert f"]({name})" in page
        assert ElementTree.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"

"""Check that files of Torch7 have the same bytes after reading and writing them."""

import tempfile
from pathlib import Path

from charrnn_port.reports.verify.recordings import CHECKPOINTS, FOLDER
from charrnn_port.reports.verify.results import Same, same
from charrnn_port.torch7 import t7

PART = "files written back"
SMALL = sorted((FOLDER / "t7").glob("*.t7"))
LUA_CHECKPOINTS = sorted(CHECKPOINTS.glob("*.t7"))
ALL = SMALL + LUA_CHECKPOINTS
ASCII = "mixed_ascii"  # the others are binary


def written_back(path: Path) -> Same:
    """Read a file and write it back. Reading keeps the order of tables, so that the bytes must be the same."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy.t7")
        t7.save(copy, t7.load(path), ascii=path.stem == ASCII)
        kind = "Lua checkpoints" if path.parent == CHECKPOINTS else "small objects"
        return same(PART, kind, path.name, copy.read_bytes(), path.read_bytes())

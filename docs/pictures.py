"""Makes the pictures of README.md from the programs themselves: the terminal of a training run, and the exported page.

    python docs/pictures.py cv docs     # writes docs/progress_bar.svg and docs/exported_page.png; needs Chromium

`cv` is the folder of a run on data/tinyshakespeare, or a checkpoint of it. The third picture, docs/look-*.svg, is made
by a command of docs/interpretability.md.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
COLUMNS, ROWS = 108, 8
CHARACTER, LINE = 7.8, 19  # the size of a character on the picture, in pixels
TRAIN = "train.py -dtype float32 -print_every 20 -max_epochs 5"
SECONDS = 20  # of training, until the picture is taken
REDRAWN = re.compile(r"\r?\x1b\[[0-9]*[JKA]|\r(?!\n)")  # the bar erases its line so before it writes it anew


def terminal(command: str, folder: str) -> list[str]:
    """Run a Python program on a terminal of COLUMNS columns for a while, and return the last lines on its screen."""
    import pty
    import termios

    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (40, COLUMNS))
    words = [sys.executable, *command.split(), "-checkpoint_dir", folder]
    process = subprocess.Popen(words, stdin=its, stdout=its, stderr=its, cwd=ROOT)
    os.close(its)
    received, end = b"", time.monotonic() + SECONDS
    while time.monotonic() < end:
        received += os.read(ours, 65536)
    process.kill()
    lines = received.decode(errors="replace").replace("\r\n", "\n").split("\n")
    return [REDRAWN.split(line)[-1] for line in lines][-ROWS:]


def as_svg(lines: list[str], title: str) -> str:
    """Return a picture of lines on a dark terminal."""
    width, height = round(COLUMNS * CHARACTER) + 32, len(lines) * LINE + 28
    rows = "\n".join(
        f'<text x="16" y="{28 + LINE * row}" xml:space="preserve">{escape(line)}</text>'
        for row, line in enumerate(lines)
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" \
aria-label="{title}" font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="13">
<title>{title}</title>
<rect width="{width}" height="{height}" rx="8" fill="#1e1f24"/>
<g fill="#e4e4e0">
{rows}
</g>
</svg>
"""


def page_picture(checkpoint: str, target: Path) -> None:
    """Export the page of a checkpoint, let it write in Chromium, and save what it shows."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser import Browser

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        words = [sys.executable, "-m", "charrnn_port", "export", checkpoint, str(page)]
        subprocess.run(words, check=True, cwd=ROOT)
        with Browser("--window-size=1000,790", "--hide-scrollbars") as browser:
            browser.open(page, "?length=500&temperature=0.5&primetext=ROMEO:")
            browser.wait("document.body.dataset.state === 'done'", 300)
            browser.save_screenshot(str(target))


if __name__ == "__main__":
    checkpoint, target = sys.argv[1], Path(sys.argv[2])
    page_picture(checkpoint, target / "exported_page.png")
    with tempfile.TemporaryDirectory() as folder:
        lines = terminal(TRAIN, folder)
    (target / "progress_bar.svg").write_text(as_svg([f"$ python {TRAIN}", *lines], "a training run and its bar"))

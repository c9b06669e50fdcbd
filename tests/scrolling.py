"""Scroll the text on a page of `charrnn look` by 120 points per frame, and print delays that a user would notice.

    python tests/scrolling.py look.html

These are tasks of more than 50 ms, as [start, duration] in ms, and the longest frames. Run it on an idle machine.
"""

import sys
import time
from itertools import pairwise
from pathlib import Path

from browser import Browser

OBSERVE = """
window.tasks = [];
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) window.tasks.push([Math.round(startTime), duration]);
}).observe({ type: "longtask", buffered: true });
"""
SCROLL = """
window.times = [];
const box = document.getElementById("text");
const step = (now) => {
  window.times.push(now);
  box.scrollTop += 120;
  window.atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 2;
  if (!window.atEnd) requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""


def measure(page: Path) -> None:
    """Open a page, scroll through its text, and print the delays."""
    with Browser("--window-size=1280,900") as browser:
        browser.open(page)
        browser.run(OBSERVE)
        browser.wait("document.body.dataset.ready")
        time.sleep(1)
        print("while opening:", browser.run("return window.tasks.splice(0)"))
        browser.run(SCROLL)
        browser.wait("window.atEnd")
        time.sleep(0.5)
        times = browser.run("return window.times")
        frames = sorted(after - before for before, after in pairwise(times))
        print("while scrolling:", browser.run("return window.tasks.splice(0)"))
        print(f"{len(frames)} frames, the longest of {', '.join(f'{each:.1f}' for each in frames[-3:])} ms")


if __name__ == "__main__":
    measure(Path(sys.argv[1]).resolve())

"""Chromium without a window, for tests of pages. It is spoken to as https://www.w3.org/TR/webdriver2/ says."""

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MISSING = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
OPTIONS = {
    "args": ["--headless=new", "--no-sandbox", "--disable-gpu"],
    "binary": shutil.which("chromium") or "",
}


class Browser:
    """One window. `with Browser() as browser: ...` closes it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        port = next(filter(None, (re.search(r"on port (\d+)\.", line) for line in self._process.stdout)))[1]
        self._address = f"http://127.0.0.1:{port}/session"
        wanted = {"browserName": "chrome", "goog:chromeOptions": OPTIONS, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._ask("", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        self._address += f"/{session}"

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *exception: object) -> None:
        self._ask("", method="DELETE")  # which ends the browser
        self._process.terminate()
        self._process.communicate()

    def open(self, path: Path, query: str = "") -> None:
        """Load a page from disk."""
        self._ask("/url", {"url": f"{path.as_uri()}{query}"})

    def run(self, script: str) -> Any:
        """What a script returns that runs in the page."""
        return self._ask("/execute/sync", {"script": script, "args": []})

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Until this is true in the page."""
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"{condition} did not come true: {self.complaints()}"
            time.sleep(0.02)

    def complaints(self) -> list[str]:
        """What the browser has written to its console since it was asked last."""
        return [entry["message"] for entry in self._ask("/se/log", {"type": "browser"})]

    def _ask(self, path: str, body: dict | None = None, method: str = "POST") -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._address + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

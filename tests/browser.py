"""Headless Chromium for tests of pages."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

MISSING = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]


class Browser(webdriver.Chrome):
    """A window of the system's Chromium with these command-line switches; a `with` statement closes it."""

    def __init__(self, *arguments: str) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", *arguments):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        super().__init__(options, webdriver.ChromeService(shutil.which("chromedriver")))

    def open(self, path: Path, query: str = "") -> None:
        """Load a page from disk."""
        self.get(f"{path.as_uri()}{query}")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page and return its result."""
        return self.execute_script(script, *arguments)

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript condition is true in the page."""
        wait = WebDriverWait(self, seconds, poll_frequency=0.02)
        wait.until(lambda _: self.run(f"return Boolean({condition})"), f"not true within {seconds} s: {condition}")

    def complaints(self) -> list[str]:
        """Return the console messages since the last call."""
        return [entry["message"] for entry in self.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the URLs requested since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.get_log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


if __name__ == "__main__":  # print five times the speed that a page of `charrnn export` shows
    with Browser() as browser:
        browser.open(Path(sys.argv[1]).resolve(), "?length=20000&temperature=1")
        for _ in range(5):
            browser.wait("document.body.dataset.state === 'done'", 300)
            print(browser.run("return document.getElementById('count').textContent"))
            browser.run("document.getElementById('another').click()")

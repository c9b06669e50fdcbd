"""Tests the first text: downloaded and verified, or else from Python itself, with a note."""

import hashlib
import http.server
import threading

import pytest
from conftest import assert_one_line_error, run_train, without_notes

from charrnn_port import datasets

SMALL = "-gpuid -1 -rnn_size 4 -num_layers 1 -batch_size 100 -max_epochs 0.02 -eval_val_every 9999".split()
TEXT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 2000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the text over HTTP."""

    def do_GET(self) -> None:
        """Send one response."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(TEXT)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Change to an empty folder and serve the text's URL from this test."""
    monkeypatch.chdir(tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(datasets, "URL", f"http://127.0.0.1:{server.server_port}/input.txt")
    monkeypatch.setattr(datasets, "SHA256", hashlib.sha256(TEXT).hexdigest())
    yield tmp_path
    server.shutdown()


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Change to an empty folder and make the text's URL unreachable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "URL", "http://127.0.0.1:9/input.txt")
    return tmp_path


def test_tinyshakespeare_is_fetched_once(served):
    assert run_train(*SMALL).exit_code == 0
    assert (served / "data/tinyshakespeare/input.txt").read_bytes() == TEXT
    datasets.URL = "http://127.0.0.1:9/input.txt"  # a second download would fail
    assert run_train(*SMALL).exit_code == 0


def test_another_file_at_the_address_is_refused(served, monkeypatch):
    monkeypatch.setattr(datasets, "SHA256", "0" * 64)
    result = run_train(*SMALL, "-data_dir", "data/tinyshakespeare")
    assert_one_line_error(result, 1, "the downloaded file has a wrong SHA-256")
    assert not (served / "data/tinyshakespeare").exists()


def test_without_network_the_default_is_pydoc_and_says_so(offline):
    result = run_train(*SMALL)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.split("\n") if "data/pydoc" in line and "cannot fetch" in line]
    assert len(lines) == 1
    assert without_notes(result.stderr) == ""
    assert 300_000 < (offline / "data/pydoc/input.txt").stat().st_size < 2_000_000


def test_without_network_a_named_folder_is_not_replaced(offline):
    assert_one_line_error(run_train(*SMALL, "-data_dir", "data/tinyshakespeare"), 1, "cannot fetch", "data/pydoc")


def test_pydoc_by_name(offline):
    assert run_train(*SMALL, "-data_dir", "data/pydoc").exit_code == 0
    assert b"assert" in (offline / "data/pydoc/input.txt").read_bytes()

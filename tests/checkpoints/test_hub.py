"""Checkpoints are read from the Hugging Face hub by name, here from a server on this machine that answers as it does.

The server speaks the two parts of the hub's interface that are used: the list of a repository's files, and the files.
The real hub is not reached.
"""

import hashlib
import importlib.util
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
from click.testing import CliRunner
from conftest import RECORDINGS, assert_one_line_error, run_sample

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port import hub
from charrnn_port.checkpoints import is_checkpoint, load_checkpoint, save_checkpoint
from charrnn_port.programs import sample, train
from charrnn_port.util.errors import UserError

if not importlib.util.find_spec("huggingface_hub"):
    pytest.skip("huggingface_hub is not installed", allow_module_level=True)

LUA = RECORDINGS / "lua_checkpoints"
COMMIT, OLDER = "a" * 40, "b" * 40
HEAD = {"main": COMMIT, COMMIT: COMMIT, "v1": OLDER, "refs/pr/1": OLDER}
ERRORS = {"RepoNotFound": 401, "GatedRepo": 403, "RevisionNotFound": 404, "EntryNotFound": 404}


# The list of files (of main, if no revision is named), and a file.
LIST = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+))?")
FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


def answer(path: str, repositories: dict[str, dict[str, bytes] | None]) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and content for a request. The files of a gated repository are None."""
    parts = (LIST.fullmatch(path) or FILE.fullmatch(path)).groupdict()
    repo, commit, name = parts["repo"], HEAD.get(unquote(parts["revision"] or "main")), unquote(parts.get("file", ""))
    files = repositories.get(repo)
    error = None
    if repo not in repositories:
        error = "RepoNotFound"
    elif files is None:
        error = "GatedRepo"
    elif not commit:
        error = "RevisionNotFound"
    elif name and name not in files:
        error = "EntryNotFound"
    if error:
        headers = {"X-Error-Code": error, "X-Error-Message": error} | ({"X-Repo-Commit": commit} if commit else {})
        return ERRORS[error], headers, b""
    if not name:
        listed = {"id": repo, "sha": commit, "siblings": [{"rfilename": each} for each in files]}
        return 200, {"Content-Type": "application/json"}, json.dumps(listed).encode()
    content = files["old" if commit == OLDER else name]
    return 200, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}, content


class Handler(BaseHTTPRequestHandler):
    """Answers for the repositories in `repositories`."""

    def respond(self) -> None:
        """Send the answer; its content only for GET."""
        status, headers, content = answer(self.path, self.repositories)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_GET = do_HEAD = respond  # noqa: N815

    def log_message(self, *values: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Serve repositories with checkpoints of the original, and one with an exported safetensors file too."""
    lstm, gru, rnn = ((LUA / f"{name}.t7").read_bytes() for name in ("lstm", "gru", "rnn"))
    exported = tmp_path_factory.mktemp("exported") / "model.safetensors"
    save_checkpoint(load_checkpoint(LUA / "gru.t7"), exported)
    Handler.repositories = {
        "ann/one": {"README.md": b"# One", "lm.t7": lstm, "old": rnn},
        "ann/several": {"b.t7": lstm, "cv/a.t7": gru, "train.log": b""},
        "ann/exported": {"lm.t7": lstm, "model.safetensors": exported.read_bytes()},
        "ann/none": {"README.md": b"", "pytorch_model.bin": b""},
        "ann/broken": {"lm.t7": lstm[:1000]},
        "ann/gated": None,
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Return a function that sets the variables of huggingface_hub, which it reads when it is imported."""

    def use(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
            monkeypatch.delitem(sys.modules, name)

    use(HF_HOME=str(tmp_path / "huggingface"), HF_HUB_DISABLE_TELEMETRY="1", HF_TOKEN="")
    return use


@pytest.fixture
def online(settings, server):
    """Let huggingface_hub use the server."""
    settings(HF_ENDPOINT=server)
    return settings


def fingerprint(path: str) -> str:
    return load_checkpoint(path).fingerprint


LSTM, GRU, RNN = (load_checkpoint(LUA / f"{name}.t7").fingerprint for name in ("lstm", "gru", "rnn"))


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf:ann/one/lm.t7", LSTM),
        ("hf://ann/one/lm.t7", LSTM),
        ("hf:ann/one", LSTM),  # the only checkpoint
        ("hf:ann/one@main", LSTM),
        (f"hf:ann/one@{COMMIT}/lm.t7", LSTM),
        ("hf:ann/one@v1/lm.t7", RNN),
        ("hf:ann/one@refs%2Fpr%2F1", RNN),
        ("hf:ann/several/cv/a.t7", GRU),
        ("hf:ann/exported", GRU),  # model.safetensors is preferred
        ("hf:ann/exported/lm.t7", LSTM),
    ],
)
def test_a_name_refers_to_a_file(name, expected, online):
    assert fingerprint(name) == expected
    assert fingerprint(Path("hf:ann/one")) == LSTM


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:ann/several", "hf:ann/several has 2 checkpoints: add /FILE to the name, one of b.t7, cv/a.t7"),
        ("hf:ann/none", "hf:ann/none has no checkpoint: none of its files ends in .t7.pt, .t7, .safetensors"),
        ("hf:ann/missing", "hf:ann/missing: the hub has no repository ann/missing, or it is private"),
        ("hf:ann/missing/lm.t7", "hf:ann/missing/lm.t7: the hub has no repository ann/missing, or it is private"),
        ("hf:ann/gated", "hf:ann/gated: the repository is gated: request access"),
        ("hf:ann/gated/lm.t7", "hf:ann/gated/lm.t7: the repository is gated: request access"),
        ("hf:ann/one@v9", "hf:ann/one@v9: the repository has no revision v9"),
        ("hf:ann/one@v9/lm.t7", "hf:ann/one@v9/lm.t7: the repository has no revision v9"),
        ("hf:ann/one/lm.t8", "hf:ann/one/lm.t8: the repository has no file lm.t8"),
        ("hf:ann/broken", "lm.t7 is corrupt or not a checkpoint"),
        ("hf:lm.t7", "hf:lm.t7: use hf:USER/REPO, hf:USER/REPO@REVISION or hf:USER/REPO/FILE"),
        ("hf:ann/-.-", "hf:ann/-.-: cannot be downloaded, and is not in the cache: "),
    ],
)
def test_what_cannot_be_downloaded_is_an_error_of_one_line(name, message, online):
    with pytest.raises(UserError) as error:
        load_checkpoint(name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_offline_the_cache_is_used(online):
    assert fingerprint("hf:ann/one") == LSTM
    online(HF_HUB_OFFLINE="1")
    assert fingerprint("hf:ann/one") == fingerprint("hf:ann/one/lm.t7") == LSTM
    for name in ("hf:ann/exported", "hf:ann/exported/lm.t7"):
        with pytest.raises(UserError, match=rf"^{name}: cannot be downloaded, and is not in the cache: .*offline"):
            load_checkpoint(name)


def test_without_a_network(settings):
    settings(HF_ENDPOINT="http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(UserError, match=r"^hf:ann/one: cannot be downloaded, and is not in the cache: .*refused"):
        load_checkpoint("hf:ann/one")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r'^huggingface_hub is not installed: pip install .*"\.\[hub\]"'):
        load_checkpoint("hf:ann/one")


# Programs and Python


def run(program, *arguments):
    result = CliRunner().invoke(program, [str(word) for word in arguments])
    assert result.exit_code == 0, result.output
    return result


def test_sample(online):
    options = "-length 60 -gpuid -1".split()
    result = run(sample.main, "hf:ann/one/lm.t7", *options)
    assert result.stdout == run_sample(LUA / "lstm.t7", *options).stdout
    assert f"{COMMIT}/lm.t7" in result.stderr  # which commit it is
    result = CliRunner().invoke(sample.main, ["hf:ann/missing", *options])
    assert_one_line_error(result, 1, "no repository ann/missing")


def test_verbs_read_names(online, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the same words\n")
    assert LSTM in run(charrnn.inspect, "hf:ann/one").stdout
    assert "\nidentical\n" in run(charrnn.compare, "hf:ann/one", LUA / "lstm.t7").stdout
    scores = run(charrnn.score, "hf:ann/one", "hf:ann/exported", text, "-json", "1", "-gpuid", "-1").stdout
    assert {each["checkpoint"] for each in json.loads(scores)} == {"hf:ann/one", "hf:ann/exported"}
    run(charrnn.convert, "hf:ann/one", tmp_path / "copy.t7.pt")
    assert fingerprint(tmp_path / "copy.t7.pt") == LSTM


def test_training_begins_from_a_name(online, play, tmp_path):
    options = f"-data_dir {play} -checkpoint_dir {tmp_path} -max_epochs 0.002 -gpuid -1 -progress 0".split()
    stdout = run(train.main, "-init_from", "hf:ann/one", *options).stdout
    assert "loading a model from checkpoint hf:ann/one" in stdout
    assert "overwriting rnn_size=32, num_layers=2, model=lstm based on the checkpoint." in stdout


def test_from_pretrained(online, tmp_path):
    assert charrnn_port.from_pretrained("ann/one").fingerprint == LSTM
    assert charrnn_port.from_pretrained("ann/one@v1").fingerprint == RNN
    assert charrnn_port.from_pretrained("hf:ann/one/lm.t7").fingerprint == LSTM
    save_checkpoint(load_checkpoint(LUA / "gru.t7"), tmp_path / "model.safetensors")
    assert torch.equal(charrnn_port.from_pretrained(tmp_path).params, load_checkpoint(LUA / "gru.t7").params)


def test_a_local_file_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("hf:ann").mkdir()
    Path("hf:ann/one").write_bytes((LUA / "rnn.t7").read_bytes())
    assert not hub.is_name("./hf:ann/one")
    assert is_checkpoint("hf:ann/one")
    assert fingerprint("./hf:ann/one") == RNN


def test_served_names_are_those_of_files_and_repositories():
    pytest.importorskip("starlette")
    from charrnn_port.sharing.server import models

    assert [models.id_of(name) for name in ("hf:ann/one", "hf:ann/one@v1/cv/lm.t7")] == ["one", "lm"]

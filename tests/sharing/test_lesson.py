"""The page of `charrnn lesson` trains in a browser with train.py's losses."""

import base64
import json
import random
import shutil
import subprocess
from fractions import Fraction

import h5py
import numpy as np
import pytest
from browser import MISSING, Browser
from click.testing import CliRunner
from conftest import NEEDS_COMPILER, RECORDINGS, REFERENCE, assert_one_line_error

import charrnn_port
from charrnn_port.__main__ import lesson
from charrnn_port.sampling import sample_bytes
from charrnn_port.sharing.lesson import worker_script
from charrnn_port.training.events import Evaluated, Iteration

NEEDS_NODE = pytest.mark.skipif(not shutil.which("node"), reason="no node: apt-get install nodejs")
NEEDS_CHROMIUM = pytest.mark.skipif(bool(MISSING), reason=f"no {MISSING}: apt-get install chromium chromium-driver")
TEXT = (RECORDINGS / "play/input.txt").read_bytes()[:5000]
EVALUATED = 10  # an evaluation overwrites the state, which the next iteration continues from
COUNT = 2 * EVALUATED
SHOWN = {"length": 100, "temperature": 0.8, "seed": 7}
SMALL = {"model": "lstm", "rnn_size": 16, "num_layers": 1, "seq_length": 10, "batch_size": 5}
# Sums have another order where the number of rows or outputs is odd, and where a sum has more than 256 terms.
RUNS = [
    SMALL,
    SMALL | {"model": "gru", "rnn_size": 9, "num_layers": 2},
    SMALL | {"model": "rnn", "rnn_size": 11, "num_layers": 2},
    SMALL | {"rnn_size": 66, "batch_size": 4, "seq_length": 3},
]
IDS = ["lstm", "gru", "rnn", "long sums"]
REST = {"learning_rate": 0.005, "seed": 5, "eval_val_every": EVALUATED}
# Runs the worker's script anew for each list of messages, and prints what the worker answers.
DRIVER = """
const { script, name, runs } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
globalThis.name = name;
for (const messages of runs) {
  const answers = [];
  const run = new Function("postMessage", "onmessage", `${script} return onmessage;`);
  const onmessage = run((message) => answers.push(message));
  for (const data of messages) onmessage({ data });
  console.log(JSON.stringify(answers, (key, value) => (ArrayBuffer.isView(value) ? [...value] : value)));
}
"""


def in_worker(runs, name=""):
    """Send each list of messages to a new worker of this name, in Node. Return the messages that each sends."""
    sent = json.dumps({"script": worker_script(), "name": name, "runs": runs})
    ran = subprocess.run(["node", "-e", DRIVER], input=sent, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def all_of(kind, messages):
    return [message[kind] for message in messages if kind in message]


def trained(runs, name):
    """Train in Node. Return for each run the training losses, the validation losses and the last text's bytes."""
    found = []
    text = base64.b64encode(TEXT).decode()
    first = {"show": {"length": 1, "temperature": 1, "seed": 1}, "watch": {"id": 0, "unit": 0}}
    rest = [first, *[{"iterate": True}] * COUNT, {"show": SHOWN}]
    lists = [[{"start": {"text": text, "options": run | REST}}, *rest] for run in runs]
    for messages in in_worker(lists, name):
        assert all_of("error", messages) == []
        (ready,) = all_of("ready", messages)
        losses = [loss for progress in all_of("progress", messages) for loss in progress["losses"]]
        validation = [each["loss"] for each in all_of("evaluated", messages)]
        text = bytes(ready["symbols"][id_] for id_ in all_of("text", messages)[-1]["ids"])
        found.append((losses, validation, text))
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What train.py computes for each of RUNS: losses, validation losses, and what sample.py prints afterwards."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "input.txt").write_bytes(TEXT)
    found = []
    for run in RUNS:
        losses, validation, text = [], [], b""
        options = {"data_dir": folder, "checkpoint_dir": folder, "gpuid": -1, "cell": "compiled", "max_epochs": 100}
        for event in charrnn_port.train(**options, **run, **REST):
            if isinstance(event, Evaluated):
                validation.append(event.val_loss)
                text = b"".join(sample_bytes(event.checkpoint, **SHOWN))
            if isinstance(event, Iteration):
                losses.append(event.train_loss)
                if len(losses) == COUNT:
                    break
        found.append((losses, validation, text))
    return found


@NEEDS_NODE
@NEEDS_COMPILER
def test_exact_arithmetic_has_all_digits_of_train_py(expected):
    """Losses, validation losses and sampled texts are equal, without a tolerance."""
    for run, ours, theirs in zip(IDS, trained(RUNS, "exact"), expected, strict=True):
        assert ours == theirs, run


@NEEDS_NODE
@NEEDS_COMPILER
def test_plain_arithmetic_agrees_to_12_digits(expected):
    for (losses, validation, text), theirs in zip(trained(RUNS, ""), expected, strict=True):
        assert losses == pytest.approx(theirs[0], rel=1e-12, abs=0)
        assert validation == pytest.approx(theirs[1], rel=1e-12, abs=0)
        assert text == theirs[2]


def computed(expression, values):
    """Return a JavaScript expression in x for each of the values, computed by a worker with exact arithmetic."""
    driver = """
    const { script, values } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    globalThis.name = "exact";
    console.log(JSON.stringify(values.map(new Function(script)())));
    """
    script = f"{worker_script()}\nreturn (x) => {expression};"
    sent = json.dumps({"script": script, "values": values})
    ran = subprocess.run(["node", "-e", driver], input=sent, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout, parse_int=float)  # JavaScript writes whole numbers with zeros for unknown digits


@NEEDS_NODE
def test_multiply_add_is_rounded_once():
    """Compare with rational numbers, also where the sum cancels or lies next to the middle of two doubles."""
    draw = random.Random(1)
    triples = []
    for _ in range(1000):
        a, b, c = draw.gauss(0, 1), draw.gauss(0, 1), draw.gauss(0, 1)
        triples += [(a, b, c), (a, b, -a * b), (a, b, c * 2.0 ** draw.randint(-110, 110))]
        # (1 + m u)(1 + n u) is one unit, half a unit and very little above 1 + ..., where u = 2**-52 or 2**-27.
        m, n = draw.randint(1, 9), draw.randint(1, 9)
        other = draw.choice([2.0**-54, -(2.0**-54), 2.0**-53, 1.0, 3.0, 2.0**-106])
        triples += [(1 + m * 2.0**-27, 1 + n * 2.0**-27, other)]
        triples += [(1 + m * 2.0**-52, 1 + 2.0**-53 * 2 * n, draw.choice([2.0, 4.0, -1.0]) + 2.0**-51)]
        triples += [(m * 2.0**-54, n * (1 + 2.0**-52), 1 + draw.randint(0, 3) * 2.0**-52)]
    results = computed("multiplyAdd(...x)", triples)
    for (a, b, c), result in zip(triples, results, strict=True):
        assert result == float(Fraction(a) * Fraction(b) + Fraction(c)), (a, b, c)


@NEEDS_NODE
@pytest.mark.parametrize(("name", "low", "high"), [("exp", -708, 709), ("tanh", -1e300, 1e300), ("log", 1, 1e300)])
def test_functions_have_the_bits_of_glibc(name, low, high):
    with h5py.File(REFERENCE / "libm.h5") as file:
        x, y = (file[name][each][()] for each in "xy")
    inside = (x >= low) & (x <= high)
    assert inside.sum() > 1000
    assert np.array_equal(computed(f"{name}(x)", x[inside].tolist()), y[inside])


def run_lesson(*arguments):
    return CliRunner().invoke(lesson, [str(word) for word in arguments])


def test_wrong_arguments(tmp_path):
    page, short = tmp_path / "lesson.html", tmp_path / "short.txt"
    short.write_text("to be")
    assert_one_line_error(run_lesson(tmp_path / "lesson.txt"), 1, "lesson.txt", "ends in .html")
    assert_one_line_error(run_lesson(tmp_path / "no/lesson.html"), 1, "no/lesson.html: No such file")
    assert_one_line_error(run_lesson(page, "-text", tmp_path / "no.txt"), 1, "-text", "no.txt: No such file")
    assert_one_line_error(run_lesson(page, "-text", short), 1, "-text", "5 bytes are too few", "2000")
    assert not page.exists()


def test_the_page_has_no_external_resources(tmp_path):
    path = tmp_path / "lesson.html"
    (tmp_path / "a<b.txt").write_bytes(TEXT)
    assert run_lesson(path, "-text", tmp_path / "a<b.txt").exit_code == 0
    page = path.read_text()
    assert "a&lt;b.txt" in page
    assert "default-src 'none'" in page
    for word in ("https:", "src=", "href=", "fetch(", "{{", "\nimport ", "\nexport "):
        assert word not in page


@NEEDS_CHROMIUM
def test_the_page_at_work(tmp_path):
    assert run_lesson(tmp_path / "lesson.html").exit_code == 0
    set_value = """
        const [id, value] = arguments;
        const control = document.getElementById(id);
        if (control.type === "checkbox") control.checked = value;
        else control.value = value;
        control.dispatchEvent(new Event("input"));
    """
    with Browser() as browser:

        def shown(id_):
            return browser.run("return document.getElementById(arguments[0]).textContent", id_)

        def click(id_):
            browser.run("document.getElementById(arguments[0]).click()", id_)

        browser.open(tmp_path / "lesson.html")
        browser.wait("document.body.dataset.shown === '0'")
        assert len(shown("text")) > 250
        for id_, value in {"rnn_size": 8, "batch_size": 4, "seq_length": 5, "own": TEXT.decode()}.items():
            browser.run(set_value, id_, value)
        assert "your text" in shown("text-facts")
        browser.run("document.getElementById('form').requestSubmit()")

        # Two single iterations: the first loss is about that of equal probabilities, and a weight's change is shown.
        browser.wait("!document.getElementById('iterate').disabled")
        for i in (1, 2):
            click("iterate")
            browser.wait(f"document.body.dataset.i === '{i}' && document.body.dataset.shown === '{i}'")
        start = float(browser.run("return document.querySelector('.start').textContent"))
        loss = float(shown("count").split("loss ")[1].split(",")[0])
        assert abs(loss - start) < 0.3
        assert "RMSprop" in shown("change")

        # Training, pausing with a key, and a text that is colored by a unit.
        click("train")
        browser.wait("document.body.dataset.i > 100")
        browser.run("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))")
        assert browser.run("return document.body.dataset.state") == "paused"
        for id_, value in {"shade": "unit", "unit": 3, "position": 5}.items():
            browser.run(set_value, id_, value)
        assert "Unit 3" in shown("numbers")
        assert "−ln" in shown("numbers")
        assert browser.run("return document.querySelectorAll('#units i').length") == 8
        click("play")
        browser.wait("document.getElementById('position').value > 5")
        click("play")
        browser.run(set_value, "read", "1")
        browser.wait("document.getElementById('text').textContent.startsWith('MAUDE:')")

        # Every cell shows its own gates.
        for model, gate in {"gru": "candidate", "rnn": "tanh(sum)"}.items():
            browser.run(set_value, "model", model)
            browser.run("document.getElementById('form').requestSubmit()")
            browser.wait(f"document.getElementById('numbers').textContent.includes('{gate}')")

        # A text that is too short, and a loss that diverges.
        browser.run(set_value, "own", "to be")
        browser.run("document.getElementById('form').requestSubmit()")
        browser.wait("document.getElementById('problem').textContent")
        assert "The text has 5 bytes" in shown("problem")
        browser.run(set_value, "own", TEXT.decode())
        browser.run(set_value, "learning_rate", 100)
        browser.run("document.getElementById('form').requestSubmit()")
        browser.wait("!document.getElementById('train').disabled")
        click("train")
        browser.wait("document.getElementById('problem').textContent")
        assert "diverged" in shown("problem")
        assert {url.split(":")[0] for url in browser.requests()} == {"file", "blob"}
        assert browser.complaints() == []

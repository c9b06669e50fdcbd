"""The exported page and JavaScript module sample the same bytes as sample.py."""

import base64
import json
import math
import random
import shutil
import subprocess
import urllib.parse
from decimal import Decimal, localcontext
from functools import cache

import numpy as np
import pytest
import torch
from browser import MISSING, Browser
from click.testing import CliRunner
from conftest import RECORDINGS, REFERENCE, ROOT, assert_one_line_error, run_sample
from pages import blocks
from selenium.webdriver import ActionChains

from charrnn_port.__main__ import export
from charrnn_port.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from charrnn_port.model.memory import parameter_count
from charrnn_port.options import SampleOptions
from charrnn_port.reports.verify import streams
from charrnn_port.reports.verify.recordings import CHECKPOINTS, random_numbers, runs
from charrnn_port.sampling import Model, Session, sample_bytes
from charrnn_port.sharing import web
from charrnn_port.util.vocabulary import Vocabulary

NEEDS_NODE = pytest.mark.skipif(not shutil.which("node"), reason="no node: apt-get install nodejs")
NEEDS_CHROMIUM = pytest.mark.skipif(bool(MISSING), reason=f"no {MISSING}: apt-get install chromium chromium-driver")
LUA = RECORDINGS / "lua_checkpoints"
CELLS = ("lstm", "gru", "rnn")
ALL = Vocabulary("ab \u00e9\u6587\U0001f600")
SOME = Vocabulary("ab \u00e9", with_unknown=True)
TEXTS = [
    {"seed": seed, "primetext": primetext, "temperature": temperature, "length": 2000}
    for seed, primetext in ((1, ""), (123, "CAV\u00c9"), (-5, "\u00c8"), (2**32, "\u2014 "), (2**40 + 7, "the "))
    for temperature in (0.5, 1)
]
# Reads options as JSON lines, and prints for each the sampled bytes in base64, or the error.
DRIVER = """
import { readFileSync } from "node:fs";
const { sample } = await import(process.argv[2]);
for (const line of readFileSync(0, "utf8").trim().split("\\n")) {
  const options = JSON.parse(line);
  if (options.bytes) options.primetext = Buffer.from(options.bytes, "base64");
  try {
    console.log(Buffer.from([...sample(options)]).toString("base64"));
  } catch (error) {
    console.log(`${error.name}: ${error.message}`);
  }
}
"""


def run_export(*arguments):
    return CliRunner().invoke(export, [str(word) for word in arguments])


def exported(checkpoint, target, *options):
    """Run `charrnn export`. Return the file that it writes."""
    result = run_export(checkpoint, target, *options)
    assert result.exit_code == 0, result.output
    return target


def in_node(script, *arguments, stdin=""):
    """Run a script in Node, in its own folder. Return the lines that it prints."""
    folder = script.parent
    ran = subprocess.run(["node", script, *arguments], input=stdin, capture_output=True, text=True, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def sampled(module, *options):
    """Return the texts that a module samples in Node, as bytes; an error as a string."""
    driver = module.with_name("driver.mjs")
    driver.write_text(DRIVER)
    lines = in_node(driver, module, stdin="\n".join(map(json.dumps, options)))
    return [line if "Error" in line else base64.b64decode(line) for line in lines]


def network(vocab, model, rnn_size=7):
    """Return a checkpoint with multiples of 1/64 as parameters: they and the sums of biases are exact in float16."""
    count = parameter_count(model, len(vocab), rnn_size, 2)
    whole = torch.randint(-64, 65, (count,), generator=torch.Generator().manual_seed(1))
    opt = {"model": model, "rnn_size": rnn_size, "num_layers": 2, "dropout": 0.0}
    return Checkpoint(opt, vocab, whole.double() / 64, 0, 0.0, [], {}, math.nan)


@pytest.fixture
def sources(tmp_path):
    """The JavaScript sources as modules that Node can import."""
    shutil.copytree(web.FOLDER, tmp_path / "web")
    (tmp_path / "web/package.json").write_text('{"type": "module"}')
    return tmp_path / "web"


@NEEDS_NODE
def test_recorded_samples(tmp_path):
    """Everything that sample.lua printed from the recorded checkpoints."""
    for path in sorted(CHECKPOINTS.glob("*.t7")):
        samples = runs()[path.stem].samples
        options = [SampleOptions(model="", **sample.arguments) for sample in samples]
        texts = sampled(
            exported(path, tmp_path / f"{path.stem}.mjs"),
            *[
                {
                    "primetext": each.primetext,
                    "length": each.length,
                    "seed": each.seed,
                    "temperature": each.temperature,
                    "argmax": each.sample == 0,
                }
                for each in options
            ],
        )
        for sample, text in zip(samples, texts, strict=True):
            assert text + b"\n" == sample.printed, f"{path.stem} {sample.variant}"


@cache
def expected(cell):
    """Return what sample.py prints for TEXTS."""
    model = Model.of(load_checkpoint(LUA / f"{cell}.t7"))
    return [b"".join(sample_bytes(model, **options)) for options in TEXTS]


@NEEDS_NODE
@pytest.mark.parametrize("cell", ["lstm", *(pytest.param(cell, marks=pytest.mark.long) for cell in ("gru", "rnn"))])
def test_long_texts(cell, tmp_path):
    module = exported(LUA / f"{cell}.t7", tmp_path / "model.mjs")
    for options, ours, text in zip(TEXTS, expected(cell), sampled(module, *TEXTS), strict=True):
        assert text == ours, options


@NEEDS_NODE
def test_top_k_top_p_and_extreme_temperatures(tmp_path):
    checkpoint = load_checkpoint(LUA / "lstm.t7")
    module = exported(LUA / "lstm.t7", tmp_path / "model.mjs")
    variants = [{"top_k": top_k, "temperature": 1.3} for top_k in (1, 3, 1000)]
    for top_p, top_k in ((0.9, 0), (0.5, 0), (0.01, 0), (0.8, 5), (1, 2)):
        variants.append({"top_p": top_p, "top_k": top_k, "temperature": 1.3})
    for temperature in (0.001, 1e-6, 100):  # exp overflows; all characters become equally likely
        variants.append({"temperature": temperature})
    names = {"top_p": "topP", "top_k": "topK", "temperature": "temperature"}  # of JavaScript
    options = [{names[name]: value for name, value in each.items()} | {"length": 300} for each in variants]
    for variant, text in zip(variants, sampled(module, *options), strict=True):
        assert text == b"".join(sample_bytes(checkpoint, 300, **variant)), variant


@NEEDS_NODE
@pytest.mark.parametrize("separator", ["b", " b", "  "])
def test_many_short_texts(separator, tmp_path):
    """With -separator each text begins and ends as in sample.py, also where it contains a beginning of a separator."""
    checkpoint = network(ALL, "lstm")
    checkpoint.opt["separator"] = separator
    save_checkpoint(checkpoint, tmp_path / "net.t7.pt")
    module = exported(tmp_path / "net.t7.pt", tmp_path / "model.mjs")
    each = [{"seed": seed, "primetext": text, "length": 50} for seed in range(10) for text in ("", "a ", separator)]
    texts = sampled(module, *each, {"clamp": "1:2=0.5"})
    for options, text in zip(each, texts, strict=False):
        assert text == b"".join(sample_bytes(checkpoint, **options)), options
    held = Model.of(checkpoint).clamped({(1, 2): 0.5})
    assert texts[-1] == b"".join(sample_bytes(held))
    lengths = [len(text.decode()) for text in texts[:-1:3]]
    assert min(lengths) < 50, "none ends at a separator"


@NEEDS_NODE
@pytest.mark.parametrize("model", CELLS)
@pytest.mark.parametrize("vocab", [ALL, SOME], ids=["all", "unknown"])
@pytest.mark.parametrize("weights", ["float64", "float32", "float16"])
def test_characters_of_unicode(vocab, model, weights, tmp_path):
    """An unknown symbol may occur in a prime text and is never sampled. The weights are exact in each precision.

    The sizes are not multiples of four.
    """
    checkpoint = network(vocab, model)
    save_checkpoint(checkpoint, tmp_path / "net.t7.pt")
    module = exported(tmp_path / "net.t7.pt", tmp_path / "model.mjs", "-weights", weights)
    primetext = "b\u00e9" if vocab.unknown is None else "b\u6587"
    (text,) = sampled(module, {"primetext": primetext, "length": 200})
    assert text == b"".join(sample_bytes(checkpoint, 200, primetext=primetext))
    assert text.decode().count("\ufffd") == (0 if vocab.unknown is None else 1)


@NEEDS_NODE
def test_rounded_weights_make_a_smaller_file(tmp_path):
    sizes = {
        weights: exported(LUA / "lstm.t7", tmp_path / "model.mjs", "-weights", weights).stat().st_size
        for weights in ("float64", "float32", "float16")
    }
    text = sampled(tmp_path / "model.mjs", {"length": 100})[0]
    assert len(text) == 100
    assert sizes["float32"] < 0.6 * sizes["float64"]
    assert sizes["float16"] < 0.6 * sizes["float32"]


@NEEDS_NODE
def test_texts_are_generated_lazily_and_independently(tmp_path):
    exported(LUA / "gru.t7", tmp_path / "model.mjs")
    script = tmp_path / "two.mjs"
    script.write_text("""
import { sample } from "./model.mjs";
const [first, second] = [sample({ length: 0 }), sample({ length: 0, seed: 7 })];
const texts = [[], []];
for (let i = 0; i < 100; i++) {
  texts[0].push(first.next().value);
  texts[1].push(second.next().value);
}
for (const text of texts) console.log(JSON.stringify(text));
""")
    for line, seed in zip(in_node(script), (123, 7), strict=True):
        text = b"".join(sample_bytes(load_checkpoint(LUA / "gru.t7"), 100, seed=seed))
        assert bytes(json.loads(line)) == text


@NEEDS_NODE
def test_the_program_in_the_documentation(tmp_path):
    exported(LUA / "lstm.t7", tmp_path / "model.mjs")
    script = tmp_path / "program.mjs"
    (script_text,) = [block.text for block in blocks(ROOT / "docs/export.md") if block.info == "javascript"]
    script.write_text(script_text)
    text = b"".join(sample_bytes(load_checkpoint(LUA / "lstm.t7"), 200, primetext="The ", temperature=0.5))
    assert "\n".join(in_node(script)) == text.decode(errors="replace")


@NEEDS_NODE
def test_wrong_options(tmp_path):
    module = exported(LUA / "rnn.t7", tmp_path / "model.mjs")
    units = load_checkpoint(LUA / "rnn.t7").opt["rnn_size"]
    layout = "expected LAYER:UNIT=VALUE with a value from -1 to 1, as in 2:131=0.9"
    wrong = [
        ({"length": -1}, "RangeError: invalid length -1: expected a positive integer, or 0 for no limit"),
        ({"seed": 1.5}, "RangeError: invalid seed 1.5: expected an integer"),
        ({"temperature": 0}, "RangeError: invalid temperature 0: expected a number above 0"),
        ({"topK": "3"}, "RangeError: invalid topK 3: expected a positive integer, or 0 for all characters"),
        ({"clamp": "1:0=2"}, f"RangeError: invalid clamp 1:0=2: {layout}"),
        ({"clamp": "3:0=0"}, f"RangeError: no unit 3:0 in this network: layers are 1 to 2, units 0 to {units - 1}"),
        ({"primetext": "a\u6587"}, 'RangeError: unknown character "\u6587": it is not in the training text'),
    ]
    assert sampled(module, *[options for options, _ in wrong]) == [message for _, message in wrong]
    (text,) = sampled(module, {"bytes": base64.b64encode("\u00c9".encode()).decode(), "length": 1})
    assert text.startswith("\u00c9".encode())


@NEEDS_NODE
def test_random_numbers(sources):
    """The recorded streams of Torch7: uniform numbers in [-0.08, 0.08), which are scaled words, and sampled indices."""
    script = sources / "numbers.js"
    script.write_text("""
import { Generator } from "./random.js";
const [probabilities, ...seeds] = JSON.parse(process.argv[2]);
for (const seed of seeds) {
  const random = new Generator(seed);
  console.log(JSON.stringify(Array.from({ length: 1000 }, () => (random.next() / 2 ** 32) * 0.16 - 0.08)));
  const other = new Generator(seed);
  console.log(JSON.stringify(Array.from({ length: 500 }, () => other.multinomial(probabilities, Math.fround) + 1)));
}
""")
    lines = iter(in_node(script, json.dumps([streams.PROBABILITIES.tolist(), *streams.SEEDS])))
    for seed in streams.SEEDS:
        assert json.loads(next(lines)) == random_numbers()[f"uniform_{seed}"].tolist()
        assert json.loads(next(lines)) == random_numbers()[f"multinomial_{seed}"].tolist()


@NEEDS_NODE
def test_exp_and_tanh(sources):
    """The error is at most 0.6 units in the last place (1 for subnormal values of exp), measured with 60 digits."""
    draw = random.Random(1)
    points = {
        "exp": [draw.uniform(-700, 700) for _ in range(500)] + [draw.uniform(-10, 1) for _ in range(1000)],
        "tanh": [draw.uniform(-25, 25) for _ in range(500)] + [draw.gauss(0, 1) for _ in range(1000)],
    }
    edges = {"exp": [0.0, 709.7, -708.3, -745.0], "tanh": [0.125, -0.125, 19.06, 20.0, 1e-300]}
    script = sources / "values.js"
    script.write_text("""
import { readFileSync } from "node:fs";
import * as functions from "./activations.js";
const points = JSON.parse(readFileSync(0, "utf8"));
for (const [name, xs] of Object.entries(points)) console.log(JSON.stringify(xs.map(functions[name])));
console.log([functions.exp(-800), functions.exp(800), functions.exp(NaN), functions.tanh(-800), functions.tanh(NaN)]);
""")
    points = {name: xs + edges[name] for name, xs in points.items()}
    *lines, special = in_node(script, stdin=json.dumps(points))
    assert special == "[ 0, Infinity, NaN, -1, NaN ]"
    with localcontext() as context:
        context.prec = 60
        for line, (name, xs) in zip(lines, points.items(), strict=True):
            for x, value in zip(xs, json.loads(line), strict=True):
                power = (Decimal(x) if name == "exp" else 2 * Decimal(x)).exp()
                exact = power if name == "exp" else (power - 1) / (power + 1)
                if abs(x) < 1e-50 and name == "tanh":
                    exact = Decimal(x)
                limit = 1 if exact and abs(exact) < Decimal("1e-307") else Decimal("0.6")
                assert abs(Decimal(value) - exact) <= limit * Decimal(math.ulp(float(exact))), (name, x)


def test_types_are_beside_the_module(tmp_path):
    """TypeScript reads the types of model.mjs from model.d.mts."""
    exported(LUA / "rnn.t7", tmp_path / "model.mjs")
    types = (tmp_path / "model.d.mts").read_text()
    for name in ("primetext", "length", "seed", "temperature", "topK", "argmax"):
        assert f"  {name}?: " in types


def test_what_cannot_be_exported(tmp_path):
    assert_one_line_error(run_export(LUA / "rnn.t7", tmp_path / "model.txt"), 1, "model.txt: unknown format", ".html")
    assert_one_line_error(run_export(LUA / "rnn.t7", tmp_path / "no/model.mjs"), 1, "no/model.mjs: No such file")
    checkpoint = load_checkpoint(LUA / "rnn.t7")
    checkpoint.params[0] = 1e6
    save_checkpoint(checkpoint, tmp_path / "large.t7.pt")
    result = run_export(tmp_path / "large.t7.pt", tmp_path / "page.html", "-weights", "float16")
    assert_one_line_error(result, 1, "-weights float16", "1e+06")
    assert not (tmp_path / "page.html").exists()


def test_a_page_has_no_external_resources(tmp_path):
    page = exported(LUA / "rnn.t7", tmp_path / "page.html").read_text()
    assert "default-src 'none'" in page
    for word in ("http:", "https:", "src=", "href=", "fetch(", "{{", "\nimport ", "\nexport "):
        assert word not in page


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


def shown(browser, id_):
    """Return the text of an element of the page."""
    return browser.run("return document.getElementById(arguments[0]).textContent", id_)


def written(browser, button="write", **options):
    """Fill in the form with these values and click a button. Return the text that the page generates."""
    script = """
        const [button, options] = arguments;
        for (const [id, value] of Object.entries(options)) document.getElementById(id).value = value;
        document.getElementById(button).click();
    """
    browser.run(script, button, options)
    browser.wait("document.body.dataset.state === 'done'")
    return shown(browser, "text")


def assert_nothing_from_elsewhere(browser):
    """Assert that the browser requested only the page and its worker, and logged no errors."""
    assert {url.split(":")[0] for url in browser.requests()} == {"file", "blob"}
    assert browser.complaints() == []


@NEEDS_CHROMIUM
@pytest.mark.long
@pytest.mark.parametrize("cell", CELLS)
def test_long_texts_in_the_page(cell, browser, tmp_path):
    browser.open(exported(LUA / f"{cell}.t7", tmp_path / "page.html"))
    for options, text in zip(TEXTS, expected(cell), strict=True):
        assert written(browser, **options) == text.decode(errors="replace"), options
    assert_nothing_from_elsewhere(browser)


@NEEDS_CHROMIUM
def test_the_page_of_a_network_of_torch_rnn(browser, tmp_path):
    """A network of characters, sampled with probabilities that are not rounded."""
    path = REFERENCE / "torch_rnn/b_100.t7"
    browser.open(exported(path, tmp_path / "page.html"))
    options = {"seed": 5, "temperature": 1, "primetext": "H\u00c9L\u00c8NE: ", "length": 2000}
    text = b"".join(sample_bytes(load_checkpoint(path), **options)).decode()
    assert written(browser, **options) == text
    assert_nothing_from_elsewhere(browser)


@NEEDS_CHROMIUM
def test_the_page_with_rounded_weights(browser, tmp_path):
    """The page says that sample.py prints a different text."""
    for weights in ("float64", "float32", "float16"):
        browser.open(exported(LUA / "gru.t7", tmp_path / "page.html", "-weights", weights))
        assert len(written(browser, length=50).encode()) >= 50
        notice = shown(browser, "promise") + shown(browser, "about-bytes")
        assert ("prints the same bytes" in notice) == (weights == "float64")
        assert (f"rounded to {weights}" in notice) == (weights != "float64")


@NEEDS_CHROMIUM
def test_the_page_at_work(browser, tmp_path):
    """The page starts generating when it is loaded, with the options in its URL."""
    page = exported(LUA / "rnn.t7", tmp_path / "page.html")
    options = {"seed": 7, "temperature": 0.5, "primetext": "CAV\u00c9 ", "length": 300}
    checkpoint = load_checkpoint(LUA / "rnn.t7")
    browser.open(page, "?" + urllib.parse.urlencode(options | {"topK": 4, "topP": 0.9}))
    browser.wait("document.body.dataset.state === 'done'")
    text = b"".join(sample_bytes(checkpoint, **options, top_k=4, top_p=0.9))
    assert shown(browser, "text") == text.decode(errors="replace")
    assert browser.run("return document.querySelector('#text .prime').textContent") == options["primetext"]

    # The command on the page, parsed by a shell.
    command = ["sh", "-c", r"printf '%s\0' " + shown(browser, "command")]
    python, program, name, *words = subprocess.run(command, capture_output=True, text=True).stdout.split("\0")[:-1]
    assert (python, program, name) == ("python", "sample.py", "rnn.t7")
    assert run_sample(LUA / name, *words).stdout_bytes == text + b"\n"

    # The button for the next seed.
    text = b"".join(sample_bytes(checkpoint, **options | {"seed": 8}, top_k=4, top_p=0.9))
    assert written(browser, "another") == text.decode(errors="replace")

    # A text of unlimited length, paused and resumed.
    browser.run("document.getElementById('length').value = 0; document.getElementById('write').click()")
    browser.wait("document.getElementById('text').textContent.length > 1000")
    browser.run("document.getElementById('pause').click()")
    paused = shown(browser, "text")
    assert shown(browser, "pause") == "Resume"
    assert shown(browser, "text") == paused
    browser.run("document.getElementById('pause').click()")
    browser.wait(f"document.getElementById('text').textContent.length > {len(paused) + 1000}")
    assert shown(browser, "text").startswith(paused)

    # An unknown character.
    browser.open(page, "?" + urllib.parse.urlencode({"primetext": "\u6587"}))
    assert shown(browser, "problem") == 'Unknown character "\u6587": it is not in the training text.'
    assert_nothing_from_elsewhere(browser)


def set_unit(browser, unit, value):
    """Use the controls of the held unit."""
    browser.run("""for (const [id, value] of Object.entries({ clamp_unit: arguments[0], clamp_value: arguments[1] })) {
        document.getElementById(id).value = value;
        document.getElementById(id).dispatchEvent(new Event("input", { bubbles: true }));
    }""", unit, value)  # fmt: skip


@NEEDS_CHROMIUM
def test_a_unit_is_held(browser, tmp_path):
    """From the first character on the text is that of sample.py -clamp; a change applies to a text in progress."""
    page, options = exported(LUA / "lstm.t7", tmp_path / "page.html"), {"seed": 3, "temperature": 0.5, "length": 500}
    quiet = ("-verbose", 0, "-gpuid", -1, *(word for name, value in options.items() for word in (f"-{name}", value)))
    browser.open(page, "?" + urllib.parse.urlencode(options))
    browser.wait("document.body.dataset.state === 'done'")
    free = shown(browser, "text")
    for unit, value in (("2:1", "0.9"), ("1:4", "-0.35")):
        set_unit(browser, unit, value)
        text = run_sample(LUA / "lstm.t7", *quiet, "-clamp", f"{unit}={value}").stdout_bytes.decode(errors="replace")
        assert written(browser) + "\n" == text
        assert text != free + "\n"
        assert f"-clamp '{unit}={value}'" in shown(browser, "command")
    browser.get("about:blank")
    browser.open(page, "?" + urllib.parse.urlencode(options | {"clamp": "1:4=-0.35"}))
    browser.wait("document.body.dataset.state === 'done'")
    assert shown(browser, "text") + "\n" == text
    assert browser.run("return [clamp_unit.value, clamp_value.value, clamp_value.disabled]") == ["1:4", "-0.35", False]
    set_unit(browser, "", "0")
    assert written(browser) == free

    browser.run("document.getElementById('length').value = 0; document.getElementById('write').click()")
    browser.wait("document.getElementById('text').textContent.length > 500")
    set_unit(browser, "2:1", "1")
    begun = len(shown(browser, "text"))  # the page may be far ahead of the test
    browser.wait(f"document.getElementById('text').textContent.length > {begun + 1000}")
    browser.run("document.getElementById('pause').click()")
    text = shown(browser, "text")
    unheld = b"".join(sample_bytes(load_checkpoint(LUA / "lstm.t7"), **options | {"length": len(text)}))
    same = [a == b for a, b in zip(unheld.decode(errors="replace"), text, strict=False)]
    assert all(same[:500])
    assert not all(same)
    assert "was changed" in shown(browser, "command")
    set_unit(browser, "2:9999", "1")
    assert shown(browser, "problem").startswith("No unit 2:9999 in this network")
    assert_nothing_from_elsewhere(browser)


@NEEDS_CHROMIUM
def test_alternatives_at_a_character(browser, tmp_path):
    """Pointing at one shows the five most likely; a click offers to continue from there; the address follows."""
    checkpoint = load_checkpoint(LUA / "lstm.t7")
    options = {"seed": 7, "temperature": 1, "primetext": "The ", "length": 60}
    browser.open(exported(LUA / "lstm.t7", tmp_path / "page.html"), "?" + urllib.parse.urlencode(options))
    browser.wait("document.body.dataset.state === 'done'")
    text = b"".join(sample_bytes(checkpoint, **options)).decode()
    place = text.index(" ", 20) - 1
    session = Session(Model.of(checkpoint))
    session.feed(checkpoint.vocab.encode(text[:place].encode()))
    probabilities = np.exp(session.log_probs())
    best = np.argsort(-probabilities, kind="stable")[:5]
    x, y = browser.run("""return (async (place) => {
        const span = [...document.getElementById("text").children].findLast((each) => each.first <= place);
        const range = document.createRange();
        range.setStart(span.firstChild, place - span.first);
        range.setEnd(span.firstChild, place - span.first + 1);
        span.scrollIntoView({ block: "center" });
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); // scrolling hides them
        const box = range.getBoundingClientRect();
        return [box.left + box.width / 2, box.top + box.height / 2].map(Math.round);
    })(arguments[0])""", place)  # fmt: skip
    action = ActionChains(browser)
    action.w3c_actions.pointer_action.move_to_location(x, y)
    action.perform()
    rows = browser.run("return [...document.querySelectorAll('#likely tr')].map((row) => row.innerText)")
    names = {" ": "␣", "\n": "↵"}
    for row, id_ in zip(rows, best, strict=True):
        name = checkpoint.vocab.decode([id_]).decode()
        assert row.split() == [names.get(name, name), f"{100 * probabilities[id_]:.1f}", "%"]
    assert not browser.find_element("id", "onward").is_displayed()
    action.click().perform()
    browser.find_element("id", "onward").click()
    browser.wait("document.body.dataset.state === 'done'")
    options["primetext"] = text[: place + 1]
    assert shown(browser, "text") == b"".join(sample_bytes(checkpoint, **options)).decode()
    address = urllib.parse.urlsplit(browser.current_url).query
    assert dict(urllib.parse.parse_qsl(address)) == {
        "primetext": options["primetext"], "temperature": "1", "topK": "0", "topP": "1", "seed": "7", "length": "60",
    }  # fmt: skip
    assert_nothing_from_elsewhere(browser)


def test_title_and_description(tmp_path):
    """They are the heading, the introduction and the <meta> of a page; other formats refuse them."""
    words = ("-title", "Sonnets & <plays>", "-description", 'What a network wrote after it read "Hamlet"')
    page = exported(LUA / "rnn.t7", tmp_path / "page.html", *words).read_text()
    for tag in ("<title>{}</title>", "<h1>{}</h1>"):
        assert tag.format("Sonnets &amp; &lt;plays&gt;") in page
    description = "What a network wrote after it read &quot;Hamlet&quot;"
    assert f'<p id="introduction">{description}</p>' in page
    assert f'<meta name="description" content="{description}">' in page
    assert_one_line_error(run_export(LUA / "rnn.t7", tmp_path / "net.mjs", *words[:2]), 1, "-title", ".mjs")

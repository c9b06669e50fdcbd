"""Tests of the page of `charrnn look` in a browser: it shows what the network computes, and its controls work."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from browser import MISSING, Browser
from click.testing import CliRunner
from conftest import RECORDINGS, run_sample, run_train
from planted import SIZE, UNIT, VOCAB, bracketed_spans, bracketed_text, planted, planted_run
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.support.ui import Select

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.checkpoints import load_checkpoint, save_checkpoint
from charrnn_port.reports.look import silence, units
from charrnn_port.sampling import Model, Session, connectivity

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no {MISSING}: apt-get install chromium chromium-driver")
COUNT = 3000
READY = "document.body.dataset.ready"
HIGH, LOW, MOST = "226, 120, 10", "20, 110, 205", 0.85  # as in page.css for a light background


def look(*arguments, tried=100):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silence, "LENGTH", 600)  # which is enough, and takes less time
        patch.setattr(units, "TRIED", tried)
        result = CliRunner().invoke(charrnn.look, [str(word) for word in arguments])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory, play):
    """A network trained for one epoch, its page, and the trace of the same text."""
    folder = tmp_path_factory.mktemp("look")
    options = ("-rnn_size", 16, "-batch_size", 20, "-seq_length", 30, "-max_epochs", 1, "-learning_rate", 0.02)
    trained = run_train("-data_dir", play, "-checkpoint_dir", folder / "cv", "-dtype", "float32", *options)
    assert trained.exit_code == 0, trained.output
    text = (play / "input.txt").read_bytes()[:COUNT]
    look(folder / "cv", play / "input.txt", "-length", COUNT, "-units", "1:3", "-o", folder / "look.html")
    checkpoint = charrnn_port.load_checkpoint(folder / "cv")
    steps = list(Session(charrnn_port.sampling.Model.of(checkpoint)).trace(text))
    return SimpleNamespace(
        page=folder / "look.html",
        checkpoint=folder / "cv",
        text=text,
        vocab=checkpoint.vocab,
        layers=[{name: np.stack([step.layers[layer][name] for step in steps]) for name in steps[0].layers[layer]}
                for layer in range(2)],
        log_probs=np.stack([step.log_probs for step in steps]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    with Browser("--window-size=1280,900", "--force-prefers-reduced-motion") as browser:
        yield browser


@pytest.fixture
def page(browser, made):
    """The page, newly opened; the test fails if the browser logs a message or makes another request."""
    browser.requests()
    browser.open(made.page)
    browser.wait(READY)
    yield browser
    assert browser.complaints() == []
    assert {each for each in browser.requests() if not each.startswith("data:")} == {made.page.as_uri()}


def by_id(browser, name):
    return browser.find_element("id", name)


def choose(browser, name, value):
    Select(by_id(browser, name)).select_by_value(str(value))


def options_of(browser, name):
    return [option.get_attribute("value") for option in Select(by_id(browser, name)).options]


def press(browser, *keys):
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def span(browser, place):
    return browser.run("return spanAt(arguments[0])", place)


def point_at(browser, place):
    """Move the mouse to a character."""
    browser.run("spanAt(arguments[0]).scrollIntoView({ block: 'center' })", place)
    ActionChains(browser).move_to_element(span(browser, place)).perform()
    browser.wait(f"current === {place}")


def bars(browser):
    """Return the rows of predictions: (whether it is the actual character, its name, percent)."""
    rows = browser.run("return [...document.querySelectorAll('#bars tbody tr')].map((row) => row.innerText)")
    found = [re.fullmatch(r"(✓?)\s*(\S+)\s+([\d.]+) %", row) for row in rows]
    return [(bool(row[1]), row[2], float(row[3])) for row in found]


def value_shown(browser):
    return float(by_id(browser, "value").text)


def shades(browser, places):
    """Return for each character the color, its strength from 0 to 8, and the style of the underline."""
    styles = browser.run(
        """return arguments[0].map((place) => {
          const style = getComputedStyle(spanAt(place));
          return [style.backgroundColor, style.textDecorationLine === "none" ? "" : style.textDecorationStyle];
        })""",
        list(places),
    )
    found = []
    for ground, line in styles:
        *color, alpha = re.findall(r"[\d.]+", ground)
        found.append((", ".join(color), 8 * float(alpha) / MOST, line))
    return found


def id_at(made, place):
    return made.vocab.encode(made.text[place : place + 1])[0]


def bits_of(made, place):
    """Return the surprise of a character and the entropy before it, in bits."""
    before = made.log_probs[place - 1] / np.log(2)
    return -before[id_at(made, place)], -(np.exp(made.log_probs[place - 1]) @ before)


def test_the_description_of_a_character(page, made):
    """At the mouse: surprise and entropy to 0.01, the five most likely characters and the actual one."""
    assert page.run("return document.getElementById('text').textContent") == made.text.decode()
    for place in [place for place in range(1, COUNT) if made.text[place : place + 1].isalpha()][::500]:
        point_at(page, place)
        surprise, entropy = bits_of(made, place)
        where = by_id(page, "where").text
        assert float(re.search(r"surprise ([\d.]+)", where)[1]) == pytest.approx(surprise, abs=0.006)
        assert float(re.search(r"entropy ([\d.]+)", where)[1]) == pytest.approx(entropy, abs=0.006)
        came = id_at(made, place)
        chances = np.exp(made.log_probs[place - 1])
        expected = list(np.argsort(-chances, kind="stable")[:5])
        expected += [came] if came not in expected else []
        names = [{"\n": "↵", " ": "␣"}.get(chr(made.vocab.symbols[id]), chr(made.vocab.symbols[id])) for id in expected]
        assert [(id == came, name) for id, name in zip(expected, names, strict=True)] == [row[:2] for row in bars(page)]
        for id, (_, _, percent) in zip(expected, bars(page), strict=True):
            assert percent == pytest.approx(100 * chances[id], abs=0.06 if percent < 10 else 0.51)
    point_at(page, 0)
    assert "the first character has no context" in by_id(page, "where").text
    assert bars(page) == []


def test_any_unit(page, made):
    """Chosen by layer, unit and part: its value to 1/255 or 1/15 of its range, its color, and underlines of large
    values.
    """
    assert options_of(page, "layer") == ["1", "2"]
    page.run("describe(500)")
    every = ("c", "h", "in", "forget", "out", "transform")
    for layer, unit, parts in ((1, 3, every), (2, 0, every[:2]), (1, 15, every[2:4])):
        choose(page, "layer", layer)
        assert options_of(page, "unit") == [str(each) for each in range(16)]
        choose(page, "unit", unit)
        assert sorted(options_of(page, "part")) == sorted(made.layers[0])
        for part in parts:
            choose(page, "part", part)
            page.wait(f"view.name === '{layer}:{unit} {part}'")
            assert f"Unit {unit} of layer {layer}, its " in by_id(page, "about").text
            values = made.layers[layer - 1][part][:, unit]
            width = 2 * np.abs(values).max() if part == "c" else 2 if part in ("h", "transform") else 1
            assert value_shown(page) == pytest.approx(values[500], abs=width / 15 / 2 + 0.001)
            if (layer, unit) == (1, 3):  # -units named it
                assert value_shown(page) == pytest.approx(values[500], abs=width / 255 / 2 + 0.001)
            full = np.quantile(np.abs(values), 0.99) if part == "c" else 1
            for value, (color, strength, line) in zip(values[470:500], shades(page, range(470, 500)), strict=True):
                assert color == (HIGH if value > 0 else LOW) or strength == 0
                step = min(8, 8 * abs(value) / full)
                assert strength == pytest.approx(step, abs=0.5 + 8 * width / 15 / 2 / full + 0.05)
                assert line == ("" if strength < 4.5 else "solid" if value > 0 else "dotted")


def test_surprise_entropy_and_gain(page, made):
    """Chosen in the list and by their keys."""
    assert options_of(page, "by") == ["surprise", "entropy", "gain", "rests", "unit"]
    places = range(600, 700)
    surprises, entropies = zip(*[bits_of(made, place) for place in places], strict=True)
    press(page, "s")
    assert not by_id(page, "layer").is_displayed()
    for surprise, (_, strength, line) in zip(surprises, shades(page, places), strict=True):
        assert strength == pytest.approx(2 * np.searchsorted([1, 3, 5, 8], surprise), abs=0.05)
        assert line == ("solid" if surprise > 5 else "")
    press(page, "e")
    for entropy, (_, strength, _) in zip(entropies, shades(page, places), strict=True):
        assert strength == pytest.approx(8 * entropy / 5, abs=0.55)
    choose(page, "by", "gain")
    assert "6-gram" in by_id(page, "about").text
    assert {color for color, strength, _ in shades(page, places) if strength} == {HIGH, LOW}
    choose(page, "by", "unit")
    assert by_id(page, "layer").is_displayed()


def test_the_units_with_the_best_scores(page):
    """Each opens its unit, at a click or by n and p, and names its property; the table of all units has it too."""
    links = page.find_elements("css selector", "#best a")
    assert 3 <= len(links) <= 10
    by_id(page, "found").find_element("tag name", "summary").click()
    table = by_id(page, "all").text
    for link in links[:4]:
        link.click()
        name, part, kind, figure, chance = re.search(
            r"unit (\S+) (\w+), (AUC|R²) ([\d.]+), chance ([\d.]+)", link.text
        ).groups()
        page.wait(f"view.name === '{name} {part}'")
        assert f"{link.text.splitlines()[0]} ({kind} {figure}, chance {chance})" in by_id(page, "about").text
        assert float(figure) >= float(chance)
        assert f"{name} {part} {link.text.splitlines()[0]}" in table
        current = page.find_elements("css selector", "#best a[aria-current=true]")
        assert [each.text for each in current] == [link.text]
    names = [re.search(r"unit (\S+ \w+)", link.text)[1] for link in links]
    links[-1].click()
    press(page, "n")  # after the last comes the first
    page.wait(f"view.name === '{names[0]}'")
    press(page, "p", "p")
    page.wait(f"view.name === '{names[-2]}'")


def test_keys(page, made):
    """Keys move by character and line, [ and ] move through the units, and the description is in the live region."""
    page.run("$('text').focus()")
    point_at(page, made.text.index(b"\n\n") + 5)
    by_id(page, "text").send_keys(Keys.HOME)
    begin = page.run("return current")
    assert made.text[begin - 1 : begin] == b"\n"
    end = made.text.index(b"\n", begin)
    for key, expected in (
        (Keys.ARROW_RIGHT, begin + 1),
        (Keys.ARROW_LEFT, begin),
        (Keys.END, end),
        (Keys.ARROW_RIGHT, end + 1),
        (Keys.ARROW_UP, begin),
        (Keys.ARROW_DOWN, end + 1),
    ):
        by_id(page, "text").send_keys(key)
        assert page.run("return current") == expected
        assert f"character {expected}," in page.run("return document.getElementById('live').textContent")
    choose(page, "layer", 1)
    choose(page, "unit", 15)
    choose(page, "part", "h")
    page.wait("view.name === '1:15 h'")
    by_id(page, "text").click()
    press(page, "]")
    page.wait("view.name === '2:0 h'")
    press(page, "[", "[")
    page.wait("view.name === '1:14 h'")


def test_gates_and_errors(page, made):
    """Shares of the time in the captions of the gates, and shares of the loss by class of character."""
    panels = [each.text for each in page.find_elements("css selector", "#panels figcaption")]
    for panel, (layer, gate) in zip(
        panels, [(layer, gate) for layer in (0, 1) for gate in ("in", "forget", "out")], strict=True
    ):
        values = made.layers[layer][gate]
        percents = [float(each) for each in re.findall(r"([\d.]+) %", panel)]
        assert panel.startswith(f"layer {layer + 1}, {gate} gates")
        shares = (values > 0.9).mean(), (values < 0.1).mean()
        assert percents == [pytest.approx(100 * share, abs=0.51) for share in shares]
        assert f"{((values > 0.9).mean(0) > 0.9).sum()} units nearly always open" in panel
    classes, in_words, in_lines, memories = page.run(
        """return [...document.querySelectorAll("#tables tbody")].map((body) =>
          [...body.rows].map((row) => [...row.cells].map((cell) => cell.textContent)))"""
    )
    letters = [place for place in range(1, COUNT) if 97 <= made.text[place] <= 122]
    lower = next(row for row in classes if row[0] == "lower case")
    surprises = np.array([bits_of(made, place)[0] for place in letters])
    assert int(lower[1]) == len(letters)
    assert float(lower[4]) == pytest.approx(surprises.mean(), abs=0.006)
    assert float(lower[5][:-2]) == pytest.approx(100 * (surprises < 1).mean(), abs=0.51)
    for table in (classes, in_words, in_lines):
        assert sum(int(row[1]) for row in table) == COUNT - 1
        assert sum(float(row[2][:-2]) for row in table) == pytest.approx(100, abs=3)
    assert [row[0] for row in memories] == [f"{n}-gram" for n in range(1, 7)]


def test_clamped_samples_are_what_sample_writes(page, made):
    """To the byte, with the options shown above the sample; units in -units come first, then those with best scores."""
    names = options_of(page, "held")
    assert names[0] == "1:3"
    assert len(names) >= 4
    prime = page.run("return document.querySelector('#samples i').textContent")
    assert made.text.startswith(prime.encode())
    for name in names[:3]:
        choose(page, "held", name)
        samples = page.find_elements("css selector", "#samples > div")
        assert [each.find_element("tag name", "h3").text.split("=")[0] for each in samples] == [
            f'-clamp "{name}',
            "left free",
            f'-clamp "{name}',
        ]
        for each in samples:
            clamp = re.findall(r'"(.+)"', each.find_element("tag name", "h3").text)
            written = run_sample(
                made.checkpoint, "-verbose", 0, "-gpuid", -1, "-temperature", 0.7, "-length", 300, "-primetext", prime,
                *(["-clamp", *clamp] if clamp else []),
            ).stdout_bytes.decode(errors="replace")  # fmt: skip
            shown = page.run("return arguments[0].querySelector('pre').textContent", each)
            assert written.rstrip("\n") == shown.rstrip("\n")
        shown = {each.find_element("tag name", "pre").text for each in samples}
        assert len(shown) > 1


def test_narrow_dark_and_printed(page):
    """Nothing is wider than a screen of 360 points; text is light in dark mode; all text is colored when printed."""
    size = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert page.run("return document.documentElement.scrollWidth") == 360
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    ink = "return getComputedStyle(document.body).color"
    assert page.run(ink) == "rgb(28, 29, 32)"
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert page.run(ink) == "rgb(233, 231, 226)"
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    unpainted = "return chunks.filter((chunk) => chunk.painted !== view).length"
    assert page.run(unpainted) > 0
    page.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert page.run(unpainted) == 0


def address(browser):
    return browser.run("return addressNow()")


def test_links(page, made):
    """Links lead to parts of the page, or to a unit on it: all that name one, also points in the plots of gates."""
    links = set(page.run("return [...document.querySelectorAll('a')].map((link) => link.getAttribute('href'))"))
    for link in links:
        unit = re.fullmatch(r"#color=(\d:\d+)\.(\w+)", link)
        assert page.run("return byName.has(arguments[0])", unit[1]) if unit else by_id(page, link[1:])
    points = page.find_elements("css selector", "#panels a")
    assert len(points) == 2 * 3 * 16
    titles = page.run("return [...document.querySelectorAll('#panels title')].map((each) => each.textContent)")
    assert titles[16 + 3].startswith("unit 1:3, forget gate: open ")
    ActionChains(page).click(points[16 + 3]).perform()
    page.wait("view.name === '1:3 forget'")
    page.run("$('held').closest('section').scrollIntoView()")
    by_id(page, "held-link").find_element("tag name", "a").click()
    page.wait("view.name === '1:3 c'")


def test_the_header(page, made):
    """The checkpoint's name, epoch and validation loss; the first unit shown is that of -units."""
    checkpoint = charrnn_port.load_checkpoint(made.checkpoint)
    facts = by_id(page, "facts").text
    assert f"epoch {checkpoint.epoch:.2f}, validation loss {checkpoint.val_loss:.4f}" in facts
    assert page.run("return view.name").startswith("1:3 ")


def test_a_pinned_character(page):
    """A click pins it, another character does not replace it, and Escape frees it; in the panel, a button does."""
    point_at(page, 100)
    span(page, 100).click()
    assert "at=100" in address(page)
    ActionChains(page).move_to_element(span(page, 110)).perform()
    assert page.run("return current") == 100
    press(page, Keys.ESCAPE)
    assert "at=" not in address(page)
    point_at(page, 120)
    span(page, 120).click()
    by_id(page, "free").click()
    assert page.run("return pinned") == -1


def test_the_address(page, made):
    """It has the unit, the pinned character and the selection, and opens the page in the same state."""
    page.run("location.hash = 'color=2:7.h&at=700&span=650-660'")
    page.wait("view.name === '2:7 h' && pinned === 700")
    expected = "#color=2:7.h&at=700&span=650-660"
    page.wait(f"location.hash === '{expected}'")  # written again, in full
    page.run("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    by_id(page, "copy").click()
    page.wait(f"window.copied?.endsWith('look.html{expected}')")
    page.get("about:blank")
    page.open(made.page, expected)
    page.wait(READY)
    assert address(page) == expected
    assert value_shown(page) == pytest.approx(made.layers[1]["h"][700, 7], abs=2 / 15 / 2 + 0.001)
    for wrong in ("#color=9:1.c", "#at=99999", "#span=7-3", "#nothing", "#color=x&at=-1"):
        page.run("location.hash = arguments[0]", wrong)
    assert address(page) == expected
    page.get("about:blank")
    page.requests()
    page.open(made.page)
    page.wait(READY)


def test_search(page, made):
    """Results in any case are counted; Enter goes from one to the next, and Shift and Enter back."""
    places = [each.start() for each in re.finditer(b"the", made.text.lower())]
    press(page, Keys.ESCAPE, "/", "THE", Keys.ENTER)
    first = next(index for index, place in enumerate(places) if place >= 40)
    assert page.run("return [current, ...hit]") == [places[first], places[first], places[first] + 3]
    assert by_id(page, "hits").text == f"{first + 1} of {len(places)}"
    press(page, Keys.ENTER, Keys.ENTER)
    ActionChains(page).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
    assert page.run("return current") == places[first + 1]
    assert "hit" in span(page, places[first + 1] + 2).get_attribute("class")


def test_the_map(page):
    """A click goes to that share of the text, and the frame follows."""
    canvas = by_id(page, "map")
    ActionChains(page).move_to_element_with_offset(canvas, canvas.size["width"] // 4, 0).click().perform()
    box = page.run("return [$('text'), spanAt(2249)].map((each) => each.getBoundingClientRect().top)")
    assert 0 <= box[1] - box[0] < page.run("return $('text').clientHeight")
    page.wait("parseFloat($('frame').style.left) > 50")


def test_nothing_moves_when_the_coloring_changes(page):
    tops = "return ['text', 'strip', 'known'].map((name) => Math.round($(name).getBoundingClientRect().top))"
    before = page.run(tops)
    for name in ("surprise", "entropy", "gain", "rests", "unit"):
        choose(page, "by", name)
        page.wait("(view.unit ? 'unit' : view.name) === $('by').value")
        assert page.run(tops) == before


def contrast(values, begin, end):
    """Return the mean over a span minus the mean around it, over its root mean square at all spans of its length."""
    length, count = end - begin, len(values)
    reach = max(8, min(60, length))
    found = []
    for place in range(count - length + 1):
        around = np.concatenate([values[max(0, place - reach) : place], values[place + length :][:reach]])
        found.append(values[place : place + length].mean() - around.mean())
    return found[begin] / np.sqrt(np.mean(np.square(found)))


def drag(browser, begin, end):
    """Select the characters from begin to end, which are on one line, with the mouse."""
    browser.run("spanAt(arguments[0]).scrollIntoView({ block: 'center' })", begin)
    left, right, y = browser.run(
        "const [first, last] = [...arguments].map((place) => spanAt(place).getBoundingClientRect());"
        "return [first.left, last.right, first.top + first.height / 2]", begin, end - 1
    )  # fmt: skip
    action = ActionChains(browser, duration=20)
    action.w3c_actions.pointer_action.move_to_location(left + 1, y).pointer_down()
    action.w3c_actions.pointer_action.move_to_location(right - 1, y).pointer_up()
    action.perform()
    browser.wait(f"String(selected) === '{begin},{end}'")


def test_selecting(page, made):
    """With the mouse, or with Shift and arrow keys; Escape clears it, and so does a click elsewhere."""
    begin = next(found.end() for found in re.finditer(rb"\n(?=.{20})", made.text) if found.end() > 900)
    drag(page, begin + 3, begin + 10)
    assert "in" in span(page, begin + 3).get_attribute("class").split()
    assert by_id(page, "span-what").text.startswith(f"“{made.text[begin + 3 : begin + 10].decode()}”")
    press(page, Keys.ESCAPE)
    assert not by_id(page, "span").is_displayed()
    span(page, begin).click()
    by_id(page, "text").send_keys(Keys.SHIFT + 3 * Keys.ARROW_RIGHT + Keys.ARROW_LEFT)
    assert page.run("return selected") == [begin, begin + 3]
    span(page, begin + 12).click()
    assert page.run("return selected") == [0, 0]


@pytest.fixture(scope="module")
def plants(tmp_path_factory):
    """The pages of a network that has a unit for brackets, and of one with random weights, on the same text."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "text").write_bytes(bracketed_text(COUNT))
    for name in ("planted", "random"):
        save_checkpoint(planted(name == "planted"), folder / f"{name}.t7.pt")
        look(folder / f"{name}.t7.pt", folder / "text", "-o", folder / f"{name}.html", tried=1)
    return folder


def show_span(browser, begin, end):
    """Select a span and wait for its units: return (name, contrast, chance in percent) of each."""
    browser.run("select(arguments[0])", [begin, end])
    browser.wait("$('span').dataset.done === String(selected)")
    links = browser.run("return [...document.querySelectorAll('#span-units a')].map((link) => link.innerText)")
    pattern = r"(\d:\d+) c\s+(high|low) here, ([\d.]+) times .* chance (?:< )?([\d.]+) %"
    found = [re.fullmatch(pattern, each) for each in links]
    return [(each[1], float(each[3]) * (1 if each[2] == "high" else -1), float(each[4])) for each in found]


def test_a_selected_span_finds_the_unit_for_it(browser, plants):
    """A unit that is on inside brackets is first for a bracketed span, with its contrast over and around the span, in
    units of its root mean square at all spans of this length. It finds other bracketed passages, each a link.
    """
    browser.open(plants / "planted.html")
    browser.wait(READY)
    text = (plants / "text").read_bytes()
    spans = bracketed_spans(text)
    begin, end = next(each for each in spans[5:] if each[1] - each[0] > 12)
    (name, found, chance), *_ = show_span(browser, begin, end)
    assert name == f"1:{UNIT}"
    assert chance < 5
    inside = np.zeros(len(text))
    for each in spans:
        inside[slice(*each)] = 1
    assert found == pytest.approx(contrast(inside, begin, end), rel=0.05)
    passages = browser.find_elements("css selector", "#span-passages a")
    places = [tuple(map(int, re.findall(r"\d+", each.get_attribute("hash")))) for each in passages]
    assert len(places) == 10
    for place in places:
        assert inside[slice(*place)].mean() > 0.6
        assert place[1] <= begin or end <= place[0]
    passages[3].click()
    browser.wait(f"String(selected) === '{places[3][0]},{places[3][1]}'")
    assert browser.complaints() == []


def test_the_table_of_silenced_units(browser, plants):
    """The unit for brackets is first, and a link; with random weights there is no table."""
    browser.open(plants / "planted.html")
    browser.wait(READY)
    link = browser.find_element("css selector", "#silenced tbody a")
    assert link.text == f"1:{UNIT}"
    link.click()
    browser.wait(f"view.name === '1:{UNIT} c'")
    browser.open(plants / "random.html")
    browser.wait(READY)
    assert by_id(browser, "silenced").text == ""
    assert "no unit helps it" in by_id(browser, "ablation").text


def test_two_networks(browser, plants):
    """Colored by the difference in surprise; a unit with the same function in both is a pair, both ways."""
    look(plants / "planted.t7.pt", plants / "text", "-other", plants / "random.t7.pt", "-length", 500,
         "-o", plants / "two.html", tried=1)  # fmt: skip
    browser.open(plants / "two.html")
    browser.wait(READY)
    choose(browser, "by", "other")
    text = (plants / "text").read_bytes()[:500]
    scores = []
    for name in ("planted", "random"):
        session = Session(Model.of(load_checkpoint(plants / f"{name}.t7.pt")))
        steps = [step.log_probs for step in session.trace(text)]
        scores.append([step[id_] for step, id_ in zip(steps, VOCAB.encode(text[1:]), strict=False)])
    for place in range(100, 140):
        gain = (scores[0][place - 1] - scores[1][place - 1]) / np.log(2)
        assert browser.run("return view.values(arguments[0])", place) == pytest.approx(gain, abs=0.002)
    assert "cross-entropy" in by_id(browser, "other").text
    assert browser.complaints() == []


def test_the_slider_over_checkpoints(browser, plants):
    """It colors the text by the same unit, or by the surprise, at another checkpoint of the run; the address has the
    checkpoint. The table has a link to each unit above chance.
    """
    run = planted_run(plants / "cv", (False, True, True))
    arguments = ("-checkpoints", 3, "-units", f"1:{UNIT}", "-length", 1000, "-o", plants / "run.html")
    look(plants / "cv", plants / "text", *arguments, tried=1)
    text, places = (plants / "text").read_bytes()[:1000], range(60, 120)
    steps = [list(Session(Model.of(each)).trace(text)) for each in run]
    values = [np.array([step.layers[0]["h"][UNIT] for step in its]) for its in steps]
    browser.open(plants / "run.html", f"#color=1:{UNIT}.h")
    browser.wait(READY)
    assert by_id(browser, "checkpoint-name").text == "epoch 3.00, validation loss 1.7000"
    for key, place in (("", 2), (Keys.HOME, 0), (Keys.ARROW_RIGHT, 1)):
        by_id(browser, "checkpoint").send_keys(key)
        browser.wait(f"(view.snapshot?.epoch || '3.00') === '{place + 1}.00'")
        shown = browser.run("return arguments[0].map((place) => view.values(place))", [*places])
        assert shown == pytest.approx(values[place][list(places)], abs=2 / 15 / 2 + 1e-6)
        colors = [(color, round(strength)) for color, strength, _ in shades(browser, places)]
        assert colors == [(HIGH if each > 0 else LOW, round(8 * abs(each))) if round(8 * abs(each)) else ("0, 0, 0", 0)
                          for each in shown]  # fmt: skip
    assert browser.run("return addressNow()") == f"#color=1:{UNIT}.h&checkpoint=1"
    browser.run("return showSnapshot(0)")
    choose(browser, "by", "surprise")
    browser.wait("view.name === 'surprise'")
    shown = browser.run("return arguments[0].map((place) => view.values(place))", [*places])
    ids = VOCAB.encode(text)
    surprise = [-steps[0][place - 1].log_probs[ids[place]] / np.log(2) for place in places]
    assert shown == pytest.approx(surprise, abs=0.001)
    choose(browser, "by", "entropy")
    assert not by_id(browser, "checkpoint").is_enabled()
    rows = browser.find_elements("css selector", "#snapshots tr")
    brackets = next(row for row in rows if "brackets" in row.text)
    assert brackets.text.endswith("epoch 2.00")
    links = brackets.find_elements("tag name", "a")
    assert [re.search(r"checkpoint=(\d)", link.get_attribute("href"))[1] for link in links] == ["1", "2"]
    links[0].click()
    browser.wait(f"view.unit && view.key.startsWith('1:{UNIT}.') && view.snapshot?.epoch === '2.00'")
    assert browser.complaints() == []


def test_what_a_prediction_rests_on(browser, plants):
    """The text is colored by gradient × input for the character at the mouse, as a share of the largest."""
    browser.open(plants / "planted.html")
    browser.wait(READY)
    choose(browser, "by", "rests")
    browser.wait("view.name === 'rests'")
    browser.run("pin(60)")
    checkpoint = load_checkpoint(plants / "planted.t7.pt")
    network = checkpoint.build("plain", torch.float64)
    ids = np.array(VOCAB.encode((plants / "text").read_bytes()[:61]))
    states = [np.zeros((61, SIZE))] * 2  # unused: the text begins within reach
    expected = connectivity(network, ids, states, [60], 60)[0]
    shown = browser.run("return [...Array(60).keys()].map((place) => view.values(place))")
    assert shown[::-1] == pytest.approx(expected / np.abs(expected).max(), abs=0.006)
    strongest = 59 - int(np.abs(expected).argmax())
    assert re.search("high8|low8", span(browser, strongest).get_attribute("class"))
    browser.find_element("css selector", "#about a").click()
    browser.wait("pinned === data.rests.begins[0] + 20")
    assert browser.complaints() == []


@pytest.mark.long
def test_random_weights_mark_no_span(browser, plants):
    """The chance is that of a random span: one in fifty of them has a unit, and here at most one of thirty."""
    browser.open(plants / "random.html")
    browser.wait(READY)
    spans = [(place, place + 6 + place % 23) for place in range(200, 2600, 80)]
    assert len(spans) == 30
    assert sum(show_span(browser, *each) != [] for each in spans) <= 1
    show_span(browser, *spans[0])
    assert "No unit stands out above chance" in by_id(browser, "span").text


@pytest.mark.long
def test_the_pieces_of_a_split(browser, made, tmp_path):
    """A mark shows where a piece begins; a search, a selection, a line and what a prediction rests on end there."""
    look(made.checkpoint, "-split", "val", "-o", tmp_path / "look.html", tried=1)
    browser.open(tmp_path / "look.html")
    browser.wait(READY)
    facts = by_id(browser, "facts").text
    assert "input.txt (val split)" in facts
    assert " % of this text was trained on" in facts
    begins = browser.run("return data.begins")
    assert f"in {len(begins)} pieces" in facts
    assert len(browser.find_elements("css selector", ".chunk.begin")) == len(begins) - 1
    join = begins[3]
    assert browser.run("select([arguments[0] - 5, arguments[0] + 5]); return selected", join) == [join - 5, join]
    over = browser.run("return pieces.slice(arguments[0] - 8, arguments[0] + 8).join('')", join)
    browser.run("search(arguments[0])", over)
    assert browser.run("return hits.length") == 0
    browser.run("search(arguments[0])", over[8:])
    assert join in browser.run("return hits")
    assert browser.run("return [lineBegin(arguments[0]), lineEnd(arguments[0] - 1)]", join) == [join, join - 1]
    spans = "return Promise.all([contrasts(data.columns[0], 20)]).then(([{ scores }]) => [...scores])"
    scores = browser.run(spans)
    assert not any(scores[join - 19 : join])
    assert all(scores[join - 20 : join - 40 : -1])
    browser.run("describe(arguments[0])", join)
    assert "no prediction" in by_id(browser, "where").text
    assert browser.complaints() == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rnn", b"ab"),
        ("gru", "CAVÉ: “so”\r\n\tto\xad be".encode()),
        pytest.param("lstm_1layer", None, marks=pytest.mark.long),
    ],
    ids=["two characters", "odd characters", "a torch7 file"],
)
def test_other_pages(browser, tmp_path, name, text):
    """Pages of other cells, of texts without findings, and of texts with unprintable characters."""
    text = text or (RECORDINGS / "play/input.txt").read_bytes()[:2000]
    (tmp_path / "text").write_bytes(text)
    look(RECORDINGS / f"lua_checkpoints/{name}.t7", tmp_path / "text", "-unknown", "skip", "-o", tmp_path / "look.html")
    browser.open(tmp_path / "look.html")
    browser.wait(READY)
    assert browser.complaints() == []
    gates = by_id(browser, "gates").text
    assert ("This cell has no gates." in gates) == (name == "rnn")
    if len(text) < 100:
        assert "No unit predicts any property above chance." in by_id(browser, "reading").text
        assert "-units names some" in by_id(browser, "switch").text
    press(browser, "e", "n", "p", "[", "]")
    browser.wait("view.unit")
    assert browser.complaints() == []

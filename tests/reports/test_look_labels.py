"""Tests of a user's own properties, and of linear probes."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import RECORDINGS, assert_one_line_error
from planted import UNIT, VOCAB, bracketed_spans, bracketed_text, planted

from charrnn_port import __main__ as charrnn
from charrnn_port.options import LookOptions, OptionError
from charrnn_port.reports.look import own_properties
from charrnn_port.reports.look.labels import matches, read_labels
from charrnn_port.reports.look.probes import probed
from charrnn_port.reports.look.properties import Property
from charrnn_port.reports.look.recording import record
from charrnn_port.reports.look.units import search
from charrnn_port.util.errors import UserError


def marked(found: Property, text: bytes | str) -> str:
    text = text.decode() if isinstance(text, bytes) else text
    return "".join(each if value else "." for each, value in zip(text, found.values, strict=True))


@pytest.mark.parametrize(
    ("label", "text", "expected"),
    [
        (r"url=https?://\S+", "at https://a.b/c now", "...https://a.b/c...."),
        ("start=^a+", "aab\na b", "aa..a.."),
        ("equal=a=b", "a=b =", "a=b.."),
        ("empty=x*", "abc", "..."),
    ],
)
def test_a_regular_expression(label, text, expected):
    """It holds at each character of a match, in bytes and in characters."""
    assert marked(matches(label, text), text) == expected
    assert marked(matches(label, text.encode()), text) == expected


def test_no_match_goes_beyond_a_piece():
    """`^` matches where a piece begins, also in the middle of a line."""
    for text in ("aaaaab", b"aaaaab"):
        assert marked(matches("two=aa", text, [0, 3]), text) == "aa.aa."
        assert marked(matches("first=^a", text, [0, 3]), text) == "a..a.."


def test_characters_of_several_bytes():
    """Each of their bytes has the property."""
    assert matches("e=é", "aé\n".encode()).values.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("labels", "text", "expected"),
    [
        ("1\n0\n1\n0\n0\n0\n", "ab cd\n", [1, 0, 1, 0, 0, 0]),
        ("0\n1\n", "ab cd\n", [0, 0, 0, 1, 1, 0]),
        ("2.5\n1\n", "ab\ncd", [2.5, 2.5, 0, 1, 1]),
        ("1\n0\n2", "a b\nc d\ne", [1, 1, 1, 1, 0, 0, 0, 0, 2]),
    ],
    ids=["characters", "words", "words before lines", "lines"],
)
def test_labels_of_characters_words_and_lines(tmp_path, labels, text, expected):
    """0 and 1 are yes or no; between words is 0."""
    (tmp_path / "tags.txt").write_text(labels)
    (found,) = read_labels(str(tmp_path / "tags.txt"), text)
    assert found.name == "tags"
    assert found.values.tolist() == expected
    assert found.yes_or_no == (set(expected) <= {0, 1})


def test_labels_that_are_words(tmp_path):
    """Each is a property; an empty label is none."""
    (tmp_path / "tags").write_text("NOUN\nVERB\n\nNOUN\n")
    found = read_labels(str(tmp_path / "tags"), "we are so here")
    assert [(each.name, marked(each, "we are so here")) for each in found] == [
        ("tags: NOUN", "we........here"),
        ("tags: VERB", "...are........"),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1\n1\n1\n", ["3 labels", "5 characters", "2 words", "1 lines"]),
        ("1\nnan\n", ["not finite"]),
    ],
)
def test_labels_that_do_not_fit(tmp_path, content, words):
    (tmp_path / "tags").write_text(content)
    with pytest.raises(UserError) as error:
        read_labels(str(tmp_path / "tags"), "ab cd")
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("label", "words"), [("url", ["NAME=REGEX"]), ("=x", ["NAME=REGEX"]), ("x=(", ["'('", "regular expression"])]
)
def test_invalid_expressions(tmp_path, label, words):
    (tmp_path / "text").write_bytes(b"moon " * 20)
    model = RECORDINGS / "lua_checkpoints/lstm.t7"
    result = CliRunner().invoke(charrnn.look, [str(model), str(tmp_path / "text"), "-label", label])
    assert_one_line_error(result, 2, *words)


def test_the_option_may_be_repeated():
    """From the command line and from Python; a name may not be."""
    options = LookOptions("cv", "text", label=("a=b", "c=d"), o="look.html")
    assert [each.name for each in own_properties(options, "abcd")] == ["a", "c"]
    assert LookOptions("cv", "text", label="a=b").label == ("a=b",)
    with pytest.raises(OptionError, match="'a'"):
        own_properties(LookOptions("cv", "text", label=("a=b", "a=d")), "abcd")
    (param,) = [each for each in charrnn.look.params if each.name == "label"]
    assert param.multiple


# Probes


def test_a_probe_is_a_ridge_regression():
    """R² 1 for a number that is linear in the state, 0 for noise; AUC 1 for its sign."""
    random = np.random.RandomState(2)
    states = [random.standard_normal((4000, 6)).astype(np.float32) for _ in range(2)]
    linear = states[0] @ np.arange(6.0) - states[1][:, 2]
    noise = random.rand(4000)
    found = probed(states, [Property("linear", linear), Property("sign", linear > 0), Property("noise", noise)])
    assert np.tanh(found[0]) ** 2 > 0.98
    assert (1 + np.tanh(found[1])) / 2 > 0.99
    assert abs(np.tanh(found[2]) ** 2) < 0.01


def test_own_properties_are_found_above_chance():
    """A unit that is on inside brackets is the best for a regular expression of them, and a probe finds it too."""
    text = bracketed_text(1200)
    own = [matches(r"between=\(\w*", text)]
    inside = np.zeros(len(text), bool)
    for each in bracketed_spans(text):
        inside[slice(*each)] = True
    assert (own[0].values == inside)[: bracketed_spans(text)[-1][1]].all()
    network = planted().build("plain", torch.float32)
    found = search(network, record(network, VOCAB.encode(text)), own)
    best = found.findings[0]
    assert (best.name, best.property) == (f"1:{UNIT}", "between")
    assert best.figure > max(0.99, best.chance)
    assert found.probes["between"][0] > 0.99

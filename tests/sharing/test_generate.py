"""Continuations for text editors, and `logit_bias`."""

import numpy as np
import pytest
from served import GRU, LSTM, client_of, complete

from charrnn_port import load_checkpoint, sample_bytes
from charrnn_port.sharing.server.generate import first_sentence


@pytest.fixture(scope="module")
def client():
    with client_of(LSTM, GRU, max_length=1000) as client:
        yield client


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]["message"]


def test_continuations(client):
    """They are texts of sample.py with the query's seeds, up to a sentence; the start text is as in an address."""
    query = {"start_text": "To be, & ", "n": 2, "seed": 5, "temperature": 0.5}
    answer = client.get("/generate", params=query | {"start_text": "To be,§ & "}).json()
    assert answer["start_text"] == "To%20be%2C%C2%A7%20%26%20"
    for seed, found in zip((5, 6), answer["completions"], strict=True):
        options = {"primetext": "To be, & ", "unknown": "skip", "seed": seed, "temperature": 0.5}
        sampled = list(sample_bytes(load_checkpoint(LSTM), 140, **options))
        text = b"".join(sampled[-140:]).decode()
        assert found == first_sentence(text)


def test_defaults_and_models(client):
    (text,) = client.get("/generate").json()["completions"]
    assert 0 < len(text) <= 140
    many, others = (client.get("/generate", params={"n": 16}).json()["completions"] for _ in range(2))
    assert len(many) == 16
    assert many != others  # random seeds
    usual, warm = (client.get("/generate", params={"seed": 1} | more).json() for more in ({}, {"temperature": 0.7}))
    assert usual == warm
    one, other = (
        client.get("/generate", params={"seed": 1, "model": model}).json()["completions"]
        for model in (each["id"] for each in client.get("/v1/models").json()["data"])
    )
    assert one != other


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"n": 0}, "n must be from 1 to 16, got 0"),
        ({"n": 17}, "n must be from 1 to 16, got 17"),
        ({"n": "x"}, "n must be a number, got 'x'"),
        ({"seed": "1.5"}, "seed must be a number, got '1.5'"),
        ({"temperature": "-1"}, "temperature must be from 0 to"),
        ({"temperature": "nan"}, "temperature must be from 0 to"),
        ({"start_text": "a" * 1000}, "together at most 1000"),
    ],
)
def test_invalid_queries(client, query, words):
    assert words in error_of(client.get("/generate", params=query), 400)


def test_an_unknown_model_and_method(client):
    assert "missing" in error_of(client.get("/generate", params={"model": "missing"}), 404)
    answer = client.post("/generate", json={})
    assert "did you mean /v1/completions?" in error_of(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("a b c. d", "a b c."),
        ("a. b c. d", "a. b c."),
        ('a b c?" d', 'a b c?"'),
        ("1.5 is it!", "1.5 is it!"),
        ("a b c d", "a b c d"),
        ("", ""),
    ],
)
def test_a_continuation_ends_with_a_sentence(text, beginning):
    assert first_sentence(text) == beginning


def test_logit_bias(client):
    """-100 bans a character, other numbers make it more or less likely. Reported log-probabilities do not change."""
    (space,) = client.post("/tokenize", json={"prompt": " "}).json()["tokens"]
    usual = {"prompt": "The", "max_tokens": 200, "seed": 3, "logprobs": 0}

    def text(**more):
        return complete(client, **usual, **more)["choices"][0]

    plain = text()
    assert text(logit_bias={}) == text(logit_bias=None) == text(logit_bias={str(space): 0}) == plain
    assert " " in plain["text"]
    assert " " not in text(logit_bias={str(space): -100})["text"]
    assert text(logit_bias={str(space): 3})["text"].count(" ") > plain["text"].count(" ")
    assert set(text(logit_bias={str(space): 99}, temperature=0)["text"]) == {" "}
    assert np.isfinite(text(logit_bias={str(space): 99})["logprobs"]["token_logprobs"]).all()


@pytest.mark.parametrize(
    ("bias", "words"),
    [
        ([1], "logit_bias must be an object"),
        ({"x": 1}, "logit_bias: 'x' is not a token id of this model"),
        ({"100000": 1}, "logit_bias: '100000' is not a token id"),
        ({"-1": 1}, "logit_bias: '-1' is not a token id"),
        ({"1" * 5000: 1}, "is not a token id"),  # more digits than int() reads
        ({"1": 101}, "logit_bias must be from -100 to 100, got 101"),
        ({"1": "a"}, "logit_bias must be from -100 to 100, got 'a'"),
        ({"1": True}, "logit_bias must be from -100 to 100, got True"),
        ({"1": -101}, "logit_bias must be from -100 to 100, got -101"),
    ],
)
def test_invalid_logit_bias(client, bias, words):
    answer = client.post("/v1/completions", json={"prompt": "a", "logit_bias": bias})
    assert words in error_of(answer, 400)
    assert answer.json()["error"]["param"] == "logit_bias"


def test_logit_bias_of_all_characters(client):
    """At least one must not be banned."""
    size = client.get("/tokenizer_info").json()["vocab_size"]
    bias = {str(id_): -100 for id_ in range(size)}
    for invalid, words in ((bias, "bans all characters"), ({str(size): 1}, f"'{size}' is not a token id")):
        assert words in error_of(client.post("/v1/completions", json={"logit_bias": invalid}), 400)
    choice = complete(client, logit_bias=bias | {str(size - 1): 100}, max_tokens=3, return_token_ids=True)["choices"][0]
    assert choice["token_ids"] == [size - 1] * 3

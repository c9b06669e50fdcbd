"""The server: responses, rejected requests, and robustness against bad clients.

Most tests use Starlette's TestClient in this process; the last ones start a real server on a socket.
"""

import asyncio
import http.client
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import anyio
import click.testing
import numpy as np
import pytest
import torch
from browser import MISSING, Browser
from conftest import assert_one_line_error
from served import GRU, LSTM, client_of, complete, events, everything, metrics_of, process, raw, wait_for

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.options import ServeOptions
from charrnn_port.reports.scoring import Reader
from charrnn_port.sampling import Model, sample_bytes
from charrnn_port.sharing.serve import listen
from charrnn_port.sharing.server import models
from charrnn_port.sharing.server.answer import Answer
from charrnn_port.sharing.server.app import Server
from charrnn_port.sharing.server.completions import Completion, Limits
from charrnn_port.sharing.server.metrics import Metrics
from charrnn_port.util.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def client():
    with client_of(LSTM, GRU, max_length=3000, max_body=100_000) as client:
        yield client


@pytest.fixture(scope="module")
def checkpoint():
    return charrnn_port.load_checkpoint(LSTM)


@pytest.fixture(scope="module")
def alone(checkpoint):
    """A function that returns what sample.py prints after a prime text."""
    model = Model.of(checkpoint)

    def text(length, primetext=b"", **options):
        return b"".join(sample_bytes(model, length, primetext=primetext, **options))[len(primetext) :]

    return text


def test_a_text_is_sample_pys(client, alone):
    """Characters and token ids are those of sample.py, streamed or not."""
    how = {"seed": 7, "temperature": 0.8, "top_p": 0.95}
    asked = {"prompt": "The ", "max_tokens": 300, "return_token_ids": True, **how}
    text = alone(300, b"The ", **how)
    answer = complete(client, **asked)
    (choice,) = answer["choices"]
    assert choice["text"] == text.decode(errors="replace")
    assert charrnn_port.load_checkpoint(LSTM).vocab.decode(choice["token_ids"]) == text
    assert (choice["finish_reason"], choice["logprobs"], choice["seed"]) == ("length", None, 7)
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 300, "total_tokens": 304}
    *pieces, last = events(client, **asked, stream_options={"include_usage": True})
    assert "".join(event["choices"][0]["text"] for event in pieces) == choice["text"]
    assert [id_ for event in pieces for id_ in event["choices"][0]["token_ids"]] == choice["token_ids"]
    assert [event["choices"][0]["finish_reason"] for event in pieces] == [None] * (len(pieces) - 1) + ["length"]
    assert (last["choices"], last["usage"]) == ([], answer["usage"])


def test_several_prompts_and_texts(client, alone):
    """Each prompt gets n texts, with the seeds `seed`, `seed` + 1, ...; a prompt may be a list of ids."""
    ids = client.post("/tokenize", json={"prompt": "To "}).json()["tokens"]
    for prompts in (["The ", "To "], [client.post("/tokenize", json={"prompt": "The "}).json()["tokens"], ids]):
        choices = complete(client, prompt=prompts, n=2, seed=3, max_tokens=30)["choices"]
        expected = [alone(30, prime, seed=seed) for prime in (b"The ", b"To ") for seed in (3, 4)]
        assert [choice["text"] for choice in choices] == [text.decode(errors="replace") for text in expected]
        assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
        streamed = [""] * 4
        for event in events(client, prompt=prompts, n=2, seed=3, max_tokens=30):
            streamed[event["choices"][0]["index"]] += event["choices"][0]["text"]
        assert streamed == [choice["text"] for choice in choices]
    assert complete(client, prompt=ids, max_tokens=5, seed=1) != complete(client, prompt=ids, max_tokens=5, seed=2)


def test_equal_prompts_get_different_texts(client, alone):
    """The texts of a prompt have the seeds `seed`, `seed` + 1, ..., as with `n`; other prompts do not count."""
    choices = complete(client, prompt=["To ", "The ", "To ", "To "], n=2, seed=3, max_tokens=30)["choices"]
    assert [choice["seed"] for choice in choices] == [3, 4, 3, 4, 5, 6, 7, 8]
    for choice, prime in zip(choices, [b"To ", b"To ", b"The ", b"The ", *[b"To "] * 4], strict=True):
        assert choice["text"] == alone(30, prime, seed=choice["seed"]).decode(errors="replace")


@pytest.mark.parametrize("echo", [False, True])
def test_usage_counts_a_prompt_once(client, echo):
    """Whatever n is; an echoed prompt is not part of the completion."""
    usage = complete(client, prompt=["The ", "To"], n=3, max_tokens=5, seed=1, echo=echo)["usage"]
    assert usage == {"prompt_tokens": 6, "completion_tokens": 2 * 3 * 5, "total_tokens": 36}


def test_seed_minus_1_is_random(client):
    seeds = [complete(client, prompt="The ", seed=-1, max_tokens=30)["choices"][0]["seed"] for _ in range(3)]
    assert len(set(seeds)) == 3
    assert min(seeds) >= 0


def test_the_newer_name_of_max_tokens(client):
    assert complete(client, max_completion_tokens=7)["usage"]["completion_tokens"] == 7
    assert complete(client, max_completion_tokens=7, max_tokens=7)["usage"]["completion_tokens"] == 7


def test_temperature_0_is_greedy(client, alone):
    text = complete(client, prompt="The ", temperature=0, max_tokens=40)["choices"][0]["text"]
    assert text.encode() == alone(40, b"The ", argmax=True)


def test_stops(client, alone):
    """A text ends before the first stop sequence, as with sample.py's -stop, and has the finish reason "stop"."""
    text = alone(200, b"The ", seed=2)
    stop = text[40:43].decode()
    for stops in (stop, [stop, "@@"], ["", stop]):
        choice = complete(client, prompt="The ", seed=2, max_tokens=200, stop=stops, logprobs=0)["choices"][0]
        before = text[: text.index(stop.encode())]
        assert choice["text"] == before.decode(errors="replace")
        assert choice["finish_reason"] == "stop"
        assert len(choice["logprobs"]["tokens"]) == len(before)


def test_the_log_probabilities_of_a_prompt_are_those_of_score(client, checkpoint):
    """Requested as evaluation harnesses do: one entry per prompt character and one generated; the first is null."""
    text = "The man that hath no music in himself"
    ids = client.post("/tokenize", json={"prompt": text}).json()["tokens"]
    expected = Reader(checkpoint.build("fused", torch.float64)).read(ids)
    for prompt in (text, ids, [ids]):
        answer = complete(client, prompt=prompt, max_tokens=1, temperature=0, echo=True, logprobs=1)
        found = answer["choices"][0]["logprobs"]
        assert len(found["token_logprobs"]) == len(text) + 1
        assert found["token_logprobs"][0] is found["top_logprobs"][0] is None
        np.testing.assert_allclose(found["token_logprobs"][1:-1], expected.log_probs, rtol=0, atol=1e-12)
        largest = [max(top.values()) for top in found["top_logprobs"][1:-1]]
        np.testing.assert_allclose(largest, expected.predictions.max(1), rtol=0, atol=1e-12)
        assert "".join(found["tokens"]) == answer["choices"][0]["text"]
        assert found["text_offset"] == list(range(len(text) + 1))
    assert complete(client, prompt=text, max_tokens=0, echo=True, logprobs=0)["usage"]["completion_tokens"] == 0


def test_characters_of_several_bytes(client, checkpoint):
    """A network of bytes may generate part of a character: U+FFFD in the text, the byte in tokens and ids."""
    half = [symbol for symbol in checkpoint.vocab.symbols if symbol > 127][-1]
    ids = checkpoint.vocab.encode(bytes([half]))
    choice = complete(client, prompt=ids, max_tokens=0, echo=True, logprobs=0, return_token_ids=True)["choices"][0]
    assert choice["text"] == "�"
    assert choice["logprobs"]["tokens"] == [f"bytes:\\x{half:02x}"]
    assert choice["token_ids"] == ids


def test_each_event_continues_the_text(checkpoint):
    """Offsets count from the beginning of the text. Where there is nothing new, there is no choice."""
    body = {"prompt": "The man", "max_tokens": 1, "seed": 1, "echo": True, "logprobs": 0}
    asked = Completion(body, "lstm", Model.of(checkpoint), Limits(8, "error"))
    (text,), engine, choices = asked.texts(lambda: None), models.Engine(asked.model, 1, 0), []
    engine.submit([text])
    assert (text.choice(), text.ended) == (None, False)
    while text.goes_on:
        assert not text.ended
        engine.step()
        choices.append(text.choice())
        assert text.sent == len(choices)
    assert text.ended
    assert [choice["logprobs"]["text_offset"] for choice in choices] == [[k] for k in range(8)]
    assert "".join(choice["text"] for choice in choices).startswith("The man")
    assert [choice["finish_reason"] for choice in choices] == [None] * 7 + ["length"]


def test_models(client, checkpoint):
    """Names and descriptions of models; the first model is the default."""
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["lstm", "gru"]
    facts = client.get("/v1/models/lstm").json()
    assert (facts["cell"], facts["rnn_size"], facts["num_layers"]) == ("lstm", 32, 2)
    assert facts["parameters"] == checkpoint.params.numel()
    assert (facts["val_loss"], facts["train_loss"]) == (checkpoint.val_loss, checkpoint.train_losses[-1])
    assert len(facts["vocabulary"]) == len(checkpoint.vocab)
    first, gru = (complete(client, seed=1, max_tokens=30, **named) for named in ({}, {"model": "gru"}))
    assert (first["model"], gru["model"]) == ("lstm", "gru")
    expected = b"".join(sample_bytes(charrnn_port.load_checkpoint(GRU), 30, seed=1))
    assert gru["choices"][0]["text"] == expected.decode(errors="replace")
    assert client.get("/v1/models/none").json()["error"] == {
        "message": "model 'none' not found: available are lstm, gru",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    assert client.post("/v1/completions", json={"model": "none"}).status_code == 404


def test_tokens(client):
    """Tokenize, detokenize, and the other requests of evaluation harnesses."""
    found = client.post("/tokenize", json={"prompt": "The man", "add_special_tokens": False}).json()
    assert (found["count"], found["max_model_len"]) == (7, 3000)
    assert client.post("/detokenize", json={"tokens": found["tokens"]}).json() == {"prompt": "The man"}
    info = client.get("/tokenizer_info").json()
    newline = client.post("/tokenize", json={"prompt": "\n"}).json()
    assert info["bos_token"] == "\n"
    assert client.post("/tokenize", json={"prompt": info["eos_token"]}).json() == newline
    assert client.get("/health").json() == {"status": "ok"}
    size = info["vocab_size"]
    assert client.post("/detokenize", json={"tokens": [0, size - 1]}).status_code == 200
    for invalid in ([size], [-1], [True], 5):
        error = client.post("/detokenize", json={"tokens": invalid}).json()["error"]
        assert error["param"] == "tokens"
        assert "token id" in error["message"]


@pytest.mark.parametrize("newline", ["\n", None])
def test_harnesses_get_a_newline_as_bos_and_eos_if_it_is_known(newline, tmp_path):
    saved = charrnn_port.load_checkpoint(LSTM)
    saved.vocab = Vocabulary("".join(map(chr, range(0x400, 0x400 + len(saved.vocab) - 1))) + (newline or "я"))
    charrnn_port.save_checkpoint(saved, tmp_path / "a.t7.pt")
    with client_of(tmp_path / "a.t7.pt") as client:
        info = client.get("/tokenizer_info").json()
        assert (info["bos_token"], info["eos_token"]) == (newline, newline and "<|endoftext|>")
        assert client.get("/nowhere").status_code == 404
        assert 'charrnn_requests_total{path="other",status="404"} 1\n' in client.get("/metrics").text


def test_the_page_has_no_external_resources(client):
    """The page is one file, and its policy allows connections to its own server only."""
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"max_tokens": -1}, "max_tokens must be from 0 to 3000, got -1"),
        ({"max_tokens": 3001}, "max_tokens must be from 0 to 3000, got 3001"),
        ({"max_tokens": "many"}, "max_tokens must be an integer, got 'many'"),
        ({"max_tokens": True}, "max_tokens must be an integer"),
        ({"max_tokens": 0}, "max_tokens 0 requires a prompt and echo"),
        ({"max_tokens": 0, "echo": True}, "max_tokens 0 requires a prompt and echo"),
        ({"max_tokens": 0, "prompt": "a"}, "max_tokens 0 requires a prompt and echo"),
        ({"prompt": "a" * 2000, "max_tokens": 1001}, "together at most 3000"),
        ({"temperature": -0.1}, "temperature must be from 0 to 100"),
        ({"temperature": 100.5}, "temperature must be from 0 to 100, got 100.5"),
        ({"temperature": 10**400}, "temperature must be from 0 to 100"),
        ({"top_p": 0}, "top_p: 0 is out of range"),
        ({"top_p": 1.01}, "top_p must be from 0 to 1, got 1.01"),
        ({"top_k": -2}, "top_k must be from -1 to 2.14748e+09, got -2"),
        ({"top_k": 2**31 + 1}, "top_k must be from -1 to 2.14748e+09, got 2147483649"),
        ({"min_p": -0.1}, "min_p must be from 0 to 1, got -0.1"),
        ({"min_p": 1.01}, "min_p must be from 0 to 1, got 1.01"),
        ({"seed": 2**63 + 1}, "seed must be from -9.22337e+18 to 9.22337e+18"),
        ({"seed": -(2**63) - 1}, "seed must be from -9.22337e+18 to 9.22337e+18"),
        ({"n": 0}, "n must be from 1 to 128"),
        ({"n": 129}, "n must be from 1 to 128"),
        ({"n": 1000}, "n must be from 1 to 128"),
        ({"prompt": ["a"] * 43, "n": 3}, "at most 128 texts"),
        ({"logprobs": -1}, "logprobs must be from 0 to 20"),
        ({"logprobs": 21}, "logprobs must be from 0 to 20"),
        ({"stop": [1]}, "stop must be"),
        ({"stop": ["a"] * 17}, "stop must be a string or a list of at most 16 strings"),
        ({"prompt": {}}, "a prompt must be a string or a list of token ids"),
        ({"prompt": []}, "prompt is an empty list"),
        ({"prompt": [10**30]}, "invalid token id"),
        ({"prompt": "The §"}, "'§' (byte 0xc2) at position 4"),
        ({"prompt": "\ud800"}, "an unpaired surrogate"),
        ({"suffix": "x"}, "suffix is not supported"),
        ({"presence_penalty": 1.5}, "presence_penalty is not supported"),
        ({"repetition_penalty": 1.2}, "repetition_penalty is not supported"),
        ({"min_tokens": 5}, "min_tokens is not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format is not supported"),
        ({"n_predict": 5}, "n_predict is not supported: use max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens is 5, but max_completion_tokens is 6"),
        ({"best_of": 3}, "best_of is not supported"),
        ({"stream": "yes"}, "stream must be true or false"),
    ],
)
def test_invalid_requests_get_an_error_message(client, body, words):
    """Errors have OpenAI's form, which its package turns into an exception."""
    answer = client.post("/v1/completions", content=json.dumps(body))
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["param"] in body


@pytest.mark.parametrize(
    "body",
    [
        {"temperature": 100, "top_p": 1, "top_k": 2**31, "min_p": 0, "logprobs": 20, "stop": ["@"] * 16},
        {"temperature": 0, "top_k": -1, "logprobs": 0, "stop": [], "best_of": None, "n": 2.0, "stream_options": {}},
        {"prompt": ["a"] * 64, "n": 2, "best_of": 2, "seed": 2**63},
        {"prompt": ["a"], "n": 128, "seed": -(2**63)},
        {"prompt": "a" * 2999},
        {
            "suffix": "", "presence_penalty": 0, "frequency_penalty": 0, "repetition_penalty": 1, "repeat_penalty": 1,
            "length_penalty": 1, "typical_p": 1, "mirostat": 0, "min_tokens": 0, "use_beam_search": False,
            "prompt_logprobs": None, "response_format": {"type": "text"}, "n_predict": None,
        },
    ],
)  # fmt: skip
def test_values_at_the_limits_are_valid_and_so_are_those_without_effect(client, body):
    assert len(complete(client, max_tokens=1, **body)["choices"]) in (1, 2, 128)


def test_defaults(client):
    """The values of OpenAI's API, except that a text may have any characters and a random seed."""
    answer = complete(client, seed=1)
    assert re.fullmatch("cmpl-[0-9a-f]{24}", answer["id"])
    assert abs(answer["created"] - time.time()) < 60
    (choice,) = answer["choices"]
    assert choice.keys() == {"index", "text", "logprobs", "finish_reason", "seed"}
    values = {"prompt": "", "max_tokens": 16, "temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0, "n": 1}
    values |= {"echo": False, "logprobs": None, "stop": None, "stream": False, "return_token_ids": False}
    assert complete(client, seed=1, **values)["choices"] == answer["choices"]
    assert all("usage" not in event for event in events(client))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[1]", b"[" * 50_000, b'{"prompt": "\xc3"}', b"9" * 5000])
def test_invalid_json_is_rejected(client, body):
    answer = client.post("/v1/completions", content=body)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]["message"]


def test_a_full_queue():
    """The response is 429 with Retry-After; no text of such a request starts."""
    with client_of(LSTM, streams=1, queue=2) as client:
        answer = client.post("/v1/completions", json={"n": 4})
        assert answer.status_code == 429
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert answer.headers["retry-after"] == "1"
        assert len(complete(client, n=3)["choices"]) == 3


def test_timeout():
    """A text that takes too long ends with an error, streamed or not, and frees its place. Its client has not left."""
    with client_of(LSTM, timeout=0.05, max_length=10**6, streams=1) as client:
        assert client.post("/v1/completions", json={"max_tokens": 10**6}).status_code == 504
        *_, last = events(client, max_tokens=10**6)
        assert last["error"]["code"] == "timeout"
        wait_for(lambda: 'streams_in_progress{model="lstm"} 0' in client.get("/metrics").text)
        assert "charrnn_clients_gone_total 0\n" in client.get("/metrics").text


def test_unexpected_exceptions(client, monkeypatch, capsys):
    """The response is 500 without details, which are in the log; in a text that has begun, it is the last event."""

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(models.Models, "get", fail)
    answer = client.get("/v1/models/lstm")
    error = {"message": "internal server error", "type": "server_error", "param": None, "code": None}
    assert (answer.status_code, answer.json()) == (500, {"error": error})
    monkeypatch.undo()
    monkeypatch.setattr(models.Engine, "_step", fail)
    error["message"] += " while generating the text"
    answer = client.post("/v1/completions", json={})
    assert (answer.status_code, answer.json()) == (500, {"error": error})
    assert events(client) == [{"error": error}]
    assert capsys.readouterr().err.count("\nZeroDivisionError\n") == 2
    counts = client.get("/metrics").text
    assert 'charrnn_requests_total{path="/v1/models/{id:path}",status="500"} 1\n' in counts
    assert 'charrnn_requests_total{path="/v1/completions",status="500"} 1\n' in counts


@pytest.mark.parametrize(
    ("body", "leaves", "status"),
    [(None, True, 499), (b'{"max_tokens": 1000000}', True, 499), (b'{"max_tokens": 5}', False, 200)],
)
def test_a_client_that_disconnects(body, leaves, status):
    """Before its body has arrived, or its response is complete: the text ends. Metrics have nginx's status 499.

    Whether it disconnects or not, no task remains.
    """
    options = ServeOptions((str(LSTM),), max_length=10**6)
    server, sent = Server(options, models.Models(options)), []
    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": [(b"host", b"localhost")]}
    messages = [] if body is None else [{"type": "http.request", "body": body}]

    async def receive():
        if not messages and not leaves:
            await asyncio.Event().wait()
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    async def exchange():
        await server.app()(scope, receive, send)
        with anyio.fail_after(60):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.001)

    asyncio.run(exchange())
    assert sent[0]["status"] == status
    assert (b"the client disconnected" in sent[1]["body"]) == leaves
    assert server.metrics.requests == {("/v1/completions", status): 1}
    counts = server.metrics.text({})
    assert ('charrnn_characters_total{model="lstm"} 5\n' in counts) == (not leaves)
    assert f"charrnn_clients_gone_total {int(leaves and body is not None)}\n" in counts
    (model,) = server.models
    assert (server.in_progress, model.engine.load) == (0, (0, 0))


def test_long_steps_run_in_threads(client, alone, monkeypatch):
    """Requests are answered meanwhile. The text is the same."""
    monkeypatch.setattr(models, "SLOW", 0.0)
    threads, step = set(), models.Engine.step
    monkeypatch.setattr(models.Engine, "step", lambda engine: threads.add(threading.get_ident()) or step(engine))
    (choice,) = complete(client, max_tokens=20, seed=7)["choices"]
    assert choice["text"] == alone(20, seed=7).decode(errors="replace")
    assert client.portal.call(threading.get_ident) not in threads
    assert "".join(each["choices"][0]["text"] for each in events(client, max_tokens=20, seed=7)) == choice["text"]


def answer_of(checkpoint, at_once=1, **body):
    """Return the answer to a request, with 20 characters in each text, and its network."""
    network = models.Served("lstm", models.Engine(Model.of(checkpoint), at_once, 0), {})
    asked = Completion({"max_tokens": 20} | body, "lstm", network.engine.model, Limits(100, "error"))
    return Answer(asked, network, Metrics(), 60), network


@pytest.mark.parametrize(("seconds", "turns", "slow"), [(0.0003, 10, 0), (0.009, 20, 0), (0.011, 20, 19)])
def test_steps_run_in_the_event_loop_unless_they_are_slow(checkpoint, monkeypatch, seconds, turns, slow):
    """For half a millisecond at a time. After a step of 0.01 s or longer the next runs in a thread."""
    now, threads, delays, this_thread = [0.0], [], [], threading.get_ident()

    async def sleep(delay):
        if threading.get_ident() == this_thread:  # the server of the other tests, in its thread, may still sleep here
            delays.append(delay)
        await asyncio.sleep(delay)

    async def exchange():
        answer, network = answer_of(checkpoint)
        step = network.engine.step

        def timed_step():
            now[0] += seconds
            threads.append(threading.get_ident())
            step()

        monkeypatch.setattr(network.engine, "step", timed_step)
        await answer.whole()
        await network._writing

    monkeypatch.setattr(models, "time", SimpleNamespace(monotonic=lambda: now[0]))
    functions = {"create_task": asyncio.create_task, "to_thread": asyncio.to_thread}
    monkeypatch.setattr(models, "asyncio", SimpleNamespace(sleep=sleep, **functions))
    asyncio.run(exchange(), debug=True)  # which raises an exception where a thread calls what is not thread-safe
    assert delays == [0] * turns
    assert len(threads) == 20
    assert 20 - threads.count(this_thread) == slow


@pytest.mark.parametrize(("texts", "pause"), [(1, 0.05), (100, 0.2)])
def test_events_of_many_texts_are_fewer(checkpoint, monkeypatch, texts, pause):
    """A text has one every 0.05 s, and all texts on a network together have 500 a second."""
    pauses = []

    async def exchange():
        answer, network = answer_of(checkpoint, texts, n=texts, max_tokens=3)

        async def wait(pause=None):
            pauses.append(pause)
            network.engine.step()

        monkeypatch.setattr(answer, "_wait", wait)
        return [event async for event in answer.events()]

    pieces = asyncio.run(exchange())
    assert pauses == [None, pause, pause]
    assert [piece.count('"finish_reason": null') for piece in pieces] == [texts, texts, 0]
    assert pieces[-1].endswith("data: [DONE]\n\n")


def test_a_newer_checkpoint_is_taken(tmp_path, monkeypatch, capsys):
    """A text in progress is finished with the old network; a corrupt file or none changes nothing.

    Each file is loaded once.
    """
    path, logged, looks, stamp = tmp_path / "network.t7", [], [], models.stamp
    monkeypatch.setattr(models, "LOOK_AGAIN", 0.05)
    monkeypatch.setattr(models, "stamp", lambda path: looks.append(path) or stamp(path))

    def log():
        logged.append(capsys.readouterr().err)
        return "".join(logged)

    shutil.copy(LSTM, path)
    old, new = (b"".join(sample_bytes(charrnn_port.load_checkpoint(each), 10_000, seed=1)) for each in (LSTM, GRU))
    with client_of(path, reload=1) as client, ThreadPoolExecutor() as pool:
        running = pool.submit(complete, client, seed=1, max_tokens=10_000)
        while 'streams_in_progress{model="network"} 1' not in client.get("/metrics").text:
            assert not running.done()
        shutil.copy(GRU, tmp_path / "aside")
        os.replace(tmp_path / "aside", path)
        wait_for(lambda: "reloaded network\n" in log())
        assert client.get("/v1/models/network").json()["cell"] == "gru"
        assert running.result()["choices"][0]["text"] == old.decode(errors="replace")
        for content in (None, b"damaged"):
            if content:
                (tmp_path / "aside").write_bytes(content)
                os.replace(tmp_path / "aside", path)
                wait_for(lambda: "cannot reload network, keeping the old network: " in log())
            choice = complete(client, seed=1, max_tokens=50)["choices"][0]
            assert choice["text"] == new[:50].decode(errors="replace")
        path.unlink()
        before = len(looks)
        wait_for(lambda: len(looks) > before + 2)
        assert [log().count(word) for word in ("reloaded network", "cannot reload")] == [1, 1]


def test_random_requests(client):
    """Any combination of parameters gets a response or an error message, never an internal server error."""
    requests = random_requests(1)
    statuses = {client.post(path, content=body).status_code for path, body in itertools.islice(requests, 600)}
    assert statuses == {200, 400, 404}


def random_requests(seed):
    """Yield paths and request bodies with random parameters and values, without limit."""
    values = [None, True, 0, 1, -1, 2, 0.5, -0.0, 1e308, 10**25, "", "The ", "é", "\ud800"]
    values += [[], [1, 2], ["a"], [[1]], {}, [{}]]
    names = "model prompt max_tokens n seed temperature top_p top_k min_p logprobs stop echo stream".split()
    names += ["stream_options", "best_of", "suffix", "logit_bias", "return_token_ids", "x"]
    draw = random.Random(seed)
    while True:
        body = {name: draw.choice(values) for name in draw.sample(names, draw.randint(0, 4))}
        path = draw.choice(["/v1/completions", "/v1/completions", "/tokenize", "/detokenize"])
        yield path, json.dumps(body).encode()


def test_files_that_cannot_be_served(tmp_path):
    """Errors are one line, before the server listens."""
    run = click.testing.CliRunner().invoke
    assert_one_line_error(run(charrnn.serve, [str(tmp_path / "none.t7")]), 1, "none.t7")
    shutil.copy(GRU, tmp_path / "lstm.t7.pt")
    assert_one_line_error(run(charrnn.serve, [str(LSTM), str(tmp_path / "lstm.t7.pt")]), 1, "duplicate model name lstm")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_one_line_error(run(charrnn.serve, [str(LSTM), "-port", port]), 1, f"on 127.0.0.1, port {port}")
    assert_one_line_error(run(charrnn.serve, [str(LSTM), "-host", "no such"]), 1, "cannot listen on no such")


# ---- On a socket. ----


def test_a_kept_connection_does_not_wait_for_acknowledgements():
    """Accepted connections have TCP_NODELAY: headers and body are two packets, and the second is sent at once."""
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6")
def test_the_address_of_all_interfaces_accepts_both_families():
    with listen("::", 0) as listening:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, listening.getsockname()[1])).close()


def test_a_real_server(alone):
    """The openai package and bad clients; then SIGTERM while a text is in progress, which is finished."""
    import openai  # takes longer than the other modules together

    with process(LSTM, "-max_length", 10**6, "-streams", 40) as (program, port):
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
        assert [model.id for model in client.models.list()] == ["lstm"]
        asked = {"model": "lstm", "prompt": "The ", "seed": 5, "max_tokens": 100}
        text = alone(100, b"The ", seed=5).decode(errors="replace")
        assert client.completions.create(**asked).choices[0].text == text
        assert "".join(chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True)) == text
        with pytest.raises(openai.BadRequestError, match="never has"):
            client.completions.create(**asked | {"prompt": "§"})

        # Clients that do not read, and clients that disconnect, before one that behaves well.
        much = {"max_tokens": 20_000, "stream": True, "seed": 1, "logprobs": 3}
        slow = raw(port, json.dumps(much).encode())
        for k in range(100):
            raw(port, json.dumps({"max_tokens": 10**6 - 1, "stream": k % 2 == 0}).encode()).close()
        assert client.completions.create(**asked).choices[0].text == text
        with raw(port, b"{" * 10, "/tokenize") as connection:
            assert b" 400 " in everything(connection)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as large:
            large.sendall(b"POST /tokenize HTTP/1.1\r\nHost: here\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 1000)
            assert b" 413 " in large.recv(1000)
        wait_for(lambda: 'streams_in_progress{model="lstm"} 0' in metrics_of(port))
        assert 'status="500"' not in metrics_of(port)
        assert everything(slow).count(b'"finish_reason": "length"') == 1

        ending = raw(port, json.dumps({"max_tokens": 5000, "stream": True}).encode())
        assert ending.recv(1)  # its text has started
        program.send_signal(signal.SIGTERM)
        assert everything(ending).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert program.wait(20) in (0, -signal.SIGTERM)
        assert "Traceback" not in program.stderr.read()


@pytest.mark.parametrize(
    ("path", "id_"),
    [("cv/lm_lstm_epoch1.00_2.0.t7.pt", "lm_lstm_epoch1.00_2.0"), ("a.t7", "a"), ("b.safetensors", "b"), ("cv/", "cv")],
)
def test_the_id_of_a_model_is_its_files_name(path, id_):
    assert models.id_of(path) == id_


def test_a_newer_checkpoint_of_any_kind_is_seen(tmp_path):
    """New checkpoints in a folder are noticed; other files are ignored."""
    seen = [models.stamp(str(tmp_path))]
    for name in ("a.t7.pt", "b.t7", "c.safetensors", "log.csv"):
        (tmp_path / name).write_bytes(b"1")
        seen.append(models.stamp(str(tmp_path)))
    assert [len(each) for each in seen] == [0, 1, 2, 3, 3]


@pytest.mark.skipif(bool(MISSING), reason=f"no {MISSING}: apt-get install chromium chromium-driver")
def test_the_page(alone):
    """The page requests the key, generates sample.py's text with the chosen network, and contacts only its server."""
    with process(LSTM, GRU, "-api_key", "secret") as (_, port), Browser() as browser:
        browser.get(f"http://127.0.0.1:{port}/")
        browser.wait("document.getElementById('problem').textContent.includes('API key')")
        browser.run(
            "element('key').value = 'secret'; element('primetext').value = 'The '; element('temperature').value = 1;"
            "element('length').value = 300; element('seed').value = 7; element('write').click()"
        )
        browser.wait("document.body.dataset.state === 'done'")
        assert browser.run("return element('problem').textContent") == ""
        text = "The " + alone(300, b"The ", seed=7).decode(errors="replace")
        assert browser.run("return element('text').textContent") == text
        assert browser.run("return element('loss').textContent").startswith("loss ")
        assert browser.run("return [...element('model').options].map((each) => each.value)") == ["lstm", "gru"]
        browser.run("element('model').value = 'gru'; element('another').click()")
        browser.wait("document.body.dataset.state === 'done'")
        gru = sample_bytes(charrnn_port.load_checkpoint(GRU), 300, primetext=b"The ", seed=8)
        assert browser.run("return element('text').textContent") == b"".join(gru).decode(errors="replace")
        found = browser.run("return expected[4]")
        assert [len(found), len(browser.run("return expected"))] == [5, 304]
        assert found == sorted(found, key=lambda each: -each[1])
        browser.get(f"http://127.0.0.1:{port}/?primetext=The+&temperature=1&length=50&seed=8&topK=9&topP=0.9&model=gru")
        browser.run("element('key').value = 'secret'; element('write').click()")
        browser.wait("document.body.dataset.state === 'done'")
        some = sample_bytes(charrnn_port.load_checkpoint(GRU), 50, primetext=b"The ", seed=8, top_k=9, top_p=0.9)
        assert browser.run("return element('text').textContent") == b"".join(some).decode(errors="replace")
        assert "secret" not in browser.current_url
        assert all(url.startswith(f"http://127.0.0.1:{port}/") for url in browser.requests())


@pytest.mark.long
def test_several_workers(alone):
    """All workers generate the same texts; a worker that is killed is replaced."""
    text = alone(30, seed=9)
    body = json.dumps({"max_tokens": 30, "seed": 9}).encode()
    with process(LSTM, "-workers", 2) as (program, port):

        def ask():
            with raw(port, body) as connection:
                answer = everything(connection).partition(b"\r\n\r\n")[2]
            assert json.loads(answer)["choices"][0]["text"].encode() == text

        for _ in range(20):
            ask()
        command = ["ps", "-o", "pid=,args=", "--ppid", str(program.pid)]
        children = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
        workers = [int(line.split()[0]) for line in children if "spawn_main" in line]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(20):
            ask()
            time.sleep(0.1)
        program.send_signal(signal.SIGTERM)
        program.wait(30)


@pytest.mark.long
def test_bad_clients(alone):
    """Good clients get their texts meanwhile, the server has no internal errors, and its memory does not grow."""
    texts = [alone(100, b"The ", seed=seed).decode(errors="replace") for seed in range(20)]

    def well_meant(seed):
        asked = {"prompt": "The ", "max_tokens": 100, "seed": seed % 20}
        while b" 429 " in (head := (answer := everything(raw(port, json.dumps(asked).encode()))).partition(b"\r\n")[0]):
            assert b"retry-after: 1" in answer.lower()
            time.sleep(1)
        assert b" 200 " in head
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["choices"][0]["text"] == texts[seed % 20]

    def leaving(k):
        asked = {"max_tokens": 50_000, "stream": k % 2 == 0, "n": 1 + k % 3, "prompt": "The " * (k % 5)}
        connection = raw(port, json.dumps(asked).encode())
        if k % 4 == 0:
            connection.recv(1)
        connection.close()

    def large(k):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, suppress(ConnectionError):
            header = [b"Content-Length: 100000000", b"Transfer-Encoding: chunked"][k % 2]
            connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: here\r\n" + header + b"\r\n\r\n")
            for _ in range(100):
                connection.sendall([b"", b"F4240\r\n"][k % 2] + b"x" * 1_000_000 + [b"", b"\r\n"][k % 2])

    def slow(k):
        """Send one byte a second until the server closes the connection."""
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, suppress(ConnectionError):
            post = b"POST /tokenize HTTP/1.1\r\nHost: here\r\nContent-Length: "  # the last is refused at once, with 413
            head = [b"GET / HTTP/1.1\r\n", post + b"1000\r\n\r\n", post + b"100000000\r\n\r\n"]
            connection.sendall(head[k % 3])
            for _ in range(60):
                connection.sendall(b"x")
                time.sleep(1)
            raise AssertionError("the server waits without a limit")

    def no_text(k):
        with raw(port, [b'{"prompt": "\xc3"}', b"\xff\xfe", b"\x00" * 100, b"[" * 100_000][k % 4]) as connection:
            assert b" 400 " in everything(connection)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, suppress(ConnectionError):
            head = [b"\xff\x00\r\n\r\n", b"GET /\xc3 HTTP/1.1\r\n\r\n", b"GET / HTTP/9\r\nA\r\n\r\n"]
            connection.sendall(head[k % 3])
            assert b" 400 " in connection.recv(1000)

    def anything(k):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for path, body in itertools.islice(random_requests(k), 100):
            connection.request("POST", path, body)
            with connection.getresponse() as answer:
                assert answer.status in (200, 400, 404, 429)
                answer.read()
        connection.close()

    with process(LSTM, "-max_length", 50_100) as (program, port), ThreadPoolExecutor(40) as pool:

        def visit(scale):
            kinds = [(leaving, 10), (large, 0.2), (no_text, 1), (anything, 1), (well_meant, 5), (slow, 0.3)]
            visits = [pool.submit(kind, k) for kind, times in kinds for k in range(int(times * scale))]
            random.Random(scale).shuffle(visits)
            for each in visits:
                each.result()

        visit(10)
        before = resident(program.pid)
        visit(100)
        wait_for(lambda: 'streams_in_progress{model="lstm"} 0' in metrics_of(port))
        assert resident(program.pid) - before < 20e6
        assert 'status="500"' not in metrics_of(port)
        program.send_signal(signal.SIGTERM)
        program.wait(20)
        assert "Traceback" not in program.stderr.read()


def resident(pid):
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

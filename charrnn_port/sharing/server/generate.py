"""Continuations for text editors, as torch-rnn-server gives them to rnn-writer: GET /generate?start_text=...&n=3.

https://github.com/robinsloan/torch-rnn-server and https://github.com/robinsloan/rnn-writer.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from charrnn_port.sharing.server.errors import RequestError

LENGTH = 140  # characters
TEMPERATURE = 0.7  # torch-rnn-server draws one of 0.5 to 0.9
MOST_TEXTS = 16
WORDS = 3  # a continuation ends after the first sentence with at least as many words
SENTENCE = re.compile(r"[.!?]+[\"'”’)]*(?=\s|$)")


def completion_request(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the request of OpenAI's API for a query's `start_text`, `n`, `temperature`, `seed` and `model`.

    Raises RequestError for a number that cannot be read.
    """
    body: dict[str, Any] = {"prompt": query.get("start_text", ""), "max_tokens": LENGTH, "model": query.get("model")}
    body["n"] = number(query, "n", 1, int)
    if not 1 <= body["n"] <= MOST_TEXTS:
        raise RequestError(f"n must be from 1 to {MOST_TEXTS}, got {body['n']}", "n")
    body["seed"] = number(query, "seed", -1, int)
    return body | {"temperature": number(query, "temperature", TEMPERATURE, float)}


def number(query: Mapping[str, str], name: str, default: float, kind: type) -> Any:
    """Return a number in a query. Raises RequestError if it is none."""
    try:
        return kind(query.get(name, default))
    except ValueError:
        raise RequestError(f"{name} must be a number, got {query[name][:50]!r}", name) from None


def editor_response(start_text: str, completion: dict[str, Any]) -> dict[str, Any]:
    """Return the response for an editor: the start text as in an address, and the continuations up to a sentence."""
    texts = [first_sentence(choice["text"]) for choice in completion["choices"]]
    return {"start_text": quote(start_text, safe=""), "completions": texts}


def first_sentence(text: str) -> str:
    """Return the beginning of a text up to the first sentence end after WORDS words; all of it if there is none."""
    for match in SENTENCE.finditer(text):
        if len(text[: match.end()].split()) >= WORDS:
            return text[: match.end()]
    return text

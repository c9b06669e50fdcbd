"""The parameters of a request: checked values, prompts as token ids, sampling options."""

import math
import reprlib
from typing import Any

import numpy as np

from charrnn_port.options import OptionError, SampleOptions
from charrnn_port.sharing.server.errors import RequestError
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

MOST_BIAS = 100
MOST_STOPS = 16
MOST_TEMPERATURE = 100
KINDS = {int: "an integer", float: "a number", bool: "true or false", dict: "an object"}
# Parameters of OpenAI, vLLM and llama.cpp that would change the text, each with the value that changes nothing. They
# are not supported: other values are an error, not ignored.
WITHOUT_EFFECT = {
    "suffix": "", "presence_penalty": 0, "frequency_penalty": 0, "repetition_penalty": 1,
    "repeat_penalty": 1, "length_penalty": 1, "typical_p": 1, "mirostat": 0, "min_tokens": 0, "use_beam_search": False,
    "bad_words": [], "stop_token_ids": [], "allowed_token_ids": [], "prompt_logprobs": None, "grammar": "",
    "response_format": {"type": "text"}, "structured_outputs": None, "guided_regex": None, "guided_json": None,
}  # fmt: skip
# Names that other servers give to a parameter of OpenAI's API.
INSTEAD = {"n_predict": "max_tokens", "max_new_tokens": "max_tokens", "num_predict": "max_tokens"}


def require_supported(body: dict[str, Any]) -> None:
    """Raise RequestError for a parameter that would change the text and is not supported."""
    for name, neutral in WITHOUT_EFFECT.items():
        if body.get(name) not in (None, neutral):
            raise RequestError(f"{name} is not supported", name)
    for name, better in INSTEAD.items():
        if body.get(name) is not None:
            raise RequestError(f"{name} is not supported: use {better}", name)


def length_of(body: dict[str, Any], most: int) -> int:
    """Return the number of characters to generate: `max_tokens`, or `max_completion_tokens`, its newer name."""
    newer = value_of(body, "max_completion_tokens", None, int, 0, most)
    length = value_of(body, "max_tokens", newer, int, 0, most)
    if newer not in (None, length):
        raise RequestError(f"max_tokens is {length}, but max_completion_tokens is {newer}", "max_completion_tokens")
    return 16 if length is None else length


def value_of(
    body: dict[str, Any], name: str, usual: Any, kind: type, least: float = -math.inf, most: float = math.inf
) -> Any:
    """Return the value of a parameter; `usual` if it is null or missing. Raises RequestError for an invalid value."""
    value = body.get(name)
    if value is None:
        return usual
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    fits = isinstance(value, int | float if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise RequestError(f"{name} must be {KINDS[kind]}, got {shown(value)}", name)
    if kind in (int, float) and not least <= value <= most:
        raise RequestError(f"{name} must be from {least:g} to {most:g}, got {shown(value)}", name)
    return value


def sample_options(body: dict[str, Any]) -> SampleOptions:
    """Return the sampling options of a request as those of sample.py; temperature 0 is greedy sampling."""
    temperature = value_of(body, "temperature", 1.0, float, 0, MOST_TEMPERATURE)
    try:
        return SampleOptions(
            model="",
            sample=1 if temperature else 0,
            temperature=temperature or 1.0,
            top_p=value_of(body, "top_p", 1.0, float, 0, 1),
            top_k=max(0, value_of(body, "top_k", 0, int, -1, 2**31)),  # in vLLM, -1 also means all characters
            min_p=value_of(body, "min_p", 0.0, float, 0, 1),
        )
    except OptionError as error:
        raise RequestError(str(error).removeprefix("-"), str(error).partition(":")[0].removeprefix("-")) from None


def bias_of(bias: object, vocab: Vocabulary) -> np.ndarray | None:
    """Return what `logit_bias`, numbers by token id, adds to the log-probability of each character; None for nothing.

    As in OpenAI's API, -100 bans a character. Raises RequestError for an invalid id or number.
    """
    if not bias:
        return None
    if not isinstance(bias, dict):
        raise RequestError("logit_bias must be an object with numbers by token id", "logit_bias")
    found = np.zeros(len(vocab))
    for id_, value in bias.items():
        if not (id_.isascii() and id_.isdecimal() and len(id_) < 10 and int(id_) < len(vocab)):
            raise RequestError(f"logit_bias: {shown(id_)} is not a token id of this model, see /tokenize", "logit_bias")
        if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST_BIAS <= value <= MOST_BIAS:
            raise RequestError(f"logit_bias must be from -{MOST_BIAS} to {MOST_BIAS}, got {shown(value)}", "logit_bias")
        found[int(id_)] = -np.inf if value == -MOST_BIAS else value
    if np.isneginf(found).all():
        raise RequestError("logit_bias bans all characters", "logit_bias")
    return found


def stops_of(stop: object) -> list[bytes]:
    """Return the stop sequences as UTF-8. Raises RequestError for an invalid list."""
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or len(stops) > MOST_STOPS or not all(isinstance(each, str) for each in stops):
        raise RequestError(f"stop must be a string or a list of at most {MOST_STOPS} strings", "stop")
    return [encoded(each, "stop") for each in stops if each]


def prompts_of(prompt: object, vocab: Vocabulary, unknown: str) -> list[list[int]]:
    """Return the token ids of each prompt, given as a string or a list of ids, or as a list of these."""
    prompts = "" if prompt is None else prompt
    if not isinstance(prompts, list) or (prompts and is_id(prompts[0])):
        prompts = [prompts]
    if not prompts:
        raise RequestError("prompt is an empty list", "prompt")
    return [ids_of(each, vocab, unknown) for each in prompts]


def ids_of(prompt: object, vocab: Vocabulary, unknown: str, name: str = "prompt") -> list[int]:
    """Return the token ids of one prompt. Raises RequestError for an unknown character and an invalid id."""
    if isinstance(prompt, str):
        try:
            return vocab.encode(encoded(prompt, name), "the prompt", unknown)
        except UserError as error:
            raise RequestError(str(error), name) from None
    if not isinstance(prompt, list) or not all(map(is_id, prompt)):
        raise RequestError(f"a {name} must be a string or a list of token ids", name)
    for id_ in prompt:
        if not 0 <= id_ < len(vocab):
            raise RequestError(f"invalid token id {shown(id_)}: expected 0 to {len(vocab) - 1}", name)
    return prompt


def is_id(value: object) -> bool:
    """Return whether this is an integer, and not a boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def encoded(text: str, name: str) -> bytes:
    """Return a text as UTF-8. Raises RequestError for unpaired surrogates, which JSON can hold."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        message = f"{name} has an unpaired surrogate at position {error.start} (from 0)"
        raise RequestError(message, name) from None


def shown(value: object) -> str:
    """Return a shortened repr for error messages, since values in a request may have any length."""
    return reprlib.repr(value)

"""Requests and responses of OpenAI's completions API. One character is one token.

https://platform.openai.com/docs/api-reference/completions, with vLLM's `top_k`, `min_p` and `return_token_ids`.
"""

import codecs
import math
import reprlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from charrnn_port.options import OptionError, SampleOptions
from charrnn_port.sampling import Model, is_unfiltered, sampler_of, samplers
from charrnn_port.sharing.server.errors import RequestError
from charrnn_port.sharing.server.stream import Stream, Token
from charrnn_port.torch7.random import Generator
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

MOST_LOGPROBS = 20
MOST_STOPS = 16
MOST_TEXTS = 128
MOST_TEMPERATURE = 100
KINDS = {int: "an integer", float: "a number", bool: "true or false", dict: "an object"}
# Unsupported parameters of OpenAI's API, each with its neutral value. Other values are an error, not ignored.
WITHOUT_EFFECT = {"suffix": "", "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}}


@dataclass(frozen=True)
class Limits:
    """Limits on one request."""

    length: int  # most characters of a prompt and its continuation together
    unknown: str  # error or skip: how to handle characters that the network does not know


class Completion:
    """A parsed request and its responses. Each prompt gets `n` texts, with the seeds `seed`, `seed` + 1, ..."""

    def __init__(self, body: dict[str, Any], model_id: str, model: Model, limits: Limits) -> None:
        """Parse the body of a request. Raises RequestError, which names the parameter, for an invalid value."""
        take = partial(value_of, body)
        self.id, self.created, self.model_id = f"cmpl-{secrets.token_hex(12)}", int(time.time()), model_id
        self.model, self.vocab = model, model.vocab
        for name, usual in WITHOUT_EFFECT.items():
            if body.get(name) not in (None, usual):
                raise RequestError(f"{name} is not supported", name)
        self.length = take("max_tokens", 16, int, 0, limits.length)
        self.n = take("n", 1, int, 1, MOST_TEXTS)
        if take("best_of", self.n, int) != self.n:
            raise RequestError("best_of is not supported beside n", "best_of")
        self.seed = take("seed", secrets.randbits(31), int, -(2**63), 2**63)
        self.stream, self.echo = take("stream", False, bool), take("echo", False, bool)
        self.with_ids = take("return_token_ids", False, bool)
        self.with_usage = bool(take("stream_options", {}, dict).get("include_usage"))
        self.top = take("logprobs", None, int, 0, MOST_LOGPROBS)
        self.stops = stops_of(body.get("stop"))
        self.options = sample_options(body)
        self.prompts = prompts_of(body.get("prompt"), self.vocab, limits.unknown)
        if len(self.prompts) * self.n > MOST_TEXTS:
            raise RequestError(f"{len(self.prompts)} prompts with n {self.n}: at most {MOST_TEXTS} texts", "n")
        for prompt in self.prompts:
            if len(prompt) + self.length > limits.length:
                raise RequestError(
                    f"the prompt has {len(prompt)} characters and max_tokens is {self.length}: together at most "
                    f"{limits.length}",
                    "max_tokens",
                )
            if not (self.length or (self.echo and prompt)):
                raise RequestError("max_tokens 0 requires a prompt and echo", "max_tokens")

    def streams(self, notify: Callable[[], None]) -> list[Stream]:
        """Return the texts, not yet started: `n` for the first prompt, then `n` for the next."""
        return [self._stream(prompt, self.seed + k, notify) for prompt in self.prompts for k in range(self.n)]

    def _stream(self, prompt: Sequence[int], seed: int, notify: Callable[[], None]) -> Stream:
        random = Generator(seed)
        return Stream(
            prompt,
            self.length,
            samplers.ban(self.vocab.unknown, sampler_of(self.options, random, self.model)),
            notify,
            plainly=(random, self.options.temperature) if is_unfiltered(self.options) else None,
            top=self.top,
            echo=self.echo,
            stops=self.stops,
            decode=self.vocab.decode,
        )

    def texts(self) -> "list[Text]":
        """Return a `Text` for each stream, which turns its tokens into the choices of responses."""
        return [Text(self, index) for index in range(len(self.prompts) * self.n)]

    def answer(self, parts: list[dict], usage: dict | None = None) -> dict:
        """Return a whole response, or one event of a streamed response."""
        frame = {"id": self.id, "object": "text_completion", "created": self.created, "model": self.model_id}
        return frame | {"choices": parts} | ({} if usage is None else {"usage": usage})

    def usage(self, texts: "list[Text]") -> dict[str, int]:
        """Return the numbers of prompt tokens and completion tokens."""
        read = sum(map(len, self.prompts))
        written = sum(text.count for text in texts) - (self.echo and sum(map(len, self.prompts)) * self.n)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


class Text:
    """One text of a request, converted to choices piece by piece."""

    def __init__(self, completion: Completion, index: int) -> None:
        self.count = 0  # characters sent so far, those of an echoed prompt included
        self._completion, self._index = completion, index
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offset = 0  # of the next character, counted in characters of the decoded text

    def part(self, tokens: Sequence[Token], finish_reason: str | None) -> dict:
        """Return a choice with the given tokens. In its text, bytes that are not valid UTF-8 are U+FFFD.

        In `logprobs` such a byte is "bytes:\\xc3", as in OpenAI's API; `token_ids` has all tokens unchanged.
        """
        asked, vocab = self._completion, self._completion.vocab
        self.count += len(tokens)
        ids = [token.id for token in tokens]
        log_probs = None
        if asked.top is None:
            text = self._decoder.decode(vocab.decode(ids))
        else:
            text, offsets = "", []
            for id_ in ids:
                offsets.append(self._offset + len(text))
                text += self._decoder.decode(vocab.decode([id_]))
            log_probs = {
                "tokens": [token_text(vocab, id_) for id_ in ids],
                "token_logprobs": [finite(token.log_prob) for token in tokens],
                "top_logprobs": [top_log_probs(vocab, token) for token in tokens],
                "text_offset": offsets,
            }
            self._offset += len(text)
        if finish_reason:
            text += self._decoder.decode(b"", final=True)
        part = {"index": self._index, "text": text, "logprobs": log_probs, "finish_reason": finish_reason}
        part["seed"] = asked.seed + self._index % asked.n
        return part | ({"token_ids": ids} if asked.with_ids else {})


def top_log_probs(vocab: Vocabulary, token: Token) -> dict[str, float] | None:
    """Return the log-probabilities, in nats, of the most likely characters and of the token itself, by their texts.

    Returns None for a token without a prediction: the first character of a prompt has no context.
    """
    if token.log_prob is None:
        return None
    return {token_text(vocab, id_): finite(value) for id_, value in [*token.top, (token.id, token.log_prob)]}


def token_text(vocab: Vocabulary, id_: int) -> str:
    """Return the text of a token; "bytes:\\xc3", as in OpenAI's API, for a byte that is not a whole character."""
    text = vocab.decode([id_])
    try:
        return text.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in text)


def finite(value: float | None) -> float | None:
    """Return a finite number unchanged, and None (null in JSON) for NaN and infinities, which JSON cannot hold."""
    return value if value is not None and math.isfinite(value) else None


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


def ids_of(prompt: object, vocab: Vocabulary, unknown: str) -> list[int]:
    """Return the token ids of one prompt. Raises RequestError for an unknown character and an invalid id."""
    if isinstance(prompt, str):
        try:
            return vocab.encode(encoded(prompt, "prompt"), "the prompt", unknown)
        except UserError as error:
            raise RequestError(str(error), "prompt") from None
    if not isinstance(prompt, list) or not all(map(is_id, prompt)):
        raise RequestError("a prompt must be a string or a list of token ids", "prompt")
    for id_ in prompt:
        if not 0 <= id_ < len(vocab):
            raise RequestError(f"invalid token id {shown(id_)}: expected 0 to {len(vocab) - 1}", "prompt")
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

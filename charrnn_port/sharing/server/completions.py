"""Requests and responses of OpenAI's completions API. One character is one token.

https://platform.openai.com/docs/api-reference/completions, with vLLM's `top_k`, `min_p` and `return_token_ids`.
"""

import codecs
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from charrnn_port.sampling import Model, is_unfiltered, sampler_of, samplers
from charrnn_port.sharing.server.errors import RequestError
from charrnn_port.sharing.server.parameters import (
    bias_of,
    length_of,
    prompts_of,
    require_supported,
    sample_options,
    stops_of,
    value_of,
)
from charrnn_port.sharing.server.stream import Stream, Token
from charrnn_port.torch7.random import Generator
from charrnn_port.util.vocabulary import Vocabulary

MOST_LOGPROBS = 20
MOST_TEXTS = 128
RANDOM_SEED = -1  # as other servers use it


@dataclass(frozen=True)
class Limits:
    """Limits on one request."""

    length: int  # most characters of a prompt and its continuation together
    unknown: str  # error or skip: how to handle characters that the network does not know


class Completion:
    """A parsed request and its responses. Each prompt gets `n` texts.

    The texts of one prompt have the seeds `seed`, `seed` + 1, ..., also where a request has the prompt several times.
    """

    def __init__(self, body: dict[str, Any], model_id: str, model: Model, limits: Limits) -> None:
        """Parse the body of a request. Raises RequestError, which names the parameter, for an invalid value."""
        take = partial(value_of, body)
        self.id, self.created, self.model_id = f"cmpl-{secrets.token_hex(12)}", int(time.time()), model_id
        self.model, self.vocab = model, model.vocab
        require_supported(body)
        self.length = length_of(body, limits.length)
        self.n = take("n", 1, int, 1, MOST_TEXTS)
        if take("best_of", self.n, int) != self.n:
            raise RequestError("best_of is not supported beside n", "best_of")
        self.seed = take("seed", RANDOM_SEED, int, -(2**63), 2**63)
        if self.seed == RANDOM_SEED:
            self.seed = secrets.randbits(31)
        self.stream, self.echo = take("stream", False, bool), take("echo", False, bool)
        self.with_ids = take("return_token_ids", False, bool)
        self.with_usage = value_of(take("stream_options", {}, dict), "include_usage", False, bool)
        self.top = take("logprobs", None, int, 0, MOST_LOGPROBS)
        self.stops = stops_of(body.get("stop")) + ([model.separator] if model.separator else [])
        self.bias = bias_of(body.get("logit_bias"), self.vocab)
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

    def texts(self, notify: Callable[[], None]) -> "list[Text]":
        """Return the texts, not yet started: `n` for the first prompt, then `n` for the next."""
        texts, times = [], Counter()
        for prompt in (prompt for prompt in self.prompts for _ in range(self.n)):
            texts.append(Text(self, len(texts), prompt, self.seed + times[tuple(prompt)], notify))
            times[tuple(prompt)] += 1
        return texts

    def answer(self, parts: list[dict], usage: dict | None = None) -> dict:
        """Return a whole response, or one event of a streamed response."""
        frame = {"id": self.id, "object": "text_completion", "created": self.created, "model": self.model_id}
        return frame | {"choices": parts} | ({} if usage is None else {"usage": usage})

    def usage(self, texts: "list[Text]") -> dict[str, int]:
        """Return the numbers of prompt tokens and completion tokens."""
        read = sum(map(len, self.prompts))
        written = sum(text.sent for text in texts) - (self.echo and read * self.n)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


class Text(Stream):
    """One text of a completion: a stream that is read as choices of responses."""

    def __init__(
        self, asked: Completion, index: int, prompt: Sequence[int], seed: int, notify: Callable[[], None]
    ) -> None:
        random = Generator(seed)
        choose = sampler_of(asked.options, random, asked.model)
        plain = is_unfiltered(asked.options) and asked.bias is None
        super().__init__(
            prompt,
            asked.length,
            samplers.ban(asked.vocab.unknown, choose if asked.bias is None else samplers.biased(choose, asked.bias)),
            notify,
            plainly=(random, asked.options.temperature) if plain else None,
            top=asked.top,
            echo=asked.echo,
            stops=asked.stops,
            decode=asked.vocab.decode,
        )
        self.sent = 0  # characters, those of an echoed prompt included
        self.ended = False  # whether all characters and the finish reason have been read
        self._asked, self._index, self._seed = asked, index, seed
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offset = 0  # of the next character, counted in characters of the decoded text

    def choice(self) -> dict | None:
        """Return a choice with the characters since the last call; None if there is nothing new.

        In its text, bytes that are not valid UTF-8 are U+FFFD. In `logprobs` such a byte is "bytes:\\xc3", as in
        OpenAI's API; `token_ids` has all tokens unchanged. Raises RequestError if the engine failed.
        """
        reason = self.finish_reason  # read before the tokens: once it is set, all characters are there
        if reason == "error":
            raise RequestError("internal server error while generating the text", status=500)
        tokens = self.read()
        if not tokens and not reason:
            return None
        self.sent += len(tokens)
        self.ended = bool(reason)
        text, log_probs = self._decoded(tokens)
        if reason:
            text += self._decoder.decode(b"", final=True)
        choice = {"index": self._index, "text": text, "logprobs": log_probs, "finish_reason": reason}
        ids = {"token_ids": [token.id for token in tokens]} if self._asked.with_ids else {}
        return choice | {"seed": self._seed} | ids

    def _decoded(self, tokens: list[Token]) -> tuple[str, dict | None]:
        """Return the text of some tokens, and their log-probabilities if they were requested."""
        vocab = self._asked.vocab
        if self._asked.top is None:
            return self._decoder.decode(vocab.decode([token.id for token in tokens])), None
        text, offsets = "", []
        for token in tokens:
            offsets.append(self._offset + len(text))
            text += self._decoder.decode(vocab.decode([token.id]))
        self._offset += len(text)
        return text, {
            "tokens": [token_text(vocab, token.id) for token in tokens],
            "token_logprobs": [finite(token.log_prob) for token in tokens],
            "top_logprobs": [top_log_probs(vocab, token) for token in tokens],
            "text_offset": offsets,
        }


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

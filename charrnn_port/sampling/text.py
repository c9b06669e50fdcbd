"""Samples a text with the options of sample.py, character by character."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import SampleOptions, with_known_names
from charrnn_port.sampling import samplers
from charrnn_port.sampling.beam import likeliest_text
from charrnn_port.sampling.bias import bias_of
from charrnn_port.sampling.model import Model
from charrnn_port.sampling.session import Session
from charrnn_port.torch7.random import Generator


@with_known_names
def sample_bytes(
    checkpoint: Checkpoint | Model,
    length: int = 2000,
    *,
    primetext: bytes | str = b"",
    temperature: float = 1.0,
    argmax: bool = False,
    sample: int = 1,
    seed: int = 123,
    device: torch.device | str = "cpu",
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    beam: int = 0,
    stop: bytes | str = b"",
    ban: str = "",
    only: str = "",
    bias: str = "",
    unknown: str = "error",
) -> Iterator[bytes]:
    """Yield the bytes that sample.py prints for a checkpoint, character by character: `primetext`, then `length` more.

    The options are those of sample.py; `argmax=True` is `sample=0`; `length=0` is without end. Computed in float64 on a
    CPU and in float32 on a GPU. Pass a Model to convert the weights only once for several texts. A `str` is encoded as
    UTF-8. With `stop`, characters that may begin the stop sequence are held back. Raises UserError at the call for an
    invalid option, and for a character in `primetext` or `stop` that is not in the vocabulary.
    """
    options = SampleOptions(
        model="", length=length, temperature=temperature, seed=seed, sample=0 if argmax else sample,
        top_k=top_k, top_p=top_p, min_p=min_p, beam=beam, stop=os.fsdecode(stop), ban=ban, only=only,
        bias=bias, unknown=unknown,
    )  # fmt: skip
    if isinstance(primetext, str):
        primetext = primetext.encode()
    prime = checkpoint.vocab.encode(primetext, "-primetext", unknown)
    checkpoint.vocab.encode(os.fsencode(stop), "-stop")
    bias_of(options, checkpoint.vocab)
    model = checkpoint if isinstance(checkpoint, Model) else Model.of(checkpoint, device)
    return text_of(model, options, prime, options.seed)


def text_of(model: Model, options: SampleOptions, prime: list[int], seed: int) -> Iterator[bytes]:
    """Yield the bytes of one text, character by character: those of `prime`, then those that the options sample."""
    session = Session(model)
    if options.beam:
        ids = itertools.chain(prime, beam_search(session, options, prime))
    else:
        ids = session.sample(options.length or None, sampler_of(options, Generator(seed), model), prime)
    return text_until(stop_of(model, options), (model.vocab.decode([id_]) for id_ in ids), len(prime))


def text_until(stop: bytes, text: Iterator[bytes], prime: int) -> Iterator[bytes]:
    """Return a text up to the stop sequence, if any, which is not looked for in its first `prime` characters."""
    return itertools.chain(itertools.islice(text, prime), until(stop, text)) if stop else text


def stop_of(model: Model, options: SampleOptions) -> bytes:
    """Return the stop sequence: -stop, or what ends each text that the network learned; b"" for none."""
    return os.fsencode(options.stop) or model.separator


def beam_search(session: Session, options: SampleOptions, prime: list[int]) -> Iterator[int]:
    """Yield the ids that beam search finds. The search runs when the first one is requested."""
    session.feed(prime)
    yield from likeliest_text(session, options.length, options.beam)


def sampler_of(options: SampleOptions, random: Generator, model: Model) -> samplers.Sampler:
    """Return the sampler that the options select. Each draw takes one word of `random`, with or without filters."""
    bias = bias_of(options, model.vocab)
    if bias is not None:
        plain = replace(options, ban="", only="", bias="")
        return samplers.biased(sampler_of(plain, random, model), bias)
    if options.sample == 0:
        return samplers.greedy
    choose = samplers.categorical(random, options.temperature, model.sampling_dtype)
    filters = []
    if options.top_k:
        filters.append(samplers.top_k(options.top_k))
    if options.top_p < 1:
        filters.append(samplers.top_p(options.top_p))
    if options.min_p:
        filters.append(samplers.min_p(options.min_p))
    return samplers.filtered(choose, filters, options.temperature) if filters else choose


def is_unfiltered(options: SampleOptions) -> bool:
    """Return whether the options sample from all characters, as the network predicts them.

    That is without top-k, top-p, min-p, biases and greedy decoding.
    """
    changes = options.top_k or options.min_p or options.ban or options.only or options.bias
    return options.sample == 1 and options.top_p == 1 and not changes


def until(stop: bytes, text: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a text up to the stop sequence `stop`, which is not included.

    Characters that may be the beginning of `stop` are held back until that is decided.
    """
    held = StopSequenceBuffer([stop])
    for piece in text:
        yield held.push(piece)
        if held.reached:
            return
    yield held.rest


class StopSequenceBuffer:
    """Cuts a text at the first of several stop sequences; holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[bytes]) -> None:
        self._stops = stops
        self.rest = b""  # the bytes held back
        self.reached = False  # whether a stop sequence was found

    def push(self, piece: bytes) -> bytes:
        """Add a piece of the text and return the bytes that can be shown now."""
        text = self.rest + piece
        ends = [text.index(stop) for stop in self._stops if stop in text]
        self.reached = bool(ends)
        shown = min(ends) if ends else len(text) - max((partial_match(stop, text) for stop in self._stops), default=0)
        self.rest = b"" if ends else text[shown:]
        return text[:shown]


def partial_match(stop: bytes, text: bytes) -> int:
    """Return the length of the longest end of `text` that is a beginning of `stop`, but not all of it."""
    return next(size for size in range(len(stop) - 1, -1, -1) if text.endswith(stop[:size]))

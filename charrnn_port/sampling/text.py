"""A text as the options of sample.py ask for it, piece by piece."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence

import torch

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.option_fields import with_known_names
from charrnn_port.options import SampleOptions
from charrnn_port.sampling import samplers
from charrnn_port.sampling.beam import likeliest_text
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
    unknown: str = "error",
) -> Iterator[bytes]:
    """The bytes that sample.py prints for a checkpoint, character by character: `primetext`, then `length` more.

    The options are sample.py's; `argmax=True` is `sample=0`. Computed in double precision on a CPU and in single on a
    GPU; a Model, which is on its device already, saves the conversion where there are several texts. A `str` counts as
    UTF-8. With `stop`, characters come once they surely do not begin it. Raises UserError for a value that sample.py
    would refuse, and for a character in `primetext` or `stop` that the training text never has.
    """
    options = SampleOptions(
        model="", length=length, temperature=temperature, seed=seed, sample=0 if argmax else sample,
        top_k=top_k, top_p=top_p, min_p=min_p, beam=beam, stop=os.fsdecode(stop), unknown=unknown,
    )  # fmt: skip
    if isinstance(primetext, str):
        primetext = primetext.encode()
    prime = checkpoint.vocab.encode(primetext, "-primetext", unknown)
    checkpoint.vocab.encode(os.fsencode(stop), "-stop")
    model = checkpoint if isinstance(checkpoint, Model) else Model.of(checkpoint, device)
    return text_of(model, options, prime, options.seed)


def text_of(model: Model, options: SampleOptions, prime: list[int], seed: int) -> Iterator[bytes]:
    """The bytes of one text: those of `prime`, then what the options make of it."""
    session = Session(model)
    if options.beam:
        ids = itertools.chain(prime, found(session, options, prime))
    else:
        ids = session.sample(options.length or None, sampler_of(options, Generator(seed), model), prime)
    text = (model.vocab.decode([id_]) for id_ in ids)
    if not options.stop:
        return text
    return itertools.chain(itertools.islice(text, len(prime)), until(os.fsencode(options.stop), text))


def found(session: Session, options: SampleOptions, prime: list[int]) -> Iterator[int]:
    """What beam search finds, once it is asked for."""
    session.feed(prime)
    yield from likeliest_text(session, options.length, options.beam)


def sampler_of(options: SampleOptions, random: Generator, model: Model) -> samplers.Sampler:
    """How the options choose a character; one that is drawn takes one word from the stream, filters or not."""
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
    """Whether a character is drawn from among all."""
    return options.sample == 1 and options.top_p == 1 and not (options.top_k or options.min_p)


def until(stop: bytes, text: Iterable[bytes]) -> Iterator[bytes]:
    """The text up to where `stop` comes. What may be its beginning is held back until it turns out to be none."""
    held = StopSequenceBuffer([stop])
    for piece in text:
        yield held.push(piece)
        if held.reached:
            return
    yield held.rest


class StopSequenceBuffer:
    """A text up to where the first of some `stops` comes, piece by piece; what may be the beginning of one waits."""

    def __init__(self, stops: Sequence[bytes]) -> None:
        self._stops = stops
        self.rest = b""  # what waits
        self.reached = False  # whether one has come

    def push(self, piece: bytes) -> bytes:
        """Go on by a piece of the text: what can be shown now."""
        text = self.rest + piece
        ends = [text.index(stop) for stop in self._stops if stop in text]
        self.reached = bool(ends)
        shown = min(ends) if ends else len(text) - max((begun(stop, text) for stop in self._stops), default=0)
        self.rest = b"" if ends else text[shown:]
        return text[:shown]


def begun(stop: bytes, text: bytes) -> int:
    """How many bytes at the end of a text are the beginning of `stop`, which may follow."""
    return next(size for size in range(len(stop) - 1, -1, -1) if text.endswith(stop[:size]))

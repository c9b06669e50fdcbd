"""Batched sampling: several texts, each with its own seed, in parallel on a CPU."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

import numpy as np
import torch

from charrnn_port.model.decode import DecodeBatch
from charrnn_port.options import SampleOptions
from charrnn_port.sampling.model import Model
from charrnn_port.sampling.samplers import BatchedCategorical, ban
from charrnn_port.sampling.session import Session
from charrnn_port.sampling.text import is_unfiltered, sampler_of, stop_of, text_of, text_until
from charrnn_port.torch7.random import Generator

SIDE_BY_SIDE = 16  # texts per batch; larger batches gain little
LONGEST = 100_000  # characters; ids are kept in memory until their text is read


def texts_of(model: Model, options: SampleOptions, prime: list[int]) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Yield the seeds of -n texts, each with its text, which is the same as that of `text_of`.

    Texts are sampled one after the other if a batch has no gain, if they are long or without end, and on a GPU, where
    products of batches are rounded differently. A batch with a stop sequence ends with the longest of its texts.
    """
    seeds, stop = range(options.seed, options.seed + options.n), stop_of(model, options)
    if options.n == 1 or not 0 < options.length <= LONGEST or not model.use_numpy:
        yield from ((seed, text_of(model, options, prime, seed)) for seed in seeds)
        return
    for start in range(0, options.n, SIDE_BY_SIDE):
        some = seeds[start : start + SIDE_BY_SIDE]
        drawn = itertools.tee(ids_of(model, options, prime, some), len(some))
        for place, seed in enumerate(some):
            ids = itertools.chain(prime, map(itemgetter(place), drawn[place]))
            yield seed, text_until(stop, (model.vocab.decode([id_]) for id_ in ids), len(prime))


def ids_of(model: Model, options: SampleOptions, prime: list[int], seeds: Sequence[int]) -> Iterator[list[int]]:
    """Yield the ids after `prime`: for each character, a list with one id per text."""
    choose = batched_sampler(model, options, [Generator(seed) for seed in seeds])
    sessions = BatchedSession(model, len(seeds))
    for id_ in prime:
        sessions.feed([id_] * len(seeds))
    for _ in range(options.length):
        ids = choose(sessions.scores.T)
        yield ids
        sessions.feed(ids)


def batched_sampler(
    model: Model, options: SampleOptions, randoms: Sequence[Generator]
) -> Callable[[np.ndarray], list[int]]:
    """Return a function from scores `[texts, V]` to the next id of each text, as the options select it."""
    unknown = model.vocab.unknown
    if is_unfiltered(options):
        draw, temperatures = BatchedCategorical(model.sampling_dtype, unknown), [options.temperature] * len(randoms)
        return lambda scores: draw(randoms, temperatures, scores)
    choices = [ban(unknown, sampler_of(options, random, model)) for random in randoms]
    return lambda scores: [choose(row) for choose, row in zip(choices, scores, strict=True)]


class BatchedSession:
    """Several texts in progress on a model on a CPU. The scores of each are those of a Session, bit by bit."""

    def __init__(self, model: Model, count: int) -> None:
        self._step = (CompiledSteps if model.compiled else Steps)(model, count)
        self.scores = columns(Session(model).scores, count)

    def feed(self, ids: Sequence[int]) -> None:
        """Read one character in each text. `scores` `[V, texts]` are then those of the next characters."""
        self.scores = self._step(ids)

    def keep(self, places: Sequence[int], new: int) -> None:
        """Keep only these texts, in this order, and append `new` ones at their start.

        `scores` are valid again after the next `feed`. The scores of a text do not depend on the other texts.
        """
        self._step.keep(places, new)


class CompiledSteps:
    """Computes time steps of several texts in C."""

    def __init__(self, model: Model, count: int) -> None:
        self._network = model.compiled
        self._start = torch.tensor(np.stack(model.zero_state()), device="cpu")[:, None]
        self._batch = DecodeBatch(self._network, self._start.repeat(1, count, 1))

    def __call__(self, ids: Sequence[int]) -> np.ndarray:
        """Read these characters and return the scores `[V, texts]` of the next ones."""
        self._batch.ids.numpy()[:] = ids
        self._batch.step()
        return self._batch.scores.numpy().copy().T

    def keep(self, places: Sequence[int], new: int) -> None:
        """See `BatchedSession.keep`."""
        state = torch.cat([self._batch.state[:, places], self._start.expand(-1, new, -1)], 1)
        self._batch = DecodeBatch(self._network, state)


class Steps:
    """Computes time steps of several texts in NumPy."""

    def __init__(self, model: Model, count: int) -> None:
        self._model = model.batched()
        self._state = tuple(columns(vector, count) for vector in model.zero_state())

    def __call__(self, ids: Sequence[int]) -> np.ndarray:
        """Read these characters and return the scores `[V, texts]` of the next ones."""
        scores, self._state = self._model.step(self._model.input_table[ids].T, self._state)
        return scores

    def keep(self, places: Sequence[int], new: int) -> None:
        """See `BatchedSession.keep`."""
        zero = self._model.zero_state()
        self._state = tuple(
            np.concatenate([vector.T[places], columns(start, new).T]).T
            for vector, start in zip(self._state, zero, strict=True)
        )


def columns(vector: np.ndarray, count: int) -> np.ndarray:
    """Return a vector `[n]` repeated as the columns of `[n, count]`. Columns are contiguous in memory."""
    return np.tile(vector, (count, 1)).T

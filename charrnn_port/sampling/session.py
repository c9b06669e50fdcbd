"""A session: one text in progress on a model, as in sample.lua."""

import copy
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charrnn_port.device import record
from charrnn_port.model.decode import DecodeBatch
from charrnn_port.sampling.activations import Activations, trace
from charrnn_port.sampling.model import Model
from charrnn_port.sampling.samplers import Sampler, ban


class Session:
    """A model with the state of one text. Sessions on one model are independent, also in different threads."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.unknown = model.vocab.unknown
        self._step = step_of(model)
        self.scores = model.first_scores

    def __repr__(self) -> str:
        best = int(self.scores.argmax())
        probability = np.exp(self.log_probs()[best])
        return f"Session({self.model!r}, next: {self.model.vocab.decode([best])!r} with {probability:.1%})"

    def __copy__(self) -> "Session":
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Session":
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the model, the state of the text and the scores of the next character."""
        state = [torch.asarray(array, copy=True, device="cpu") for array in self._step.state]
        return session_of, (self.model, state, self.scores)

    def feed(self, ids: Iterable[int]) -> None:
        """Read these characters. `scores` `[V]` are then the log-probabilities of the next one, plus a constant.

        Raises IndexError for an id out of range.
        """
        for id_ in ids:
            if not 0 <= id_ < len(self.scores):
                raise IndexError(f"character id {id_} is out of range: vocab_size is {len(self.scores)}")
            self.scores = self._step(id_)

    def log_probs(self) -> np.ndarray:
        """Return the log-probabilities `[V]` of the next character, in nats."""
        return log_probs_of(self.scores)

    def trace(self, text: bytes | str) -> Iterator[Activations]:
        """Yield the activations after each character of a text that is read next. The session is not changed.

        Computed with the plain backend. A `str` is encoded as UTF-8. Raises UserError for a character that is not in
        the vocabulary.
        """
        ids = self.model.vocab.encode(text.encode() if isinstance(text, str) else text)
        network = self.model.to_eager()
        state = [torch.asarray(array, copy=True)[None] for array in self._step.state]
        return trace(network, ids, state)

    def copy(self) -> "Session":
        """Return an independent session with the same state."""
        other = Session.__new__(Session)
        other.model, other.unknown, other.scores = self.model, self.unknown, self.scores
        other._step = self._step.copy()
        return other

    def sample(self, length: int | None, choose: Sampler, prime: Iterable[int] = ()) -> Iterator[int]:
        """Yield the ids of `prime`, then `length` more that `choose` samples. Each one is fed before the next.

        With a `length` of None it never ends. The unknown symbol of the vocabulary, if any, is never sampled.
        """
        choose = ban(self.unknown, choose)
        for id_ in prime:
            yield id_
            self.feed([id_])
        for _ in itertools.count() if length is None else range(length):
            id_ = choose(self.scores)
            yield id_
            self.scores = self._step(id_)


def session_of(model: Model, state: Sequence[Tensor], scores: np.ndarray) -> Session:
    """Build a session from what `Session.__reduce__` pickles."""
    session = Session(model)
    session.scores, session._step = scores, step_of(model, state)
    return session


def log_probs_of(scores: np.ndarray) -> np.ndarray:
    """Return the log-probabilities `[V]`, in nats, from scores, which are log-probabilities plus a constant."""
    shifted = scores - scores.max()
    return shifted - np.log(np.exp(shifted).sum())


def step_of(model: Model, state: Sequence[Tensor] | None = None) -> "Step | CompiledStep | GraphedStep":
    """Return the fastest step function of a model, from a state of vectors `[rnn_size]`, or from the zero state."""
    if model.compiled:
        return CompiledStep(model, None if state is None else torch.stack(list(state))[:, None])
    step = GraphedStep(model) if model.device.type == "cuda" else Step(model)
    if state is not None:
        step.state = model.state_of(state)
    return step


class Step:
    """Computes the time steps of a text in NumPy or PyTorch and keeps the state between them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.state = model.zero_state()

    def __call__(self, id_: int) -> np.ndarray:
        """Read a character and return the scores `[V]` of the next one."""
        scores, self.state = self.model.step(self.model.input_table[id_], self.state)
        return scores if isinstance(scores, np.ndarray) else scores.cpu().numpy()

    def copy(self) -> "Step":
        """Return an independent copy. The state can be shared, since it is replaced and never written to."""
        return copy.copy(self)


class CompiledStep:
    """Computes the time steps of a text in C. See `Step`."""

    def __init__(self, model: Model, state: Tensor | None = None) -> None:
        """Begin from `state` `[states, 1, rnn_size]`, by default the zero state."""
        self.model = model
        start = torch.tensor(np.stack(model.zero_state()), device="cpu")[:, None]
        self._batch = DecodeBatch(model.compiled, start if state is None else state)
        self._ids, self._scores = self._batch.ids.numpy(), self._batch.scores[0].numpy()

    @property
    def state(self) -> list[np.ndarray]:
        """The vectors `[rnn_size]` of the state."""
        return list(self._batch.state[:, 0].numpy())

    def __call__(self, id_: int) -> np.ndarray:
        """Read a character and return the scores `[V]` of the next one."""
        self._ids[0] = id_
        self._batch.step()
        return self._scores.copy()

    def copy(self) -> "CompiledStep":
        """Return an independent copy."""
        return CompiledStep(self.model, self._batch.state)


class GraphedStep:
    """Computes the time steps of a text on a GPU, each as one CUDA graph. See `Step`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.state = tuple(tensor.clone() for tensor in model.zero_state())
        self._id = torch.zeros(1, dtype=torch.int64, device=model.device)
        self._run, self._calls = self._advance, 0

    def __call__(self, id_: int) -> np.ndarray:
        """Read a character and return the scores `[V]` of the next one."""
        self._id.fill_(id_)
        self._calls += 1
        if self._calls == 2:  # the first step is not recorded, so that libraries are loaded before
            self._run = record(self._advance, self._id.device)
        self._run()
        return self._scores.cpu().numpy()

    def copy(self) -> "GraphedStep":
        """Return an independent copy with its own tensors and graph."""
        other = GraphedStep(self.model)
        other.state = tuple(tensor.clone() for tensor in self.state)
        return other

    def _advance(self) -> None:
        row = self.model.input_table.index_select(0, self._id)[0]
        self._scores, after = self.model.step(row, self.state)
        for tensor, value in zip(self.state, after, strict=True):  # the next replay reads these same tensors
            tensor.copy_(value)

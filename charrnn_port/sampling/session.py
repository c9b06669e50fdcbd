"""One text in progress: the stream of characters that sample.lua prints."""

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
    """A model with the state of one text. Sessions on one model do not disturb each other, whatever their threads."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.unknown = model.vocab.unknown
        self._step = step_of(model)
        # Before the first character all are equally likely. Torch7 fills in probabilities here where log-probabilities
        # belong; all equal, they come to the same.
        self.scores = np.full(len(model.vocab), 1 / len(model.vocab))

    def __repr__(self) -> str:
        best = int(self.scores.argmax())
        probability = np.exp(self.log_probs()[best])
        return f"Session({self.model!r}, next: {self.model.vocab.decode([best])!r} with {probability:.1%})"

    def __copy__(self) -> "Session":
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Session":
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the model, the state of the text and the scores of what follows."""
        state = [torch.asarray(array, copy=True, device="cpu") for array in self._step.state]
        return session_of, (self.model, state, self.scores)

    def feed(self, ids: Iterable[int]) -> None:
        """Go on by these characters. `scores` `[V]` are then of what follows: log-probabilities up to a constant.

        Raises IndexError for an id that is of no character.
        """
        for id_ in ids:
            if not 0 <= id_ < len(self.scores):
                raise IndexError(f"there is no character {id_} in a vocabulary of {len(self.scores)}")
            self.scores = self._step(id_)

    def log_probs(self) -> np.ndarray:
        """Log-probabilities `[V]` of each character to come next."""
        return log_probs_of(self.scores)

    def trace(self, text: bytes | str) -> Iterator[Activations]:
        """What would go on in the network as it read this text next, a character at a time; the session stays here.

        Computed by the plain cells. A `str` counts as UTF-8. Raises UserError for a character that the training text
        never has.
        """
        ids = self.model.vocab.encode(text.encode() if isinstance(text, str) else text)
        network = self.model.to_eager()
        state = [torch.asarray(array, copy=True)[None] for array in self._step.state]
        return trace(network, ids, state)

    def copy(self) -> "Session":
        """Another session, which goes on from here by itself."""
        other = Session.__new__(Session)
        other.model, other.unknown, other.scores = self.model, self.unknown, self.scores
        other._step = self._step.copy()
        return other

    def sample(self, length: int | None, choose: Sampler, prime: Iterable[int] = ()) -> Iterator[int]:
        """Ids, one by one: those of `prime`, then `length` more that `choose` takes, each fed before the next.

        With None in place of a length it never ends. The unknown symbol, where the vocabulary has one, is never among
        what is taken.
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
    """Make a session from what Session.__reduce__ pickles."""
    session = Session(model)
    session.scores, session._step = scores, step_of(model, state)
    return session


def log_probs_of(scores: np.ndarray) -> np.ndarray:
    """Log-probabilities `[V]` from scores, which are such up to a constant."""
    shifted = scores - scores.max()
    return shifted - np.log(np.exp(shifted).sum())


def step_of(model: Model, state: Sequence[Tensor] | None = None) -> "Step | CompiledStep | GraphedStep":
    """Return what feeds a text to this model, from a state `[rnn_size]` each on, or else from the start of a text."""
    if model.compiled:
        return CompiledStep(model, None if state is None else torch.stack(list(state))[:, None])
    step = GraphedStep(model) if model.device.type == "cuda" else Step(model)
    if state is not None:
        step.state = model.state_of(state)
    return step


class Step:
    """Feeds a model one character after the other, and keeps the state between them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.state = model.zero_state()

    def __call__(self, id_: int) -> np.ndarray:
        """Scores `[V]` of what follows this character."""
        scores, self.state = self.model.step(self.model.input_table[id_], self.state)
        return scores if isinstance(scores, np.ndarray) else scores.cpu().numpy()

    def copy(self) -> "Step":
        """Another one, which goes on from here; states are never written to."""
        return copy.copy(self)


class CompiledStep:
    """The same in C."""

    def __init__(self, model: Model, state: Tensor | None = None) -> None:
        """state: `[states, 1, rnn_size]` to go on from; by default that before a text."""
        self.model = model
        start = torch.tensor(np.stack(model.zero_state()))[:, None]
        self._batch = DecodeBatch(model.compiled, start if state is None else state)
        self._ids, self._scores = self._batch.ids.numpy(), self._batch.scores[0].numpy()

    @property
    def state(self) -> list[np.ndarray]:
        """As Step's."""
        return list(self._batch.state[:, 0].numpy())

    def __call__(self, id_: int) -> np.ndarray:
        """Scores `[V]` of what follows this character."""
        self._ids[0] = id_
        self._batch.step()
        return self._scores.copy()

    def copy(self) -> "CompiledStep":
        """Another one, which goes on from here."""
        return CompiledStep(self.model, self._batch.state)


class GraphedStep:
    """The same on a CUDA device, with all that a character takes in one graph."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.state = tuple(tensor.clone() for tensor in model.zero_state())
        self._id = torch.zeros(1, dtype=torch.int64, device=model.device)
        self._run, self._calls = self._advance, 0

    def __call__(self, id_: int) -> np.ndarray:
        """Scores `[V]` of what follows this character."""
        self._id.fill_(id_)
        self._calls += 1
        if self._calls == 2:  # once as it is, so that libraries load what they need
            self._run = record(self._advance, self._id.device)
        self._run()
        return self._scores.cpu().numpy()

    def copy(self) -> "GraphedStep":
        """Another one, which goes on from here, with tensors and a graph of its own."""
        other = GraphedStep(self.model)
        other.state = tuple(tensor.clone() for tensor in self.state)
        return other

    def _advance(self) -> None:
        row = self.model.input_table.index_select(0, self._id)[0]
        self._scores, after = self.model.step(row, self.state)
        for tensor, value in zip(self.state, after, strict=True):  # where the next replay looks for it
            tensor.copy_(value)

"""The events of a run, in their order. Losses are in nats per character.

    Started
    for each iteration:
        RateDecayed                             if the schedule lowered the learning rate after it
        Evaluating ... Evaluating, Evaluated    if an evaluation is due
        RateDecayed                             if the schedule lowered the rate because of the evaluation
        Iteration
        Snapshot                                if a checkpoint was requested
    Finished, or Stopped, or Exploded, or Interrupted

Recorders add events of their own: Saving and Saved when they write checkpoints, Sampled when they sample text.
"""

from dataclasses import dataclass, field

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import TrainOptions


@dataclass(frozen=True)
class Started:
    """Before the first iteration of this process."""

    options: TrainOptions = field(repr=False)  # of the run; a resumed run has those of its checkpoint
    i: int  # iterations completed before, 0 unless the run is resumed
    iterations: float  # max_epochs * ntrain, the planned total; a fraction at the end is not run
    ntrain: int  # training batches per epoch


@dataclass(frozen=True)
class RateDecayed:
    """The learning rate was lowered, from the next iteration on."""

    i: int
    factor: float
    learning_rate: float


@dataclass(frozen=True)
class Evaluating:
    """Progress of an evaluation: `done` of `count` batches, 0 at its start."""

    split_index: int  # 1 = train, 2 = validation, 3 = test
    done: int
    count: int


@dataclass(frozen=True)
class Iteration:
    """An iteration was completed: fetch a batch, forward, backward, update."""

    i: int  # from 1
    epoch: float  # passes over the training split, including this iteration
    train_loss: float  # of its batch, before the update
    grad_param_norm: float  # norm of the clipped gradient divided by norm of the updated parameters
    learning_rate: float  # of this iteration
    seconds: float


@dataclass(frozen=True)
class Evaluated:
    """The validation loss after an iteration, and a checkpoint of that state."""

    i: int
    epoch: float
    val_loss: float
    checkpoint: Checkpoint = field(repr=False)
    iteration: Iteration = field(repr=False)  # the iteration before it; its own event follows this one


@dataclass(frozen=True)
class Snapshot:
    """A requested checkpoint; the run continues."""

    i: int
    checkpoint: Checkpoint = field(repr=False)


@dataclass(frozen=True)
class Exploded:
    """The end: the loss is NaN, or more than three times the first loss."""

    i: int
    train_loss: float
    last_good: Checkpoint | None = field(repr=False)  # at most 50 iterations old; None if the first loss is bad


@dataclass(frozen=True)
class Interrupted:
    """The end by request, after the current iteration."""

    i: int
    checkpoint: Checkpoint = field(repr=False)


@dataclass(frozen=True)
class Finished:
    """The end: all iterations are completed."""

    i: int
    checkpoint: Checkpoint | None = field(repr=False)  # None if the last Evaluated event has it already


@dataclass(frozen=True)
class Stopped:
    """The end by early stopping: the last `patience` evaluations did not improve the best validation loss."""

    i: int
    best: int  # the iteration with the best validation loss
    val_loss: float  # the best validation loss


@dataclass(frozen=True)
class Saving:
    """A recorder is about to save the state after iteration `i`."""

    path: str
    i: int
    wanted: str  # the first choice of path; differs from `path` if a checkpoint of another run has that name


@dataclass(frozen=True)
class Saved:
    """The state after iteration `i` was saved as a checkpoint."""

    path: str
    i: int


@dataclass(frozen=True)
class Sampled:
    """A text sampled from the network after iteration `i`."""

    i: int
    text: str


Event = (
    Started
    | RateDecayed
    | Evaluating
    | Evaluated
    | Iteration
    | Snapshot
    | Exploded
    | Interrupted
    | Finished
    | Stopped
    | Saving
    | Saved
    | Sampled
)

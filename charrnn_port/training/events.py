"""What happens in a run, in the order in which it happens. Losses are in nats per character.

    Started
    for each iteration:
        RateDecayed                             where the schedule has lowered the learning rate after it
        Evaluating ... Evaluating, Evaluated    where an evaluation is due
        RateDecayed                             where the schedule has lowered it because of that
        Iteration
        Snapshot                                where somebody asked for a checkpoint
    Finished, or Stopped, or Exploded, or Interrupted

A recorder that writes files adds what it has done: Saving, Saved; one that shows what the network writes: Sampled.
"""

from dataclasses import dataclass, field

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import TrainOptions


@dataclass(frozen=True)
class Started:
    """Before the first iteration of this process."""

    options: TrainOptions = field(repr=False)  # of the run; those of its checkpoint where it goes on from one
    i: int  # iterations wholly done before, 0 unless the run goes on from a checkpoint
    iterations: float  # max_epochs * ntrain: how many there are to be; a fraction is never reached
    ntrain: int  # batches in an epoch


@dataclass(frozen=True)
class RateDecayed:
    """The learning rate is another one from the next iteration on."""

    i: int
    factor: float
    learning_rate: float


@dataclass(frozen=True)
class Evaluating:
    """So many of a split's batches are evaluated; 0 when it begins."""

    split_index: int  # 1 = train, 2 = validation, 3 = test
    done: int
    count: int


@dataclass(frozen=True)
class Iteration:
    """An iteration is done: fetching a batch, forward, backward, update."""

    i: int  # from 1
    epoch: float  # passes through the training part, with this iteration
    train_loss: float  # of its batch, before the update
    grad_param_norm: float  # norm of the clipped gradient over norm of the updated parameters
    learning_rate: float  # that it was done with
    seconds: float


@dataclass(frozen=True)
class Evaluated:
    """The validation loss after an iteration, and all that can be saved then."""

    i: int
    epoch: float
    val_loss: float
    checkpoint: Checkpoint = field(repr=False)
    iteration: Iteration = field(repr=False)  # whose own event comes next, when this is saved


@dataclass(frozen=True)
class Snapshot:
    """Somebody asked for a checkpoint; the run goes on."""

    i: int
    checkpoint: Checkpoint = field(repr=False)


@dataclass(frozen=True)
class Exploded:
    """The end: the loss is no number, or more than three times the first one."""

    i: int
    train_loss: float
    last_good: Checkpoint | None = field(repr=False)  # at most 50 iterations old; None if the first loss is no good


@dataclass(frozen=True)
class Interrupted:
    """The end: somebody asked for it, and the iteration in hand is done."""

    i: int
    checkpoint: Checkpoint = field(repr=False)


@dataclass(frozen=True)
class Finished:
    """The end: all iterations are done."""

    i: int
    checkpoint: Checkpoint | None = field(repr=False)  # None if the state was evaluated, and so could be saved, before


@dataclass(frozen=True)
class Stopped:
    """The end: the last evaluations, as many as the option `patience` says, brought no better loss than the best."""

    i: int
    best: int  # the iteration after which it was evaluated
    val_loss: float  # the best


@dataclass(frozen=True)
class Saving:
    """A recorder is about to write the state after iteration `i`."""

    path: str
    i: int
    wanted: str  # the path it would have but for another run's checkpoint that is there


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on disk: the state after iteration `i`."""

    path: str
    i: int


@dataclass(frozen=True)
class Sampled:
    """What the network writes after iteration `i`."""

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

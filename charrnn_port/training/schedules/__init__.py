"""Learning rate schedules, one file each. A new one also needs a line in `create`."""

from charrnn_port.options import TrainOptions
from charrnn_port.training.optimizers import Optimizer
from charrnn_port.training.schedules.cosine import Cosine
from charrnn_port.training.schedules.plateau import Plateau
from charrnn_port.training.schedules.schedule import Decay, Schedule
from charrnn_port.training.schedules.warmup import Warmup

__all__ = ["Cosine", "Decay", "Plateau", "Schedule", "Warmup", "create"]


def create(options: TrainOptions, optimizer: Optimizer, ntrain: int) -> Schedule:
    """Return the schedule that the options select, for a run with `ntrain` iterations per epoch."""
    decay = options.learning_rate_decay, options.learning_rate_decay_after, ntrain
    if options.lr_schedule == "cosine":
        schedule = Cosine(optimizer, options.max_epochs * ntrain)
    elif options.lr_schedule == "plateau":
        schedule = Plateau(optimizer, *decay)
    else:
        schedule = Decay(optimizer, *decay)
    return Warmup(schedule, options.warmup) if options.warmup else schedule

"""Training: a run is a stream of events (events.py); recorders receive them to print, save or plot.

Public API of the package:

    train(...)                      train from Python: `for event in train(rnn_size=64)`
    prepare(...), resumed(...)      text, network and optimizer before the first iteration, or of a resumed run
    run(training)                   the training loop (loop.py)
    Training                        one iteration of train.lua, and its evaluation (iteration.py)
    training_for(...)               the Training of a network; uses CUDA graphs on a GPU
    initialize                      initializes the parameters of a new network
    dry_run(training)               prints sizes, memory and time of a run before it begins
    joint_options(...)              options of a run in several processes, which must have the same
    processes()                     this process, or the processes that torchrun started
    Interrupts                      records the signals that end a run
    events                          the events of a run
    recorders                       callbacks: the original's log lines, checkpoints, progress bar, ...; one file each

Internal modules: graphed.py (an iteration as one CUDA graph), loss_scale.py (for float16), parallel.py and
connection.py (several processes).
Each optimizer is a file in optimizers/, each learning rate schedule a file in schedules/.
"""

from charrnn_port.training import events, recorders
from charrnn_port.training.estimate import dry_run
from charrnn_port.training.graphed import training_for
from charrnn_port.training.interrupts import Interrupts
from charrnn_port.training.iteration import Training, initialize
from charrnn_port.training.loop import run, train
from charrnn_port.training.parallel import processes
from charrnn_port.training.preparation import joint_options, prepare, resumed

__all__ = [
    "Interrupts",
    "Training",
    "dry_run",
    "events",
    "initialize",
    "joint_options",
    "prepare",
    "processes",
    "recorders",
    "resumed",
    "run",
    "train",
    "training_for",
]

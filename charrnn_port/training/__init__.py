"""Training a network: a run is a stream of events (events.py), and whoever prints, saves or draws listens to it.

For other rooms and programs:

    train(...)                      the whole of it, from Python: `for event in train(rnn_size=64)`
    prepare(...), resumed(...)      text, network and optimiser before the first iteration, or where a run stopped
    run(training)                   the loop (loop.py)
    Training                        one iteration of train.lua, and its evaluation (iteration.py)
    training_for(...)               the Training of a network: on CUDA with graphs
    initialize                      the parameters of a new network
    dry_run(training)               what the run would be
    processes()                     this process, or the several that torchrun started
    events                          what happens in a run
    recorders                       who listens: the original's lines, the checkpoints, a bar, ...; a file each

Inside: graphed.py (an iteration as one CUDA graph), loss_scale.py (for float16), parallel.py, interrupts.py; an
optimiser is a file in optimizers/, a schedule of the learning rate one in schedules/.
"""

from charrnn_port.training import events, recorders
from charrnn_port.training.estimate import dry_run
from charrnn_port.training.graphed import training_for
from charrnn_port.training.iteration import Training, initialize
from charrnn_port.training.loop import run, train
from charrnn_port.training.parallel import processes
from charrnn_port.training.preparation import prepare, resumed

__all__ = [
    "Training",
    "dry_run",
    "events",
    "initialize",
    "prepare",
    "processes",
    "recorders",
    "resumed",
    "run",
    "train",
    "training_for",
]

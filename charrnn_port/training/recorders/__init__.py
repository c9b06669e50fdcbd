"""Who listens to a run. A recorder is a generator function: it takes the run's events and passes them on.

    def count_characters(events):
        for event in events:
            yield event                      # to the next recorder, and in the end to the program
            if isinstance(event, Iteration):
                ...

One file each; train.py puts them one behind the other. What comes first has done its work on an event's predecessor
before the next event is asked for, so nothing is printed as saved that is not. A recorder may add events of its own.
"""

from charrnn_port.training.recorders.checkpoints import save_checkpoints
from charrnn_port.training.recorders.console import print_lines
from charrnn_port.training.recorders.notes import log_notes
from charrnn_port.training.recorders.progress import show_progress
from charrnn_port.training.recorders.samples import add_samples
from charrnn_port.training.recorders.table import write_table
from charrnn_port.training.recorders.tensorboard import write_tensorboard

__all__ = [
    "add_samples",
    "log_notes",
    "print_lines",
    "save_checkpoints",
    "show_progress",
    "write_table",
    "write_tensorboard",
]

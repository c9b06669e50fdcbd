"""Recorders, the callbacks of a run. A recorder is a generator function that receives events and passes them on.

    def count_characters(events):
        for event in events:
            yield event                      # to the next recorder, and finally to the program
            if isinstance(event, Iteration):
                ...

There is one file for each; train.py chains them. Work on one event is finished before the next event is requested, so a
checkpoint is reported as saved only after it was saved. A recorder may add events of its own.
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

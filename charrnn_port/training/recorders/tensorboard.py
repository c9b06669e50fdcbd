"""Logs a run to TensorBoard: losses, learning rate, gradient norm, samples, options."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn_port.training.events import Evaluated, Event, Iteration, Sampled, Started
from charrnn_port.util.errors import UserError, how_to_install

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def write_tensorboard(events: Iterable[Event], folder: str, failed: Callable[[str, OSError], None]) -> Iterator[Event]:
    """Write TensorBoard event files to a folder. A resumed run replaces what was logged after its first iteration.

    Raises UserError if tensorboard is not installed or the folder cannot be written. If writing fails later, `failed`
    is called once.
    """
    writer = None
    with silent_writer_threads(), ExitStack() as stack:
        for event in events:
            try:
                if isinstance(event, Started):
                    writer = stack.enter_context(open_writer(folder, event))
                elif writer:
                    add(writer, event)
            except OSError as error:
                failed(f"-tensorboard {folder}", error)
                writer = None
                stack.pop_all()  # closing the writer would write again
            yield event


@contextmanager
def silent_writer_threads() -> Iterator[None]:
    """Do not print the traceback of a thread of TensorBoard that could not write: the next event raises its error."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        its_own = type(arguments.thread).__module__.startswith("tensorboard.")
        if not (its_own and isinstance(arguments.exc_value, OSError)):
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def open_writer(folder: str, started: Started) -> "SummaryWriter":
    """Open a writer and log the options as hparams. Raises UserError if the folder has the events of another run."""
    try:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams
    except ImportError as error:
        raise UserError(f"-tensorboard needs tensorboard: {how_to_install('watch')}") from error
    if not started.options.resume and any(Path(folder).glob("events.out.tfevents.*")):
        raise UserError(
            f"-tensorboard {folder}: has the curves of another run, and TensorBoard would mix both: use another "
            f"folder, such as {folder.rstrip('/')}/2"
        )
    try:
        writer = SummaryWriter(folder, purge_step=started.i + 1 if started.i else None)
        # SummaryWriter.add_hparams would create a separate run for them.
        for summary in hparams(started.options.values(), {"train/loss": 0, "val/loss": 0}):
            writer.file_writer.add_summary(summary)
    except OSError as error:
        raise UserError(f"-tensorboard {folder}: cannot write to this folder: {error.strerror or error}") from error
    return writer


def add(writer: "SummaryWriter", event: Event) -> None:
    """Log an event: scalars, or a sample."""
    match event:
        case Iteration():
            writer.add_scalar("train/loss", event.train_loss, event.i)
            writer.add_scalar("train/learning_rate", event.learning_rate, event.i)
            writer.add_scalar("train/grad_param_norm", event.grad_param_norm, event.i)
        case Evaluated():
            writer.add_scalar("val/loss", event.val_loss, event.i)
            writer.flush()
        case Sampled():
            # TensorBoard renders Markdown, in which indented text is kept as it is.
            writer.add_text("sample", "\n".join(f"    {line}" for line in event.text.split("\n")), event.i)

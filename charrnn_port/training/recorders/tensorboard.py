"""Writes what TensorBoard shows of a run: losses, learning rate, norm, samples, options."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from charrnn_port.training.events import Evaluated, Event, Iteration, Sampled, Started
from charrnn_port.util.errors import UserError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def write_tensorboard(events: Iterable[Event], folder: str, failed: Callable[[str, OSError], None]) -> Iterator[Event]:
    """Write events for TensorBoard to a folder; of a run that is resumed, in the place of those after that iteration.

    Raises UserError where there is no TensorBoard, or the folder cannot be written. When it cannot be written later on,
    `failed` is told, once.
    """
    writer = None
    with ExitStack() as stack:
        for event in events:
            try:
                if isinstance(event, Started):
                    writer = stack.enter_context(open_writer(folder, event))
                elif writer:
                    add(writer, event)
            except OSError as error:
                failed(f"-tensorboard {folder}", error)
                writer = None
                stack.pop_all()  # closing it would write again
            yield event


def open_writer(folder: str, started: Started) -> "SummaryWriter":
    """The writer, after the options."""
    try:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams
    except ImportError as error:
        raise UserError('-tensorboard needs tensorboard: pip install -c constraints.txt -e ".[watch]"') from error
    try:
        writer = SummaryWriter(folder, purge_step=started.i + 1 if started.i else None)
        # Not by add_hparams, which makes a run of its own of them.
        for summary in hparams(started.options.values(), {"train/loss": 0, "val/loss": 0}):
            writer.file_writer.add_summary(summary)
    except OSError as error:
        raise UserError(f"-tensorboard {folder}: cannot write there: {error.strerror or error}") from error
    return writer


def add(writer: "SummaryWriter", event: Event) -> None:
    """What there is to show of an event."""
    match event:
        case Iteration():
            writer.add_scalar("train/loss", event.train_loss, event.i)
            writer.add_scalar("train/learning_rate", event.learning_rate, event.i)
            writer.add_scalar("train/grad_param_norm", event.grad_param_norm, event.i)
        case Evaluated():
            writer.add_scalar("val/loss", event.val_loss, event.i)
            writer.flush()
        case Sampled():
            # TensorBoard reads Markdown, where what is indented stays as it is.
            writer.add_text("sample", "\n".join(f"    {line}" for line in event.text.split("\n")), event.i)

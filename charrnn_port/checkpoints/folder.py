"""The folder of a run's checkpoints: names, the latest, which ones to delete; and it is one run's at a time."""

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from charrnn_port.checkpoints.checkpoint import Checkpoint
from charrnn_port.checkpoints.files import load_checkpoint
from charrnn_port.options import TrainOptions
from charrnn_port.torch7.strfmt import lua_format
from util.errors import UserError
from util.files import lock


def path(options: TrainOptions, epoch: float, val_loss: float) -> str:
    """Where the checkpoint of an evaluation goes."""
    name = f"lm_{options.savefile}_epoch{lua_format(epoch, '.2f')}_{lua_format(val_loss, '.4f')}.t7.pt"
    return f"{options.checkpoint_dir}/{name}"


def path_without_evaluation(options: TrainOptions, how: str) -> str:
    """Where a checkpoint goes that no evaluation came before: `how` is interrupted, finished or snapshot."""
    return f"{options.checkpoint_dir}/lm_{options.savefile}_{how}.t7.pt"


def free_for(checkpoint: Checkpoint, path: str) -> str:
    """The path, or one with a number where another run's checkpoint is there: nobody's work is overwritten."""
    base, number = path.removesuffix(".t7.pt"), 1
    while os.path.lexists(path) and not is_of_run(path, checkpoint):
        number += 1
        path = f"{base}.{number}.t7.pt"
    return path


def is_of_run(path: str, checkpoint: Checkpoint) -> bool:
    """Whether the file is a checkpoint of the same run, earlier or later; not if it is damaged or something else."""
    try:
        found = load_checkpoint(path)
    except UserError:
        return False
    earlier, later = sorted((found, checkpoint), key=lambda each: each.i)
    if earlier.i == 0:
        return earlier.opt == later.opt
    return later.train_losses[: earlier.i] == earlier.train_losses


def delete_older(options: TrainOptions, checkpoint: Checkpoint, ntrain: int) -> None:
    """Delete this run's checkpoints but for the newest -keep_last and the one with the lowest validation loss.

    `checkpoint` is its last one.
    """
    val_losses = checkpoint.val_losses
    paths = {i: path(options, i / ntrain, val_loss) for i, val_loss in val_losses.items()}
    numbers = {i: loss for i, loss in val_losses.items() if not math.isnan(loss)}  # without validation there are none
    best = [min(numbers, key=numbers.__getitem__)] if numbers else []
    kept = {paths[i] for i in [*best, *sorted(paths)[-options.keep_last :]]}
    for each in set(paths.values()) - kept:  # two evaluations may share a name
        with suppress(OSError):
            if is_of_run(each, checkpoint):
                os.unlink(each)


def load_latest(checkpoint_dir: str | os.PathLike) -> Checkpoint:
    """The furthest checkpoint of the run that wrote to a folder last; only those count that can go on.

    That run's are the newest one and, whatever the clock says, those whose losses begin with its losses.
    Raises UserError where there is none.
    """
    paths = sorted(Path(checkpoint_dir).glob("*.t7.pt"), key=lambda path: path.lstat().st_mtime_ns, reverse=True)
    latest = None
    for path in paths:
        with suppress(UserError):  # damaged ones do not count
            found = load_checkpoint(path)
            if found.progress and (latest is None or goes_further(found, latest)):
                latest = found
    if latest is None:
        raise UserError(f"-resume latest: no checkpoint to go on from in {checkpoint_dir}")
    return latest


def goes_further(later: Checkpoint, earlier: Checkpoint) -> bool:
    """Whether one checkpoint is of the same run as another, after it; losses tell that from the first on."""
    return 0 < earlier.i < later.i and later.train_losses[: earlier.i] == earlier.train_losses


def claim(checkpoint_dir: str | os.PathLike) -> TextIO:
    """Make the folder for checkpoints, try it, and keep other runs out of it until the result is closed.

    Raises UserError where that fails: now rather than at the first save.
    """
    folder = Path(checkpoint_dir)
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+")
        if lock(file):
            for aside in folder.glob("*.t7.pt.part.*"):  # of a run that was killed while it saved
                aside.unlink()
        file.truncate(0)
        print(os.getpid(), file=file, flush=True)
        probe.touch()
        probe.unlink()
    except BlockingIOError:
        file.seek(0)
        raise UserError(
            f"another run, process {file.read().strip()}, writes its checkpoints to {folder}: "
            "wait for its end or name another -checkpoint_dir"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot write checkpoints to {folder}: {error.strerror}; name another -checkpoint_dir"
        ) from error
    return file

"""The folder of a run's checkpoints: names, the best, the latest, which to delete; and it is one run's at a time."""

import errno
import math
import os
import re
import reprlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TextIO

from charrnn_port.checkpoints.checkpoint import Checkpoint, best_evaluation
from charrnn_port.checkpoints.files import load_file
from charrnn_port.option_fields import OptionError
from charrnn_port.options import TrainOptions
from charrnn_port.torch7.strfmt import lua_format
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import lock, open_lock, remove_leftovers, temporary_path

MANY_EPOCHS, LARGE_LOSS = 1e6, 99999.0  # few names of checkpoints have more digits
EVALUATED = re.compile(r"_epoch(\d+\.\d\d)_(\d+\.\d{4})(\.\d+)?\.t7(\.pt)?$")  # epoch and loss in a name


def load_checkpoint(path: str | os.PathLike, log: Callable[[str], None] = lambda line: None) -> Checkpoint:
    """Read a checkpoint of any kind onto the CPU; of a folder the best, and `log` is told its name.

    Raises UserError for a file that is missing, damaged or something else, and for a folder with none to load. Runs no
    code that a file brings.
    """
    if not os.path.isdir(path):
        return load_file(path)
    wrong = ""
    for each in sorted(files_in(path), key=rank):
        try:
            found = load_file(each)
        except UserError as error:  # damaged, or deleted by the run that writes there
            wrong = wrong or f": {error}"
            continue
        log(f"loading {each}, the best in {path}")
        return found
    raise UserError(f"{path} is a folder, not a checkpoint, and has none that can be loaded{wrong}")


def files_in(path: str | os.PathLike) -> list[Path]:
    """What in a folder is a checkpoint by its name."""
    return [each for pattern in ("*.t7.pt", "*.t7", "*.safetensors") for each in Path(path).glob(pattern)]


def rank(path: Path) -> tuple[float, float]:
    """What sorts the checkpoints of a folder: lowest validation loss first, of equal ones the latest epoch.

    Where the name tells both it is believed, since to read all files of a long run takes seconds. What was not
    evaluated, as when a run was interrupted, comes last.
    """
    if named := EVALUATED.search(path.name):
        return float(named[2]), -float(named[1])
    try:
        found = load_file(path)
    except UserError:
        return math.inf, 0
    loss = found.val_losses.get(found.i, math.nan)
    return math.inf if math.isnan(loss) else loss, -found.epoch


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
        found = load_file(path)
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
    best = best_evaluation(val_losses)  # None without a validation part
    kept = {paths[i] for i in [best, *sorted(paths)[-options.keep_last :]] if i is not None}
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
    latest, wrong = None, ""
    for path in paths:
        try:
            found = load_file(path)
        except UserError as error:  # damaged ones do not count
            wrong = wrong or f": {error}"
            continue
        if found.progress and (latest is None or goes_further(found, latest)):
            latest = found
    if latest is None:
        raise UserError(f"-resume latest: no checkpoint to go on from in {checkpoint_dir}{wrong}")
    return latest


def goes_further(later: Checkpoint, earlier: Checkpoint) -> bool:
    """Whether one checkpoint is of the same run as another, after it; losses tell that from the first on."""
    return 0 < earlier.i < later.i and later.train_losses[: earlier.i] == earlier.train_losses


def claim(options: TrainOptions) -> TextIO:
    """Make the folder for a run's checkpoints, try it, and keep other runs out of it until the result is closed.

    Raises UserError where that fails or no checkpoint could have its name there: now rather than at the first save.
    """
    require_names(options)
    folder = Path(options.checkpoint_dir)
    probe = temporary_path(Path(path(options, min(options.max_epochs, MANY_EPOCHS), LARGE_LOSS)))
    with ExitStack() as failed:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = failed.enter_context(open_lock(folder / ".lock"))
            lock(file)
            remove_leftovers(folder, "*.t7.pt")
            file.truncate(0)
            print(os.getpid(), file=file, flush=True)
            probe.unlink(missing_ok=True)
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            probe.unlink()
        except BlockingIOError:
            raise UserError(
                f"another run, process {file.read(20).strip()}, writes its checkpoints to {folder}: "
                "wait for its end or name another -checkpoint_dir"
            ) from None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise UserError(
                    f"the file system takes no names as long as {reprlib.repr(str(probe))}: "
                    f"take a shorter -savefile ({len(options.savefile)} characters) or -checkpoint_dir"
                ) from error
            raise UserError(
                f"cannot write checkpoints to {folder}: {error.strerror}; name another -checkpoint_dir"
            ) from error
        failed.pop_all()
    return file


def require_names(options: TrainOptions) -> None:
    """Raises OptionError where the options make no names of files, or names outside the folder."""
    if not options.checkpoint_dir:
        raise OptionError("-checkpoint_dir: '' names no folder; the current one is .")
    if any(separator in options.savefile for separator in (os.sep, os.altsep) if separator):
        raise OptionError(
            f"-savefile: {options.savefile!r} is part of a file's name and cannot lead to another folder: "
            "name that with -checkpoint_dir"
        )
    for name in ("checkpoint_dir", "savefile"):
        value = getattr(options, name)
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            value = "\0"
        if "\0" in value:
            raise OptionError(f"-{name}: {getattr(options, name)!r} cannot be in the name of a file")

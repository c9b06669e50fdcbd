"""Manages the folder of a run's checkpoints: file names, the best and the latest, deletion of old ones, and a lock."""

import math
import os
import re
import reprlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TextIO

import numpy as np

from charrnn_port import hub
from charrnn_port.checkpoints.checkpoint import Checkpoint, best_evaluation
from charrnn_port.checkpoints.files import load_file
from charrnn_port.options import TrainOptions, described
from charrnn_port.torch7.strfmt import lua_format
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import is_too_long, lock, open_lock, remove_leftovers, temporary_path
from charrnn_port.util.vocabulary import Vocabulary

MANY_EPOCHS, LARGE_LOSS = 1e6, 99999.0  # few file names have more digits
EVALUATED = re.compile(r"_epoch(\d+\.\d\d)_(\d+\.\d{4})(\.\d+)?\.t7(\.pt)?$")  # epoch and loss in a file name


def load_checkpoint(path: str | os.PathLike, log: Callable[[str], None] = lambda line: None) -> Checkpoint:
    """Return the checkpoint in a file of any supported format, on the CPU; of a folder the best one of its latest run.

    The latest run is that of the newest valid file. A name such as hf:user/repo/lm.t7 is a file on the Hugging Face hub
    (charrnn_port/hub.py). `log` receives the path of the file that a folder or such a name stands for.

    Raises UserError for a file that is missing, corrupt or something else, for a folder without a valid checkpoint, and
    for a file that cannot be downloaded. Runs no code from the file.
    """
    if hub.is_name(path):
        file = hub.download(path)
        log(f"loading {file}")  # the commit is a part of this path
        return load_file(file)
    if not os.path.isdir(path):
        return load_file(path)
    newest, latest = newest_in(path)
    skipped = False
    for each in sorted(dict.fromkeys([*files_in(path), newest]), key=rank):
        try:
            found = latest if each == newest else load_file(each)
        except UserError:  # corrupt, or deleted by the run that writes there
            continue
        if found is latest or is_same_run(found, latest):
            break
        skipped = True
    log(f"loading {each}, the best {'of the latest run ' if skipped else ''}in {path}")
    return found


def from_pretrained(name: str | os.PathLike) -> Checkpoint:
    """Return the checkpoint in a folder or file, or else in a repository of the Hugging Face hub: "user/repo".

    See load_checkpoint, also for the errors raised.
    """
    return load_checkpoint(name if hub.is_name(name) or os.path.exists(name) else f"{hub.PREFIX}{os.fsdecode(name)}")


def newest_in(path: str | os.PathLike) -> tuple[Path, Checkpoint]:
    """Return the newest valid file in a folder, and its checkpoint. Raises UserError if there is none."""
    wrong = ""
    for each in newest_first(files_in(path)):
        try:
            return each, load_file(each)
        except UserError as error:
            wrong = wrong or f": {error}"
    raise UserError(f"{path} is a folder, not a checkpoint, and has no valid checkpoint{wrong}")


def files_of_latest_run(path: str | os.PathLike) -> dict[int, Path]:
    """Return the files of the latest run in a folder by iteration, ascending, one for each; without those whose
    parameters are NaN or infinite. Raises UserError if there is no valid checkpoint.
    """
    _, latest = newest_in(path)
    found: dict[int, Path] = {}
    for each in sorted(files_in(path)):  # by name: those with an evaluation come before others of the same iteration
        try:
            its = load_file(each)
        except UserError:  # corrupt, or deleted by the run that writes there
            continue
        if is_same_run(its, latest) and not its.not_finite:
            found.setdefault(its.i, each)
    return dict(sorted(found.items()))


def newest_first(paths: Iterable[Path]) -> list[Path]:
    """Return files in the order of their times, the newest first; a file that has just been deleted is left out."""
    times = {}
    for each in paths:
        with suppress(OSError):
            times[each] = each.lstat().st_mtime_ns
    return sorted(times, key=times.__getitem__, reverse=True)


def files_in(path: str | os.PathLike) -> list[Path]:
    """Return the files in a folder whose extension is that of a checkpoint."""
    return [each for pattern in ("*.t7.pt", "*.t7", "*.safetensors") for each in Path(path).glob(pattern)]


def rank(path: Path) -> tuple[float, float]:
    """Return a sort key for checkpoints: lowest validation loss first, then the latest epoch.

    Takes both from the file name if they are there, because reading all files of a long run takes seconds. Checkpoints
    without an evaluation, as of an interrupted run, come last.
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
    """Return the path for the checkpoint of an evaluation."""
    name = f"lm_{options.savefile}_epoch{lua_format(epoch, '.2f')}_{lua_format(val_loss, '.4f')}.t7.pt"
    return f"{options.checkpoint_dir}/{name}"


def path_without_evaluation(options: TrainOptions, how: str) -> str:
    """Return the path for a checkpoint without an evaluation; `how` is interrupted, finished or snapshot."""
    return f"{options.checkpoint_dir}/lm_{options.savefile}_{how}.t7.pt"


def free_for(checkpoint: Checkpoint, path: str) -> str:
    """Return the path, or one with a number if the file there is of another run, which must not be overwritten."""
    base, number = path.removesuffix(".t7.pt"), 1
    while os.path.lexists(path) and not is_of_run(path, checkpoint):
        number += 1
        path = f"{base}.{number}.t7.pt"
    return path


def is_of_run(path: str, checkpoint: Checkpoint) -> bool:
    """Return whether the file is a valid checkpoint of the same run, earlier or later."""
    try:
        found = load_file(path)
    except UserError:
        return False
    if min(found.i, checkpoint.i) == 0:
        return found.opt == checkpoint.opt
    return is_same_run(found, checkpoint)


def is_same_run(a: Checkpoint, b: Checkpoint) -> bool:
    """Return whether two checkpoints are of the same run: the losses of one begin with the losses of the other.

    Where a checkpoint has no losses, the vocabulary, -savefile and -data_dir decide.
    """
    count = min(len(a.train_losses), len(b.train_losses))
    if count:
        of_a, of_b = (np.array(each.train_losses[:count], np.float64) for each in (a, b))
        return np.array_equal(of_a, of_b, equal_nan=True)
    return a.vocab == b.vocab and all(a.opt.get(name) == b.opt.get(name) for name in ("savefile", "data_dir"))


def other_run(options: TrainOptions, text: str, vocab: Vocabulary) -> str:
    """Return a warning, for a new run, that its folder has checkpoints of another run; "" if it has none.

    `text` is the SHA-256 of the run's text, `vocab` its vocabulary. A run with the same text and the same options that
    change results is a repetition, not another run.
    """
    try:
        _, latest = newest_in(options.checkpoint_dir)
    except UserError:
        return ""
    same_text = latest.vocab == vocab and (latest.progress or {}).get("text", text) == text
    locked = [each.name for each, about in described(TrainOptions) if about.resume_locked]
    before = TrainOptions().values() | latest.opt
    if same_text and all(before[name] == getattr(options, name) for name in locked):
        return ""
    return (
        f"{options.checkpoint_dir} has checkpoints of another run{'' if same_text else ', on another text'}: they stay "
        "there, but from its first checkpoint on the folder stands for this run; to keep runs apart, use another "
        "-checkpoint_dir"
    )


def delete_older(options: TrainOptions, checkpoint: Checkpoint, ntrain: int) -> None:
    """Delete this run's checkpoints, except the newest -keep_last and the one with the lowest validation loss.

    `checkpoint` is the run's last one; `ntrain` is the number of iterations per epoch.
    """
    val_losses = checkpoint.val_losses
    paths = {i: path(options, i / ntrain, val_loss) for i, val_loss in val_losses.items()}
    best = best_evaluation(val_losses)  # None without a validation set
    kept = {paths[i] for i in [best, *sorted(paths)[-options.keep_last :]] if i is not None}
    for each in set(paths.values()) - kept:  # two evaluations may share a name
        with suppress(OSError):
            if is_of_run(each, checkpoint):
                os.unlink(each)


def load_latest(checkpoint_dir: str | os.PathLike, log: Callable[[str], None] = lambda line: None) -> Checkpoint:
    """Return the latest checkpoint of the run that wrote to a folder last, among those that can be resumed.

    That run's checkpoints are the newest file and, regardless of file times, those whose losses begin with its losses.
    `log` receives the name of the checkpoint. Raises UserError if there is none.
    """
    path = latest = None
    wrong = ""
    for each in newest_first(Path(checkpoint_dir).glob("*.t7.pt")):
        try:
            found = load_file(each)
        except UserError as error:  # corrupt files do not count
            wrong = wrong or f": {error}"
            continue
        if found.progress and (latest is None or goes_further(found, latest)):
            path, latest = each, found
    if latest is None:
        raise UserError(f"no checkpoint to resume in {checkpoint_dir}{wrong}")
    log(f"loading {path}, the latest in {checkpoint_dir}")
    return latest


def goes_further(later: Checkpoint, earlier: Checkpoint) -> bool:
    """Return whether a checkpoint is of the same run as another and after it, judged by their losses."""
    return 0 < earlier.i < later.i and is_same_run(later, earlier)


def claim(options: TrainOptions) -> TextIO:
    """Create the folder for a run's checkpoints, test writing to it, and lock it until the result is closed.

    Raises UserError if that fails or if a checkpoint's file name would be too long, now rather than at the first save.
    Raises OptionError for options that make invalid file names.
    """
    options.require_file_names()
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
                "wait until it ends or use another -checkpoint_dir"
            ) from None
        except OSError as error:
            if is_too_long(error, probe):
                raise UserError(
                    f"file name too long: {reprlib.repr(str(probe))}; "
                    f"use a shorter -savefile ({len(options.savefile)} characters) or -checkpoint_dir"
                ) from error
            raise UserError(
                f"cannot write checkpoints to {folder}: {error.strerror}; use another -checkpoint_dir"
            ) from error
        failed.pop_all()
    return file

"""Compare checkpoints of a run: which is the first to predict each property, and the values of units at each."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charrnn_port.checkpoints import Checkpoint, folder, load_checkpoint
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.options import OptionError
from charrnn_port.reports.look.packing import BUDGET, COARSE, column_of, packed_losses
from charrnn_port.reports.look.properties import Property
from charrnn_port.reports.look.recording import Recording, record
from charrnn_port.reports.look.units import Search, search, the_best
from charrnn_port.util import progress


class Snapshot(NamedTuple):
    """A checkpoint of a run, and what its network computed on the text."""

    checkpoint: str  # the file's name
    epoch: float
    val_loss: float  # nats per character; NaN if it has no evaluation
    loss: float  # nats per character of the text that was read
    found: Search
    nats: str  # packed losses; "" for the checkpoint that the page shows, which has all values
    columns: dict[str, dict]  # packed values of units, by names such as 2:131.c

    def best_unit(self, name: str) -> str:
        """Return the unit that predicts a property best above chance, such as 2:131.c, or "" if none does."""
        return next((f"{each.name}.{each.part}" for each in self.found.findings if each.property == name), "")


def chosen(path: str, most: int, shown: Checkpoint) -> list[Path]:
    """Return at most `most` checkpoints of the latest run in a folder, evenly spaced from the first to the last.

    The one that the page shows replaces the nearest of them. Raises OptionError if there are fewer than two.
    """
    shown.require_finite()
    if not Path(path).is_dir():
        raise OptionError(f"-checkpoints: {path} is not a folder: name the folder of a run's checkpoints")
    files = folder.files_of_latest_run(path)
    if min(most, len(files)) < 2:
        raise OptionError(
            f"-checkpoints {most}: the latest run in {path} has {len(files)}; expected at least two to compare"
        )
    places = np.rint(np.linspace(0, len(files) - 1, min(most, len(files)))).astype(int)
    its = list(files).index(shown.i)
    places[np.abs(places - its).argmin()] = its
    return [list(files.values())[place] for place in places]


def measure(
    paths: Sequence[Path],
    shown: Checkpoint,
    network: CharRNN,
    recording: Recording,
    found: Search,
    text: list[Property],
    wanted: list[tuple[int, int]],
) -> list[Snapshot]:
    """Read the same text with each checkpoint, and score its units.

    `network`, `recording` and `found` are those of the checkpoint that the page shows. Of the others,
    the page has the state of the units in `wanted`, of the best for each property, and of the best of all, as many as
    fit into half of BUDGET.
    """
    best = [*{each.property: each for each in reversed(found.findings)}.values(), *the_best(found.findings)]
    columns = [(layer, unit, name) for name in network.cell.STATE for layer, unit in wanted]
    columns += [(each.layer, each.unit, each.part) for each in best]
    columns += [(each.layer, each.unit, name) for name in network.cell.STATE for each in best]
    most = int(BUDGET / 2 / len(paths) / (len(recording.ids) * 2 / 3))  # 4 bits of each value, in base64
    columns = list(dict.fromkeys(columns))[:most]
    snapshots = []
    for path in paths:
        checkpoint = load_checkpoint(path)
        about = path.name, checkpoint.epoch, checkpoint.val_losses.get(checkpoint.i, math.nan)
        if checkpoint.i == shown.i:
            snapshots.append(Snapshot(*about, loss_of(recording), found, "", {}))
            continue
        its_network = checkpoint.build("plain", network.params.dtype)
        with progress.bars():
            its = record(its_network, recording.ids.tolist(), recording.begins)
        values = {
            f"{layer}:{unit}.{name}": column_of(name, its.layers[layer - 1][name][:, unit], COARSE)
            for layer, unit, name in columns
        }
        losses = packed_losses(its, -its.figures.log_probs.astype(np.float64))
        snapshots.append(Snapshot(*about, loss_of(its), search(its_network, its, text), losses, values))
    return snapshots


def loss_of(recording: Recording) -> float:
    """Return the mean loss in nats per character."""
    return -float(recording.figures.log_probs.mean(dtype=float))


def first_above(snapshots: Sequence[Snapshot], name: str) -> int | None:
    """Return the place of the first checkpoint with a unit that predicts a property above chance; None if none has."""
    return next((place for place, each in enumerate(snapshots) if each.best_unit(name)), None)


def table(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Yield the lines of a table: the best unit's score for each property at each checkpoint, with * above chance."""
    names = snapshots[0].found.chances
    wide = max(map(len, [*names, "loss on this text"]))

    def line(name: str, kind: str, cells: Iterable[str], last: str) -> str:
        return f"{name:{wide}}  {kind:3}  {''.join(f'{each:<8}' for each in cells)} {last}".rstrip()

    yield line("epoch", "", (f"{each.epoch:.2f}" for each in snapshots), "first above chance")
    yield line("validation loss", "", (f"{each.val_loss:.4f}" for each in snapshots), "")
    yield line("loss on this text", "", (f"{each.loss:.4f}" for each in snapshots), "")
    for name, (kind, _) in names.items():
        cells = (f"{each.found.best[name]:.2f}{'*' if each.best_unit(name) else ''}" for each in snapshots)
        first = first_above(snapshots, name)
        yield line(name, kind, cells, "never" if first is None else f"epoch {snapshots[first].epoch:.2f}")


def page_data(snapshots: Sequence[Snapshot]) -> dict:
    """Return the values for the page."""
    return {
        "checkpoints": [
            {"name": each.checkpoint, "epoch": f"{each.epoch:.2f}", "loss": each.loss, "nats": each.nats,
             "val_loss": None if math.isnan(each.val_loss) else each.val_loss, "columns": each.columns}
            for each in snapshots
        ],
        "properties": [
            {
                "name": name,
                "kind": kind,
                "first": first_above(snapshots, name),
                "units": [each.best_unit(name) for each in snapshots],
                "scores": [each.found.best[name] for each in snapshots],
                "levels": [each.found.chances[name][1] for each in snapshots],
                "probes": [each.found.probes[name] for each in snapshots],
            }
            for name, (kind, _) in snapshots[0].found.chances.items()
        ],
    }  # fmt: skip


def size_of(snapshots: Sequence[Snapshot]) -> int:
    """Return how many bytes of the page the losses and the values of units take."""
    return sum(len(each.nats) + sum(len(its["packed"]) for its in each.columns.values()) for each in snapshots)

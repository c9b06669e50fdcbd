"""`charrnn plot`: draw the losses of runs as curves, in nats and bits per character."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from charrnn_port.command_line import log_line, log_written
from charrnn_port.options import OptionError, PlotOptions, TrainOptions, described
from charrnn_port.reports.drawing import as_file, require_matplotlib
from charrnn_port.reports.history import History, read_history
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = (".png", ".svg", ".pdf")
# The palette of Okabe and Ito, which works for most kinds of color vision. More runs reuse it with other line styles.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")
EXPLODED = 3  # times the first loss: a run with a larger loss has exploded
PARTS = 50  # the smooth curve is a moving average over 1 / PARTS of a run


def plot(options: PlotOptions) -> None:
    """Draw the runs and write the figure.

    Raises OptionError for an unknown file type, and UserError if matplotlib is missing, a run has no history, or the
    file cannot be written.
    """
    target = Path(options.o)
    if target.suffix.lower() not in KINDS:
        raise OptionError(f"-o: {options.o!r} does not end in {', '.join(KINDS)}")
    require_matplotlib("charrnn plot")
    from matplotlib.figure import Figure

    runs = [read_history(run, log_line) for run in options.runs]
    figure = Figure(figsize=(9, 5.5), dpi=150, layout="constrained")
    draw(figure.add_subplot(), runs, options.x)
    write_atomically(as_file(figure, target.suffix[1:].lower()), target)
    log_written(target)


def draw(axes: "Axes", runs: list[History], x: str) -> None:
    """Draw all runs with both scales and a legend; `x` is "epochs" or "iterations"."""
    from matplotlib.ticker import MaxNLocator

    lowest, highest = zip(*map(extent, runs), strict=True)
    usual = [high for run, high in zip(runs, highest, strict=True) if exploded(run) is None] or highest
    margin = 0.05 * (max(usual) - min(lowest)) or 0.1
    axes.set_ylim(min(lowest) - 2 * margin, max(usual) + margin)
    best = []
    for number, (run, label) in enumerate(zip(runs, labels(runs), strict=True)):
        color, style = COLORS[number % len(COLORS)], STYLES[number // len(COLORS) % len(STYLES)]
        best += draw_run(axes, run, x, label, color, style)
    name_values(axes, best)
    axes.margins(x=0.08)
    axes.set_xlim(left=0)
    axes.set_xlabel(x.removesuffix("s"))
    axes.set_ylabel("nats per character")
    bits = axes.secondary_yaxis("right", functions=(lambda nats: nats / math.log(2), lambda bits: bits * math.log(2)))
    bits.set_ylabel("bits per character")
    bits.yaxis.set_major_locator(MaxNLocator(8))
    axes.spines["top"].set_visible(False)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.legend(
        loc="upper right", framealpha=0.8, edgecolor="none", fontsize=9, alignment="left", title_fontsize=8,
        title="line: training, smooth     ● validation     ★ its best",
    )  # fmt: skip


def draw_run(axes: "Axes", run: History, x: str, label: str, color: str, style: str) -> list[tuple]:
    """Draw a run's training losses, raw and smoothed, its validation losses, and where it exploded.

    Returns the point with the best validation loss as [(x, y, color)], or [] if there is none.
    """
    losses, places = run.columns["train_loss"], places_of(run, x)
    axes.plot(places, losses, color=color, alpha=0.2, linewidth=0.5, rasterized=True, zorder=1)
    axes.plot(places, smooth(losses), color=color, linestyle=style, linewidth=1, alpha=0.8, label=label, zorder=3)
    if (end := exploded(run)) is not None:
        at_the_top = {"transform": axes.get_xaxis_transform(), "clip_on": False, "color": color, "zorder": 6}
        axes.plot(places[end], 1, marker="X", markersize=9, **at_the_top)
        axes.annotate(
            f"exploded at iteration {run.iterations[end]}", (places[end], 1), (8, 4), color=color, fontsize=9,
            xycoords=axes.get_xaxis_transform(), textcoords="offset points", annotation_clip=False,
        )  # fmt: skip
    evaluated = [i for i in sorted(run.val_losses) if math.isfinite(run.val_losses[i])]
    if not evaluated:
        return []
    val_losses = np.array([run.val_losses[i] for i in evaluated])
    points = np.interp(evaluated, run.iterations, places)
    axes.plot(points, val_losses, color=color, linestyle=style, linewidth=1, marker="o", markersize=4, zorder=4)
    best = int(val_losses.argmin())
    star = {"marker": "*", "markersize": 13, "markeredgecolor": "white", "zorder": 8}
    axes.plot(points[best], val_losses[best], color=color, **star)
    return [(points[best], val_losses[best], color)]


def name_values(axes: "Axes", best: list[tuple]) -> None:
    """Write the values beside the best points without overlap."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import offset_copy

    beside = offset_copy(axes.get_xaxis_transform(), axes.figure, x=8, units="points")
    halo = [withStroke(linewidth=3, foreground="white")]
    height, free = 0.035, 2.0  # of a text line, and the lowest free place so far, in heights of the axes
    low, high = axes.get_ylim()
    for x, y, color in sorted(best, key=lambda point: -point[1]):
        place = min((y - low) / (high - low) - height / 2, free)
        free = place - height
        axes.text(x, place, f"{y:.4f}", color=color, fontsize=9, va="center", transform=beside, path_effects=halo)


def places_of(run: History, x: str) -> np.ndarray:
    """Return the positions of a run's lines on the horizontal axis. Raises UserError if its epochs are unknown."""
    places = run.columns["epoch"] if x == "epochs" else run.iterations.astype(float)
    if np.isnan(places).any():
        raise UserError(f"{run.name} does not record epochs: use -x iterations")
    return places


def smooth(losses: np.ndarray) -> np.ndarray:
    """Return the moving average of the finite losses, over 1 / PARTS of the run around each line."""
    reach = len(losses) // PARTS // 2
    known = np.isfinite(losses)
    sums = np.cumsum([0.0, *np.where(known, losses, 0.0)])
    counts = np.cumsum([0, *known])
    places = np.arange(len(losses))
    first, end = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(losses))
    counts = counts[end] - counts[first]
    return np.divide(sums[end] - sums[first], counts, out=np.full(len(losses), np.nan), where=counts > 0)


def exploded(run: History) -> int | None:
    """Return the index of the first line whose loss is NaN or more than EXPLODED times the first loss, or None."""
    losses = run.columns["train_loss"]
    places = np.flatnonzero(~(losses <= EXPLODED * losses[0]))
    return int(places[0]) if len(places) else None


def extent(run: History) -> tuple[float, float]:
    """Return the lowest and the highest loss to show; the first losses and an explosion may be outside."""
    losses = smooth(run.columns["train_loss"])
    beginning = losses[min(len(losses) - 1, len(losses) // PARTS)]
    shown = [beginning, *losses[len(losses) // PARTS : exploded(run)], *run.val_losses.values()]
    shown = [loss for loss in shown if math.isfinite(loss)] or [0.0, 1.0]
    return min(shown), max(shown)


def labels(runs: list[History]) -> list[str]:
    """Return labels: the options that differ between runs, and the files' names where these are not unique."""
    names = [each.name for each, about in described(TrainOptions) if about.resume_locked]
    known = [name for name in names if all(name in run.options for run in runs)]
    differing = [name for name in known if len({run.options[name] for run in runs}) > 1]
    found = [", ".join(f"{name} {shown(run.options[name])}" for name in differing) for run in runs]
    if len(set(found)) == len(runs) > 1:
        return found
    return [f"{run.name[-60:]} ({label})" if label else run.name[-60:] for run, label in zip(runs, found, strict=True)]


def shown(value: str | float) -> str:
    """Return an option's value as text: 0.3 for 0.3, 0 for 0.0."""
    return value if isinstance(value, str) else f"{value:.14g}"

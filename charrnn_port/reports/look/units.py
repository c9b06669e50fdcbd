"""How well each unit tells each property of a text, and which do so better than chance.

A figure is taken on the second half of the text, of a rule that the first half has given: for a property that holds or
not the AUC (the probability that a unit is higher, or lower, at a character that has it than at one that has not), for
a number R² (of a straight line). Of many units the best will be good by chance, and any unit tells something of the
character that was just read. So there is a chance level: what units of networks with the same weights in another order
reach, so high that all units and properties together would pass it in one such network of twenty. Of numbers these are
given the best line through the second half itself, so that a level is above nought.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.reports.look.properties import Property
from charrnn_port.reports.look.recording import Recording, batched_states, shuffled

TRIED = 1000  # columns of shuffled networks, at least
FALSE_ALARMS = 0.05  # findings in a network that knows nothing, all units and properties together
TAIL = 0.05  # of the columns of shuffled networks: from what they reach the chance level is extrapolated
BEST = 10
ALIKE = 3  # findings of one property among the best
LIMIT = 1 - 1e-6  # of correlations whose atanh is taken


class Finding(NamedTuple):
    """That a unit tells a property."""

    layer: int  # from 1
    unit: int
    part: str  # of the state, such as c
    property: str
    kind: str  # AUC or R²
    figure: float  # on the half of the text that was held out
    chance: float  # the level of this property
    rises: bool  # whether the unit is higher where the property is

    @property
    def name(self) -> str:
        """As -units and -clamp name the unit."""
        return f"{self.layer}:{self.unit}"

    @property
    def margin(self) -> float:
        """By how much it is above chance, of all kinds on one scale."""
        return float(as_z(self.figure, self.kind) - as_z(self.chance, self.kind))

    def as_dict(self) -> dict:
        """With its name."""
        return self._asdict() | {"name": self.name}


class Search(NamedTuple):
    """What there was to find."""

    findings: list[Finding]  # above the chance level, the farthest above it first
    chances: dict[str, tuple[str, float]]  # of each property the kind of its figure and its chance level
    best: dict[str, float]  # of each property the best figure of all
    units: int
    tried: int  # figures, of all units, parts of the state and properties
    networks: int  # that were shuffled


def search(network: CharRNN, recording: Recording, text: list[Property]) -> Search:
    """All that units tell above chance."""
    units = network.rnn_size * network.num_layers
    if not text:
        return Search([], {}, {}, units, 0, 0)
    names = network.cell.STATE
    columns = [(layer, part) for layer in range(len(recording.layers)) for part in names]
    ids, size = recording.ids.tolist(), network.rnn_size
    figures = figures_of((recording.layers[layer][part] for layer, part in columns), text)
    networks = max(2, -(-TRIED // len(figures)))
    others = [
        np.abs(figures_of(batched_states(shuffled(network, seed), ids), text, generous=True))
        for seed in range(networks)
    ]
    levels = chance_levels(np.concatenate(others), figures.size)
    kinds = ["AUC" if each.yes_or_no else "R²" for each in text]
    findings = []
    for place, number in zip(*np.nonzero(np.abs(figures) > levels), strict=True):
        (layer, part), unit, z = columns[place // size], int(place % size), figures[place, number]
        kind = kinds[number]
        findings.append(Finding(layer + 1, unit, part, text[number].name, kind, as_figure(abs(z), kind),
                                as_figure(levels[number], kind), bool(z > 0)))  # fmt: skip
    findings.sort(key=lambda each: -each.margin)
    chances = {each.name: (kind, as_figure(level, kind)) for each, kind, level in zip(text, kinds, levels, strict=True)}
    best = {each.name: as_figure(z, kind) for each, kind, z in zip(text, kinds, np.abs(figures).max(0), strict=True)}
    return Search(findings, chances, best, units, figures.size, networks)


def the_best(findings: Iterable[Finding]) -> list[Finding]:
    """Ten different units, of no property more than three."""
    chosen: list[Finding] = []
    for each in findings:
        if each.name in {other.name for other in chosen}:
            continue
        if sum(other.property == each.property for other in chosen) < ALIKE and len(chosen) < BEST:
            chosen.append(each)
    return chosen


def as_z(figure: float, kind: str) -> float:
    """On the scale of Fisher's z, atanh of a correlation: of 2 AUC - 1, or of the root of R²."""
    correlation = 2 * figure - 1 if kind == "AUC" else np.sqrt(max(figure, 0))
    return np.arctanh(min(correlation, LIMIT))


def as_figure(z: float, kind: str) -> float:
    """Back from it."""
    return float((1 + np.tanh(z)) / 2 if kind == "AUC" else np.tanh(z) ** 2)


def chance_levels(others: np.ndarray, count: int) -> np.ndarray:
    """Of each property `[F]`, from the z of shuffled networks' columns `[m, F]`, for a search of `count` figures.

    Beyond the highest twentieth an exponential tail is assumed, which falls more slowly than that of a normal z.
    """
    begin = np.quantile(others, 1 - TAIL, axis=0)
    above = others > begin
    mean_excess = np.where(above, others - begin, 0).sum(0) / np.maximum(above.sum(0), 1)
    return np.maximum(begin + mean_excess * np.log(TAIL * count / FALSE_ALARMS), others.max(0))


def figures_of(states: Iterable[np.ndarray], text: list[Property], generous: bool = False) -> np.ndarray:
    """The z of each unit and property, `[columns, F]`; negative where the unit falls as the property rises, 0 where the
    second half of the text does not bear out the first. `states` are `[n, rnn_size]`. `generous` makes the lines of
    numbers through the second half, so that they are the best there are.
    """
    return np.concatenate([np.stack(list(figures_of_layer(each, text, generous)), 1) for each in states])


def figures_of_layer(states: np.ndarray, text: list[Property], generous: bool) -> Iterator[np.ndarray]:
    """For each property the z of each unit."""
    middle = len(states) // 2
    first, second = states[:middle].astype(np.float64), states[middle:].astype(np.float64)
    ranks = np.stack([average_ranks(column) for column in second.T], 1)
    for each in text:
        taught, asked = each.values[:middle], each.values[middle:]
        sign = np.sign((taught - taught.mean()) @ first)
        if each.yes_or_no:
            yes = np.count_nonzero(asked)
            above = asked.astype(np.float64) @ ranks - yes * (yes + 1) / 2  # Mann and Whitney's U
            correlation = sign * (2 * above / (yes * (len(asked) - yes)) - 1)
        else:
            line = (second, asked) if generous else (first, taught)
            correlation = np.sqrt(np.maximum(r_squared(*line, second, asked), 0))
        yield sign * np.arctanh(np.clip(correlation, 0, LIMIT))


def r_squared(first: np.ndarray, taught: np.ndarray, second: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """On `asked`, of each unit's straight line through `taught`, `[rnn_size]`."""
    center, mean = first.mean(0), taught.mean()
    squares = np.square(first - center).sum(0)
    slope = np.divide((taught - mean) @ (first - center), squares, out=np.zeros_like(squares), where=squares > 1e-12)
    residuals = asked[:, None] - mean - slope * (second - center)
    return 1 - np.square(residuals).mean(0) / asked.var()


def average_ranks(values: np.ndarray) -> np.ndarray:
    """From 1 for the lowest; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[places]

"""Measure how well each unit predicts each property of a text, and which units are better than chance.

A rule is fitted on the first half of the text and scored on the second. The score of a yes-or-no property is the AUC:
the probability that the unit is higher (or lower, as in the first half) at a character with the property than at one
without. The score of a number is R² of a straight line.

The best of many units has a high score by chance, and every unit depends on the character just read. Chance level: the
95th percentile of the best score over all units and properties in networks with shuffled weights. For numbers, those
networks are fitted on the second half itself, so that their R² is not negative and the level is above 0.

The letters are F for the number of properties and n for the number of characters. A z is a score on the scale of
Fisher's z, where AUC and R² are comparable.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.reports.look.probes import LIMIT, probed
from charrnn_port.reports.look.properties import Property
from charrnn_port.reports.look.recording import Recording, batched_states, shuffled

TRIED = 1000  # smallest number of columns (unit and part of the state) of shuffled networks
FALSE_ALARMS = 0.05  # expected findings in a shuffled network, over all units and properties
TAIL = 0.05  # the chance level is extrapolated from this upper share of the scores of shuffled networks
BEST = 10
ALIKE = 3  # largest number of findings of one property among the best


class Finding(NamedTuple):
    """A unit that predicts a property above chance."""

    layer: int  # from 1
    unit: int
    part: str  # of the state, such as c
    property: str
    kind: str  # AUC or R²
    figure: float  # the score on the second half of the text
    chance: float  # the chance level of this property
    rises: bool  # whether the unit is higher where the property holds

    @property
    def name(self) -> str:
        """The unit's name in -units and -clamp, such as 2:131."""
        return f"{self.layer}:{self.unit}"

    @property
    def margin(self) -> float:
        """The distance above chance on the scale of z, comparable between AUC and R²."""
        return float(as_z(self.figure, self.kind) - as_z(self.chance, self.kind))

    def as_dict(self) -> dict:
        """Return the fields and the name."""
        return self._asdict() | {"name": self.name}


class Search(NamedTuple):
    """The result of a search."""

    findings: list[Finding]  # sorted by margin, the largest first
    chances: dict[str, tuple[str, float]]  # by property: AUC or R², and the chance level
    best: dict[str, float]  # by property: the best score
    units: int
    tried: int  # number of scores: units x parts of the state x properties
    networks: int  # number of shuffled networks
    probes: dict[str, tuple[float, float]]  # by property: score of a linear probe, and the best on shuffled networks


def search(network: CharRNN, recording: Recording, text: list[Property]) -> Search:
    """Score all units and properties, and return those above chance."""
    units = network.rnn_size * network.num_layers
    if not text:
        return Search([], {}, {}, units, 0, 0, {})
    names = network.cell.STATE
    columns = [(layer, part) for layer in range(len(recording.layers)) for part in names]
    ids, size = recording.ids.tolist(), network.rnn_size
    own = [recording.layers[layer][part] for layer, part in columns]
    figures, probe = figures_of(own, text), probed(own, text)
    networks = max(2, -(-TRIED // len(figures)))
    others, their_probes = [], []
    for seed in range(networks):
        states = list(batched_states(shuffled(network, seed), ids, recording.begins))
        others.append(np.abs(figures_of(states, text, generous=True)))
        their_probes.append(probed(states, text))
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
    probes = {
        each.name: (as_figure(z, kind), as_figure(level, kind))
        for each, kind, z, level in zip(text, kinds, probe, np.max(their_probes, 0), strict=True)
    }
    return Search(findings, chances, best, units, figures.size, networks, probes)


def the_best(findings: Iterable[Finding]) -> list[Finding]:
    """Return up to BEST different units, with at most ALIKE for each property."""
    chosen: list[Finding] = []
    for each in findings:
        if each.name in {other.name for other in chosen}:
            continue
        if sum(other.property == each.property for other in chosen) < ALIKE and len(chosen) < BEST:
            chosen.append(each)
    return chosen


def as_z(figure: float, kind: str) -> float:
    """Convert a score to Fisher's z: atanh of 2 AUC - 1, or of the square root of R²."""
    correlation = 2 * figure - 1 if kind == "AUC" else np.sqrt(max(figure, 0))
    return np.arctanh(min(correlation, LIMIT))


def as_figure(z: float, kind: str) -> float:
    """Convert Fisher's z back to an AUC or R²."""
    return float((1 + np.tanh(z)) / 2 if kind == "AUC" else np.tanh(z) ** 2)


def chance_levels(others: np.ndarray, count: int) -> np.ndarray:
    """Return the chance level of each property `[F]`, from the z of shuffled networks `[m, F]`, for `count` scores.

    An exponential tail is fitted to the upper TAIL of the z. It falls more slowly than a normal tail, so that the level
    is conservative.
    """
    begin = np.quantile(others, 1 - TAIL, axis=0)
    above = others > begin
    mean_excess = np.where(above, others - begin, 0).sum(0) / np.maximum(above.sum(0), 1)
    return np.maximum(begin + mean_excess * np.log(TAIL * count / FALSE_ALARMS), others.max(0))


def figures_of(states: Iterable[np.ndarray], text: list[Property], generous: bool = False) -> np.ndarray:
    """Return the z of each unit and property, `[columns, F]`, from `states` `[n, rnn_size]`.

    z is negative if the unit falls as the property rises, and 0 if the rule of the first half fails on the second.
    `generous` fits the lines of numbers on the second half itself, which gives the highest possible R².
    """
    return np.concatenate([np.stack(list(figures_of_layer(each, text, generous)), 1) for each in states])


def figures_of_layer(states: np.ndarray, text: list[Property], generous: bool) -> Iterator[np.ndarray]:
    """Yield for each property the z of each unit `[rnn_size]`."""
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
    """Return R² on `asked` of each unit's straight line fitted to `taught`, `[rnn_size]`."""
    center, mean = first.mean(0), taught.mean()
    squares = np.square(first - center).sum(0)
    slope = np.divide((taught - mean) @ (first - center), squares, out=np.zeros_like(squares), where=squares > 1e-12)
    residuals = asked[:, None] - mean - slope * (second - center)
    return 1 - np.square(residuals).mean(0) / asked.var()


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 1 for the lowest; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[places]

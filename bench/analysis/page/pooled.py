"""The matrix over all victims of a recipe on the page."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.page.facts import span
from evil_twins.bench.analysis.page.matrix import Line, level, line
from evil_twins.bench.analysis.page.ranks import Ranks, RanksByCell
from evil_twins.bench.analysis.tables import Analysis, frames, text
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.paired import WORST
from evil_twins.bench.analysis.tables.population import POPULATION
from evil_twins.bench.analysis.tables.recipes import RECIPE, populations, recipe

DIGITS = 9
"""Decimals of a false-positive rate, as in `stats.threshold`."""

Step = tuple[float, int, str, str, str, int]
"""A false-positive rate, the flagged targets from there on, their share in %, its interval, that
of the next victim, and the shade 0 ... 10."""


@dataclass(frozen=True)
class PooledSquare:
    """A rate over victims, with every step that it makes as the false-positive rate rises.

    Attributes:
        n: Number of targets of all victims.
        steps: The steps; the first is at 0.
        place: The step at the headline rate.
        least: The smallest false-positive rate for which a victim has a threshold.
        unset: Whether no victim has a threshold at the headline rate.
        auroc: The mean AUROC in words.
        lacks: The need that is not met, in words, if no rate is shown.
    """

    n: int
    steps: tuple[Step, ...]
    place: int = 0
    least: float = 0.0
    unset: bool = False
    auroc: str = ""
    lacks: str = ""


@dataclass(frozen=True)
class PooledMatrix:
    """The lines of all victims of one recipe."""

    title: str
    lines: tuple[Line[PooledSquare], ...]


class Pooled:
    """The rates over victims of one suite."""

    def __init__(self, analysis: Analysis, by_cell: RanksByCell, detectors: list[str]) -> None:
        """Take the numbers of the suite and the detectors in the order of the columns."""
        self._analysis, self._by_cell, self._detectors = analysis, by_cell, detectors
        self._words = dict[tuple[tuple[int, int, int], ...], tuple[str, str, str, int]]()

    def matrices(self) -> Iterator[PooledMatrix]:
        """Yield a matrix for each recipe with several victims."""
        records = self._analysis.records
        scored = {row for row, _ in self._by_cell}
        reached = records.targets.groupby("row")["at_kappa"].agg(["sum", "size"])
        for title, victims, first in populations(records.rows):
            if victims == 1:
                continue
            shown = [row for row in text.ordered(first) if scored.intersection(self._rows[row])]
            lines = []
            for row in shown:
                count = reached.loc[self._rows[row]].sum()
                squares = tuple(self._square(row, name) for name in self._detectors)
                key = frames.line(first, row)
                lines.append(line(key, int(count["sum"]), int(count["size"]), squares))
            yield PooledMatrix(title, tuple(lines))

    def worst(self) -> list[Line[PooledSquare]]:
        """Return the targets of all victims that are caught under every attack, by recipe and κ."""
        result = []
        table = self._analysis.table(WORST)
        for (dataset, victim, kappa), group in table.groupby(["dataset", "victim", "kappa"]):
            victims = group["seed"].nunique()
            if victims == 1:
                continue
            cells = dict(iter(group.groupby("detector")))
            name = recipe({"dataset": dataset, "victim": victim, "victims": victims})
            absent = {ANY: PooledSquare(0, (), lacks=NEEDS)}
            squares = tuple(
                self._caught(cells[name]) if name in cells else absent.get(name)
                for name in self._detectors
            )
            written = level(float(str(kappa)))
            attacks = span(sorted(set(group["attacks"])))
            result.append(Line(f"{name}, κ {written}", written, "", attacks, squares))
        return result

    def _caught(self, cells: pd.DataFrame) -> PooledSquare | None:
        if len(cells) < 2:
            return None
        counts = [cells[name].to_numpy(dtype=int) for name in ("caught", "n", "models")]
        return PooledSquare(int(counts[1].sum()), (self._step(0.0, *counts),))

    def _square(self, row: int, detector: str) -> PooledSquare | None:
        cells = [self._by_cell.get((each, detector)) for each in self._rows[row]]
        victims = [cell for cell in cells if cell is not None and len(cell.below)]
        if len(victims) < 2:
            return None
        n, models = np.array([(len(cell.below), cell.models) for cell in victims]).T
        auroc = text.number(self._auroc.get((*self._names(row), detector), float("nan")), 2)
        if not all(cell.has_rate for cell in victims):
            return PooledSquare(int(n.sum()), (), auroc=auroc, lacks=NEEDS)
        rates = [_critical(cell) for cell in victims]
        levels = [0.0, *sorted({float(rate) for each in rates for rate in each if rate < 1})]
        steps = tuple(
            self._step(rate, np.array([(each <= rate).sum() for each in rates]), n, models)
            for rate in levels
        )
        least = round(min(1 / (cell.n + 1) for cell in victims), DIGITS)
        place = int(np.searchsorted(levels, self._analysis.fpr + 10**-DIGITS, side="right")) - 1
        unset = all(cell.rank > cell.n for cell in victims)
        return PooledSquare(int(n.sum()), steps, place, least, unset, auroc)

    def _step(self, rate: float, k: stats.Ints, n: stats.Ints, models: stats.Ints) -> Step:
        """Return the words of counts, each made once: most cells share them with others."""
        counts = tuple(sorted(zip(k.tolist(), n.tolist(), models.tolist(), strict=True)))
        if counts not in self._words:
            self._words[counts] = _words(*(each.astype(np.float64) for each in (k, n, models)))
        return rate, int(k.sum()), *self._words[counts]

    @cached_property
    def _rows(self) -> dict[int, list[int]]:
        """The rows of all victims by the row of the first."""
        groups = self._analysis.records.rows.groupby(RECIPE, dropna=False)
        return {int(min(rows)): list(map(int, rows)) for rows in groups.groups.values()}

    @cached_property
    def _auroc(self) -> dict[tuple[str, ...], float]:
        lines = frames.lines(self._analysis.table(POPULATION))
        return {
            (*(str(each[key]) for key in RECIPE), each["detector"]): each["auroc"] for each in lines
        }

    def _names(self, row: int) -> tuple[str, ...]:
        key = frames.line(self._analysis.records.rows, row)
        return tuple(str(key[name]) for name in RECIPE)


def steps(matrices: Iterable[PooledMatrix]) -> dict[tuple[object, ...], int]:
    """Return the place of each step without its rate, in a list of all: many squares share them."""
    squares = [square for matrix in matrices for line in matrix.lines for square in line.squares]
    words = (step[1:] for square in squares if square for step in square.steps)
    return {step: place for place, step in enumerate(dict.fromkeys(words))}


def _critical(cell: Ranks) -> stats.Floats:
    """Return the smallest false-positive rate at which each target is flagged."""
    rates: stats.Floats = np.round((cell.n + 1 - cell.below) / (cell.n + 1), DIGITS)
    return rates


def _words(k: stats.Floats, n: stats.Floats, models: stats.Floats) -> tuple[str, str, str, int]:
    """Return the pooled share in %, its interval, that of the next victim, and the shade."""
    rate = stats.pooled_rate(k, n, models).rate
    following = stats.next_rate(k, n, max(2, int(n.mean().round())), models)
    shade = int(10 * k.sum() // n.sum())
    return text.number(100 * rate.value), _span(rate), _span(following), shade


def _span(interval: stats.Interval) -> str:
    return f"{100 * interval.low:.0f}–{100 * interval.high:.0f}"

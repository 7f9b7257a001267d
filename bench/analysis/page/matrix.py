"""The matrix of detection rates on the page."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.page.facts import span
from evil_twins.bench.analysis.page.ranks import Ranks, RanksByCell
from evil_twins.bench.analysis.tables import frames, text
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.records import STUDY, Records


@dataclass(frozen=True)
class Square:
    """One rate, k of n, with the ranks from which a slider counts again.

    Attributes:
        k: Number of flagged targets.
        n: Number of targets.
        models: Number of clusters of targets that share a poisoned model.
        scores: Number of calibration scores; None if the rate does not follow the slider.
        below: Ranks of the targets, in rising order.
        unset: Whether there are too few calibration scores for a threshold.
        lacks: The need that is not met, in words, if no rate is shown.
        area: The AUROC in words, or "".
        interval: Its interval in words, if that is not the one of its shares.
    """

    k: int
    n: int
    models: int
    scores: int | None = None
    below: str = ""
    unset: bool = False
    lacks: str = ""
    area: str = ""
    interval: str = ""

    @property
    def sizes(self) -> str:
        """The name of its shares: the number of targets, and of models if it is smaller."""
        return f"{self.n}" if self.models == self.n else f"{self.n}/{self.models}"


Cell = TypeVar("Cell", covariant=True)


@dataclass(frozen=True)
class Line(Generic[Cell]):
    """A row of the matrix, with a square or None for each detector.

    Attributes:
        name: The attack in words; of a worst case the study and κ.
        kappa: Its κ in words, or "".
        family: Its method, or "control".
        reached: Number of targets at κ, of all; of a worst case the number of attacks.
        squares: One for each detector.
        study: The study of a worst case in words.
    """

    name: str
    kappa: str
    family: str
    reached: str
    squares: tuple[Cell | None, ...]
    study: str = ""


@dataclass(frozen=True)
class Matrix:
    """The lines of one study (data set, victim, seed).

    Attributes:
        title: The study in words.
        lines: Its lines.
        remark: A remark on attacks without scores.
        victims: Number of victims of its recipe.
    """

    title: str
    lines: tuple[Line[Square], ...]
    remark: str = ""
    victims: int = 1


def _square(cell: Ranks | None) -> Square | None:
    if cell is None or not len(cell.below):
        return None
    if not cell.has_rate:
        return Square(0, len(cell.below), cell.models, lacks=NEEDS, area=cell.area)
    below = " ".join(str(count) for count in sorted(cell.below))
    unset = cell.rank > cell.n
    counts = cell.flagged, len(cell.below), cell.models
    return Square(*counts, cell.n, below, unset, area=cell.area)


def level(kappa: float) -> str:
    """Write κ, or nothing where there is none."""
    return "" if pd.isna(kappa) else text.level(kappa)


def line(key: dict[str, Any], reached: int, n: int, squares: tuple[Cell | None, ...]) -> Line[Cell]:
    """Return the line of a row of the records.

    Args:
        key: The row by column name.
        reached: Number of its targets at κ.
        n: Number of its targets.
        squares: One for each detector.
    """
    return Line(
        name=text.name(key),
        kappa=level(key["kappa"]),
        family="control" if key["role"] != "attack" else str(key["method"]),
        reached="" if pd.isna(key["kappa"]) else f"{reached}/{n}",
        squares=squares,
    )


def matrices(records: Records, by_cell: RanksByCell, detectors: list[str]) -> list[Matrix]:
    """Return one matrix per study, with None for a row and detector without scores.

    Attacks without any scores have no line.
    """
    reached = records.targets.groupby("row")["at_kappa"]
    count, size = reached.sum(), reached.size()
    result, scored = [], {row for row, _ in by_cell}
    victims = records.rows.groupby(STUDY[:2])["seed"].transform("nunique")
    for title, rows in text.studies(records.rows):
        shown = rows[rows.index.isin(scored)]
        lines = [
            line(
                frames.line(rows, row),
                int(count[row]),
                int(size[row]),
                tuple(_square(by_cell.get((row, name))) for name in detectors),
            )
            for row in text.ordered(shown)
        ]
        remark = text.unscored(len(rows) - len(shown))
        result.append(Matrix(title, tuple(lines), remark, int(victims[rows.index[0]])))
    return result


def worst(table: pd.DataFrame, detectors: list[str]) -> list[Line[Square]]:
    """Return the targets caught under every attack, from `WORST`: one line per study and κ."""
    result = []
    for _, group in table.groupby([*STUDY, "kappa"], sort=True):
        cells = {cell["detector"]: cell for cell in frames.lines(group)}
        first = next(iter(cells.values()))
        absent = {ANY: Square(0, 0, 0, lacks=NEEDS)}
        squares = [
            _caught(cells[name]) if name in cells else absent.get(name) for name in detectors
        ]
        attacks = span(sorted({cell["attacks"] for cell in cells.values()}))
        result.append(
            Line(
                name=text.at_kappa(first),
                kappa=level(first["kappa"]),
                family="",
                reached=attacks,
                squares=tuple(squares),
                study=text.study(first),
            )
        )
    return result


def _caught(line: dict[str, Any]) -> Square:
    n, interval = int(line["n"]), _span(line["low"], line["high"])
    return Square(int(line["caught"]), n, n if interval else 1, interval=interval)


Share = tuple[str, str, int]
"""A rate in %, its interval, and its shade 0 ... 10."""


def shares(lines: Iterable[Line[Square]]) -> dict[str, list[Share]]:
    """Return the words for each k of 0 ... n, by `sizes`, so that the page needs no statistics."""
    squares = {square.sizes: square for each in lines for square in each.squares if square}
    return {
        sizes: [_share(k, square.n, square.models) for k in range(square.n + 1)]
        for sizes, square in sorted(squares.items())
    }


def _share(k: int, n: int, models: int) -> Share:
    """Return the words of k of n targets, with the interval of as many trials as models."""
    if not n:
        return "", "", 0
    rate = stats.effective(k / n, models)
    interval = "" if models == 1 < n else _span(rate.low, rate.high)
    return text.number(100 * rate.value), interval, 10 * k // n


def _span(low: float, high: float) -> str:
    return "" if pd.isna(low) else f"{100 * low:.0f}–{100 * high:.0f}"

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
        scores: Number of calibration scores; None if the rate does not follow the slider.
        below: Ranks of the targets, in rising order.
        unset: Whether there are too few calibration scores for a threshold.
        lacks: The need that is not met, in words, if no rate is shown.
        area: The AUROC in words, or "".
    """

    k: int
    n: int
    scores: int | None = None
    below: str = ""
    unset: bool = False
    lacks: str = ""
    area: str = ""


Cell = TypeVar("Cell", covariant=True)


@dataclass(frozen=True)
class Line(Generic[Cell]):
    """A row of the matrix, with a square or None for each detector."""

    name: str
    kappa: str
    family: str
    reached: str
    squares: tuple[Cell | None, ...]


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
        return Square(0, len(cell.below), lacks=NEEDS, area=cell.area)
    below = " ".join(str(count) for count in sorted(cell.below))
    unset = cell.rank > cell.n
    return Square(cell.flagged, len(cell.below), cell.n, below, unset, area=cell.area)


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
        absent = {ANY: Square(0, 0, lacks=NEEDS)}
        squares = [
            Square(int(cells[name]["caught"]), int(cells[name]["n"]))
            if name in cells
            else absent.get(name)
            for name in detectors
        ]
        attacks = span(sorted({cell["attacks"] for cell in cells.values()}))
        result.append(
            Line(text.at_kappa(first), level(first["kappa"]), "", attacks, tuple(squares))
        )
    return result


Share = tuple[str, str, int]
"""A rate in %, its interval, and its shade 0 ... 10."""


def shares(lines: Iterable[Line[Square]]) -> dict[int, list[Share]]:
    """Return the words for each k of 0 ... n, by n, so that the page needs no statistics."""
    sizes = {square.n for each in lines for square in each.squares if square}
    return {n: [_share(k, n) for k in range(n + 1)] for n in sorted(sizes)}


def _share(k: int, n: int) -> Share:
    if not n:
        return "", "", 0
    rate = stats.clopper_pearson(k, n)
    interval = f"{100 * rate.low:.0f}–{100 * rate.high:.0f}"
    return text.number(100 * rate.value), interval, 10 * k // n

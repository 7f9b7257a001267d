"""The matrix of detection rates on the page."""

from collections.abc import Iterable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Line:
    """A row of the matrix, with a square or None for each detector."""

    name: str
    kappa: str
    family: str
    reached: str
    squares: tuple[Square | None, ...]


@dataclass(frozen=True)
class Matrix:
    """The lines of one study (data set, victim, seed), and a remark on attacks without scores."""

    title: str
    lines: tuple[Line, ...]
    remark: str = ""


def _square(cell: Ranks | None) -> Square | None:
    if cell is None or not len(cell.below):
        return None
    if not cell.has_rate:
        return Square(0, len(cell.below), lacks=NEEDS, area=cell.area)
    below = " ".join(str(count) for count in sorted(cell.below))
    unset = cell.rank > cell.n
    return Square(cell.flagged, len(cell.below), cell.n, below, unset, area=cell.area)


def _level(kappa: float) -> str:
    return "" if pd.isna(kappa) else text.level(kappa)


def matrices(records: Records, by_cell: RanksByCell, detectors: list[str]) -> list[Matrix]:
    """Return one matrix per study, with None for a row and detector without scores.

    Attacks without any scores have no line.
    """
    reached = records.targets.groupby("row")["at_kappa"]
    count, size = reached.sum(), reached.size()
    result, scored = [], {row for row, _ in by_cell}
    for title, rows in text.studies(records.rows):
        lines, shown = [], rows[rows.index.isin(scored)]
        for row in text.ordered(shown):
            key = frames.line(rows, row)
            aimed = not pd.isna(key["kappa"])
            lines.append(
                Line(
                    name=text.name(key),
                    kappa=_level(key["kappa"]),
                    family="control" if key["role"] != "attack" else str(key["method"]),
                    reached=f"{int(count[row])}/{size[row]}" if aimed else "",
                    squares=tuple(_square(by_cell.get((row, name))) for name in detectors),
                )
            )
        remark = text.unscored(len(rows) - len(shown))
        result.append(Matrix(title, tuple(lines), remark))
    return result


def worst(table: pd.DataFrame, detectors: list[str]) -> list[Line]:
    """Return the targets caught under every attack, from `WORST`: one line per study and κ."""
    result = []
    for _, group in table.groupby([*STUDY, "kappa"], sort=True):
        cells = {line["detector"]: line for line in frames.lines(group)}
        first = next(iter(cells.values()))
        absent = {ANY: Square(0, 0, lacks=NEEDS)}
        squares = [
            Square(int(cells[name]["caught"]), int(cells[name]["n"]))
            if name in cells
            else absent.get(name)
            for name in detectors
        ]
        attacks = span(sorted({line["attacks"] for line in cells.values()}))
        level = _level(first["kappa"])
        result.append(Line(text.at_kappa(first), level, "", attacks, tuple(squares)))
    return result


Share = tuple[str, str, int]
"""A rate in %, its interval, and its shade 0 ... 10."""


def shares(lines: Iterable[Line]) -> dict[int, list[Share]]:
    """Return the words for each k of 0 ... n, by n, so that the page needs no statistics."""
    sizes = {square.n for line in lines for square in line.squares if square}
    return {n: [_share(k, n) for k in range(n + 1)] for n in sorted(sizes)}


def _share(k: int, n: int) -> Share:
    if not n:
        return "", "", 0
    rate = stats.clopper_pearson(k, n)
    interval = f"{100 * rate.low:.0f}–{100 * rate.high:.0f}"
    return text.number(100 * rate.value), interval, 10 * k // n

"""The matrix of detection rates as the page shows it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.page.ranks import Ranks
from evil_twins.bench.analysis.tables import frames, text
from evil_twins.bench.analysis.tables.records import STUDY, Records

Known = Mapping[tuple[int, str], Ranks]


@dataclass(frozen=True)
class Square:
    """One rate: k of n, and what a slider needs to count again.

    Attributes:
        k: Targets that are flagged.
        n: Targets.
        scores: Calibration scores; None where the rate does not follow the slider.
        below: Ranks of the targets, in rising order.
        unset: There are too few calibration scores for a threshold.
    """

    k: int
    n: int
    scores: int | None = None
    below: str = ""
    unset: bool = False


@dataclass(frozen=True)
class Line:
    """One row of the matrix: a square or None for each detector."""

    name: str
    kappa: str
    family: str
    reached: str
    squares: tuple[Square | None, ...]


@dataclass(frozen=True)
class Matrix:
    """The lines of one study (data set, victim, seed), and what is said of attacks without one."""

    title: str
    lines: tuple[Line, ...]
    left: str = ""


def _square(one: Ranks | None) -> Square | None:
    if one is None or not len(one.below):
        return None
    below = " ".join(str(count) for count in sorted(one.below))
    return Square(one.flagged, len(one.below), one.n, below, one.rank > one.n)


def _level(kappa: float) -> str:
    return "" if pd.isna(kappa) else text.short(kappa)


def matrices(records: Records, known: Known, detectors: list[str]) -> list[Matrix]:
    """One matrix a study; a row under a detector that left no scores has an empty place.

    Attacks that no detector saw have no line.

    Args:
        records: The records.
        known: Ranks by row and detector.
        detectors: The columns, in order.
    """
    made, reached = [], records.targets.groupby("row")["at_kappa"]
    count, size = reached.sum(), reached.size()
    for _, rows in records.rows.groupby(STUDY, sort=True):
        lines, seen = [], rows[rows.index.isin({row for row, _ in known})]
        for row in text.ordered(seen):
            key = frames.line(rows, row)
            aimed = not pd.isna(key["kappa"])
            lines.append(
                Line(
                    name=text.name(key),
                    kappa=_level(key["kappa"]),
                    family="control" if key["role"] != "attack" else str(key["method"]),
                    reached=f"{int(count[row])}/{size[row]}" if aimed else "",
                    squares=tuple(_square(known.get((row, name))) for name in detectors),
                )
            )
        left = text.unscored(len(rows) - len(seen))
        made.append(Matrix(text.study(frames.lines(rows)[0]), tuple(lines), left))
    return made


def worst(table: pd.DataFrame, detectors: list[str]) -> list[Line]:
    """Targets caught under every attack: one line a study and κ.

    Args:
        table: The table `worst`.
        detectors: The columns, in order.
    """
    made = []
    for _, part in table.groupby([*STUDY, "kappa"], sort=True):
        mine = {one["detector"]: one for one in frames.lines(part)}
        first = next(iter(mine.values()))
        squares = [
            Square(int(mine[name]["caught"]), int(mine[name]["n"])) if name in mine else None
            for name in detectors
        ]
        level, attacks = _level(first["kappa"]), sorted({one["attacks"] for one in mine.values()})
        counted = "–".join(str(count) for count in sorted({attacks[0], attacks[-1]}))
        name = f"{text.study(first)}, κ {level}"
        made.append(Line(name, level, "", counted, tuple(squares)))
    return made


Share = tuple[str, str, int]
"""A rate in %, its interval, and its shade 0 ... 10."""


def shares(sizes: Iterable[int]) -> dict[int, list[Share]]:
    """What is printed for each k of 0 ... n, by n: so the page has no arithmetic of its own."""
    return {n: [_share(k, n) for k in range(n + 1)] for n in sorted(set(sizes))}


def _share(k: int, n: int) -> Share:
    if not n:
        return "", "", 0
    rate = stats.clopper_pearson(k, n)
    interval = f"{100 * rate.low:.0f}–{100 * rate.high:.0f}"
    return text.number(100 * rate.value), interval, 10 * k // n

"""Several suites on one page: what was run, the rates of each, differences on shared targets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.page import facts, matrix
from evil_twins.bench.analysis.page.gallery import uri
from evil_twins.bench.analysis.page.matrix import Known
from evil_twins.bench.analysis.page.ranks import ranks
from evil_twins.bench.analysis.page.render import render
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.stats import FPR as ALPHA
from evil_twins.bench.analysis.tables import KEYS, Analysis, Records, frames, read, text, with_any
from evil_twins.bench.analysis.tables.compare.between import COLUMNS, Between, between, sides
from evil_twins.bench.analysis.tables.decisions import cells
from evil_twins.bench.analysis.tables.write import csv

LEVEL = 0.05
"""Of the tests, after Holm's correction."""


@dataclass(frozen=True)
class Suite:
    """A suite as the page needs it.

    Attributes:
        name: Its name.
        directory: `<results>/<suite>`.
        records: Its records, with the OR of all detectors.
        known: Ranks by row and detector.
        detectors: Its detectors, in order.
    """

    name: str
    directory: Path
    records: Records
    known: Known
    detectors: list[str]


@dataclass(frozen=True)
class Gap:
    """The difference of two rates in points of %, its interval, and whether it is sure."""

    label: str
    interval: str
    sure: bool


@dataclass(frozen=True)
class Pair:
    """Two studies of two suites; a line is the name of an attack, its targets, and its gaps."""

    title: str
    words: str
    detectors: tuple[str, ...]
    lines: tuple[tuple[str, str, tuple[Gap | None, ...]], ...]


def write(directories: Sequence[Path]) -> Path:
    """Writes `A+B.html`, one file that needs no other, beside the folders of the suites A and B.

    The same records, versions and machine give the same bytes.

    Args:
        directories: `<results>/<suite>` of two suites or more, all in one folder.

    Returns:
        The file.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    suites = [_suite(directory) for directory in directories]
    name = "+".join(suite.name for suite in suites)
    path = directories[0].parent / f"{name}.html"
    path.write_bytes(render("beside.html", content(suites)).encode())
    return path


def _suite(directory: Path) -> Suite:
    records = with_any(read(directory))
    known = {(cell.row, cell.detector): ranks(cell) for cell in cells(records)}
    detectors = style.detector_order([name for _, name in known])
    return Suite(directory.name, directory, records, known, detectors)


def content(suites: Sequence[Suite]) -> dict[str, Any]:
    """Everything that the page says."""
    detectors = style.detector_order([name for suite in suites for name in suite.detectors])
    matrices = [
        replace(one, title=f"{suite.name}: {one.title}")
        for suite in suites
        for one in matrix.matrices(suite.records, suite.known, detectors)
    ]
    found = list(_pairs(suites))
    squares = [square for one in matrices for line in one.lines for square in line.squares]
    tables = {"rates.csv": csv(_rates(suites))}
    if paired := [one.table[COLUMNS] for one in found if not one.why]:
        tables["differences.csv"] = csv(pd.concat(paired))
    return {
        "title": ", ".join(suite.name for suite in suites),
        "suites": [suite.name for suite in suites],
        "rate": ALPHA,
        "level": LEVEL,
        "facts": _facts(suites),
        "failed": [
            (text.failed(len(suite.records.failures)), facts.failures(suite.records))
            for suite in suites
        ],
        "detectors": detectors,
        "matrices": matrices,
        "shares": matrix.shares({square.n for square in squares if square}),
        "pairs": [_pair(one) for one in found],
        "downloads": [(name, len(one), uri("text/csv", one)) for name, one in tables.items()],
    }


def _facts(suites: Sequence[Suite]) -> list[tuple[str, list[list[str]]]]:
    """Each heading with what is to be said under it of each suite."""
    said = [
        dict(
            [
                ("Victims", facts.victims(suite.records)),
                *facts.facts(suite.records, suite.known, suite.detectors, suite.directory),
            ]
        )
        for suite in suites
    ]
    heads = dict.fromkeys(head for one in said for head in one)
    return [(head, [one.get(head, []) for one in said]) for head in heads]


def _pairs(suites: Sequence[Suite]) -> Iterator[Between]:
    studies = [list(sides(suite.name, Analysis(suite.records, add_any=False))) for suite in suites]
    for one, other in combinations(studies, 2):
        for first in one:
            for second in other:
                yield between(first, second)


def _pair(found: Between) -> Pair:
    title = f"{found.first.title} minus {found.second.title}"
    if found.why:
        return Pair(title, f"Nothing can be paired: {found.why}.", (), ())
    table = found.table
    sure = int((table["p_holm"] < LEVEL).sum())
    words = f"Targets in both: {found.targets}. Significant differences: {sure} of {len(table)}."
    detectors = style.detector_order([str(name) for name in table["detector"]])
    rows, lines = found.first.rows.set_index("row"), []
    for row in text.ordered(rows.loc[sorted(set(table["row"]))]):
        own = {one["detector"]: one for one in frames.lines(table[table["row"] == row])}
        gaps = tuple(_gap(own[name]) if name in own else None for name in detectors)
        sizes = facts.span(sorted({int(one["n"]) for one in own.values()}))
        lines.append((text.name(frames.line(rows, row)), sizes, gaps))
    return Pair(title, words, tuple(detectors), tuple(lines))


def _gap(one: dict[str, Any]) -> Gap:
    value, low, high = (100 * float(one[name]) for name in ("difference", "low", "high"))
    interval = f"{_signed(low, 0)} to {_signed(high, 0)}"
    return Gap(_signed(value, 1), interval, bool(one["p_holm"] < LEVEL))


def _signed(value: float, digits: int) -> str:
    """With a sign and so many decimals at most; a zero has no sign."""
    rounded = round(value, digits)
    return f"{rounded:+g}".replace("-", "−") if rounded else "0"


def _rates(suites: Sequence[Suite]) -> pd.DataFrame:
    """The matrices as one table, at the headline rate."""
    lines = []
    for suite in suites:
        for (row, detector), one in suite.known.items():
            rate = stats.clopper_pearson(one.flagged, len(one.below))
            counts = {"n": len(one.below), "detected": one.flagged, "rate": rate.value}
            own = {"suite": suite.name} | frames.line(suite.records.rows[KEYS], row)
            own |= {"detector": detector, "fpr_nominal": ALPHA} | counts
            lines.append(own | {"low": rate.low, "high": rate.high})
    columns = ["suite", *KEYS, "detector", "fpr_nominal", "n", "detected", "rate", "low", "high"]
    return pd.DataFrame(lines, columns=pd.Index(columns))

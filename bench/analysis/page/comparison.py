"""Several suites on one page: facts, the rates of each, differences on shared targets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from evil_twins.bench import printable
from evil_twins.bench.analysis.kept import folder, writing
from evil_twins.bench.analysis.page import facts, matrix
from evil_twins.bench.analysis.page.archive import archive
from evil_twins.bench.analysis.page.columns import Column, columns
from evil_twins.bench.analysis.page.ranks import ranks
from evil_twins.bench.analysis.page.render import render
from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.tables import KEYS, Analysis, frames, text
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.compare import identity
from evil_twins.bench.analysis.tables.compare.between import COLUMNS, Between, Side, between, sides
from evil_twins.bench.analysis.tables.write import csv
from evil_twins.bench.store import files
from evil_twins.bench.store.checksums import fingerprint

NAME_BYTES = 200
"""Length of the longest name of a page; file systems allow 255 with the ending."""

LEVEL = 0.05
"""Level of the tests, after Holm's correction."""


class Suite:
    """A suite on the page: its folder and name, its numbers, and their ranks."""

    def __init__(self, directory: Path, fpr: float) -> None:
        """Take `<results>/<suite>` at a nominal false-positive rate."""
        self.directory, self.name = directory, directory.name
        self.analysis = Analysis(directory, fpr)
        self.ranks = ranks(self.analysis)
        self.contents = identity.contents(self.analysis.records)

    def sides(self, titles: Mapping[str, str]) -> list[Side]:
        """Return its studies under these titles."""
        return list(sides(self.directory, self.analysis, self.contents, titles))


class Gap(NamedTuple):
    """The difference of two rates in points of %, its interval, and whether it is significant."""

    label: str
    interval: str
    significant: bool


class Pair(NamedTuple):
    """Two studies of two suites; each line has an attack, its number of targets, and its gaps."""

    title: str
    words: str
    columns: tuple[Column, ...]
    lines: tuple[tuple[str, str, tuple[Gap | None, ...]], ...]


def write(directories: Sequence[Path], fpr: float = FPR) -> Path:
    """Write `A+B.html`, a single file, and return its path.

    It lies next to the folders of the suites A and B.

    At another nominal false-positive rate than the default it lies under `fpr-<rate>/` there.
    Equal records, versions and machine give equal bytes.

    Args:
        directories: `<results>/<suite>` of two suites or more, all in one folder.
        fpr: The nominal false-positive rate.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    suites = [Suite(directory, fpr) for directory in directories]
    name = _file_name([suite.name for suite in suites])
    path = directories[0].parent / f"{folder(fpr)}{name}.html"
    page = render("comparison.html", content(suites, fpr))
    with writing(directories[0].parent):
        files.write(path, directories[0].parent, page.encode())
    return path


def _file_name(names: Sequence[str]) -> str:
    """Join the names of suites; where they are too long for a file, their start and a hash."""
    name = "+".join(names)
    if len(name.encode()) <= NAME_BYTES:
        return name
    return f"{printable.file_name(name)}-{fingerprint(name)[:16]}"


def content(suites: Sequence[Suite], fpr: float) -> dict[str, Any]:
    """Return everything on the page."""
    heads = columns(name for suite in suites for _, name in suite.ranks)
    detectors = [head.name for head in heads]
    titles = identity.titles([suite.contents for suite in suites])
    matrices = [
        replace(study, title=f"{suite.name}: {names.get(study.title, study.title)}")
        for suite, names in zip(suites, titles, strict=True)
        for study in matrix.matrices(suite.analysis.records, suite.ranks, detectors)
    ]
    pairs = list(_pairs([suite.sides(names) for suite, names in zip(suites, titles, strict=True)]))
    tables = {"rates.csv": csv(_rates(suites))}
    if paired := [p.table[COLUMNS] for p in pairs if isinstance(p, Between) and not p.why]:
        tables["differences.csv"] = csv(pd.concat(paired))
    records = [suite.analysis.records for suite in suites]
    return {
        "title": ", ".join(suite.name for suite in suites),
        "suites": [suite.name for suite in suites],
        "rate": fpr,
        "needs": NEEDS,
        "level": LEVEL,
        "facts": _facts(suites, titles),
        "failed": [(text.failed(len(r.failures)), facts.failures(r)) for r in records],
        "columns": heads,
        "limits": [],
        "steps": {},
        "matrices": matrices,
        "shares": matrix.shares([line for study in matrices for line in study.lines]),
        "pairs": [_pair(pair) if isinstance(pair, Between) else pair for pair in pairs],
        "archive": archive(tables),
    }


def _facts(
    suites: Sequence[Suite], titles: Sequence[Mapping[str, str]]
) -> list[tuple[str, list[list[str]]]]:
    """Return each heading with the facts of each suite under it."""
    columns = [
        {"Victims": facts.victims(suite.analysis, names)}
        | dict(facts.facts(suite.analysis, suite.ranks, suite.directory))
        for suite, names in zip(suites, titles, strict=True)
    ]
    heads = dict.fromkeys(head for column in columns for head in column)
    return [(head, [column.get(head, []) for column in columns]) for head in heads]


def _pairs(suites: Sequence[Sequence[Side]]) -> Iterator[Between | Pair]:
    """Pair the studies of every two suites that have the same victim, or say that none has."""
    for firsts, seconds in combinations(filter(None, suites), 2):
        same = [pair for pair in product(firsts, seconds) if pair[0].has_victim_of(pair[1])]
        if not same:
            yield _no_victim(firsts, seconds)
        for first, second in same:
            yield between(first, second)


def _no_victim(firsts: Sequence[Side], seconds: Sequence[Side]) -> Pair:
    """Say that two suites have no victim in common."""
    names = [text.one_line(sides[0].suite) for sides in (firsts, seconds)]
    old = [
        name
        for name, sides in zip(names, (firsts, seconds), strict=True)
        if not all(side.content for side in sides)
    ]
    words = f"{names[0]} and {names[1]} have no victim in common, so no rates are subtracted"
    if old:
        words += f"; the older records of {' and '.join(old)} do not say which victim they attack"
    return Pair(" and ".join(names), f"{words}.", (), ())


def _pair(pair: Between) -> Pair:
    title = f"{pair.first.words} minus {pair.second.words}"
    if pair.why:
        return Pair(title, f"Nothing can be paired: {pair.why}.", (), ())
    table = pair.table
    significant = int((table["p_holm"] < LEVEL).sum())
    words = (
        f"Targets in both: {pair.targets}. Significant differences: {significant} of {len(table)}."
    )
    heads = columns(table["detector"].astype(str))
    rows, lines = pair.first.rows.set_index("row"), []
    for row in text.ordered(rows.loc[sorted(set(table["row"]))]):
        cells = {cell["detector"]: cell for cell in frames.lines(table[table["row"] == row])}
        gaps = tuple(_gap(cells[name]) if name in cells else None for name, *_ in heads)
        sizes = facts.span(sorted({int(cell["n"]) for cell in cells.values()}))
        lines.append((text.name(frames.line(rows, row)), sizes, gaps))
    return Pair(title, words, tuple(heads), tuple(lines))


def _gap(cell: dict[str, Any]) -> Gap:
    value, low, high = (100 * float(cell[name]) for name in ("difference", "low", "high"))
    interval = "" if pd.isna(low) else f"{_signed(low, 0)} to {_signed(high, 0)}"
    return Gap(_signed(value, 1), interval, bool(cell["p_holm"] < LEVEL))


def _signed(value: float, digits: int) -> str:
    """Write a number with its sign and at most `digits` decimals; zero has no sign."""
    rounded = round(value, digits)
    return f"{rounded:+g}".replace("-", "−") if rounded else "0"


def _rates(suites: Sequence[Suite]) -> pd.DataFrame:
    """Return the matrices as one table, at the headline rate."""
    lines = []
    for suite in suites:
        rows = suite.analysis.records.rows[KEYS]
        for (row, detector), cell in suite.ranks.items():
            n, detected = len(cell.below), cell.flagged if cell.has_rate else None
            rate = suite.analysis.cells[row, detector].rate(suite.analysis.fpr)
            lines.append(
                {"suite": suite.name, **frames.line(rows, row), "detector": detector}
                | {"fpr_nominal": suite.analysis.fpr, "n": n, "detected": detected}
                | {"rate": rate.value, "low": rate.low, "high": rate.high}
            )
    columns = ["suite", *KEYS, "detector", "fpr_nominal", "n", "detected", "rate", "low", "high"]
    return frames.frame(lines, columns)

"""Two suites on the victims and targets that they share: another budget, another setting."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.clusters import Clusters, together
from evil_twins.bench.analysis.tables.compare.differences import DIFFERENCE, corrected, differ
from evil_twins.bench.analysis.tables.compare.identity import Name
from evil_twins.bench.analysis.tables.frames import flags, lines
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, is_same

ROW = [key for key in KEYS if key not in ("victim", "seed")]
"""Keys that must be equal in two suites for their rows to be compared."""
_TARGET = ["target_id", "goal"]
_SIDES = ["suite", "victim", "seed", "other_suite", "other_victim", "other_seed"]
COLUMNS = [*_SIDES, *ROW, "detector", *DIFFERENCE]


@dataclass(frozen=True)
class Side:
    """One study (data set, victim, seed) of a suite.

    Attributes:
        suite: Name of the suite.
        folder: Its folder, without links.
        content: The content hash of the victim, "" if the records do not hold it.
        title: The study in words, such that victims that differ have different titles.
        study: Values of STUDY.
        rows: Its attacks, without controls and yardsticks, with their number as `row`.
        decided: The decisions: row, detector, target_id, goal, content, flagged.
        clusters: The targets that share a poisoned model.
    """

    suite: str
    folder: Path
    content: str
    title: str
    study: dict[str, Any]
    rows: pd.DataFrame
    decided: pd.DataFrame
    clusters: Clusters

    @property
    def words(self) -> str:
        """Suite and study in words."""
        return f"{text.one_line(self.suite)} ({self.title})"

    def has_victim_of(self, other: "Side") -> bool:
        """Check whether both have the same victim; an unknown one is equal in its folder only."""
        if self.content or other.content:
            return self.content == other.content
        return (self.folder, self.study) == (other.folder, other.study)

    @property
    def detectors(self) -> set[str]:
        """The names of its detectors."""
        return set(self.decided["detector"])

    def columns(self, prefix: str) -> dict[str, Any]:
        """Return suite, victim and seed as columns."""
        facts = {"suite": self.suite, "victim": self.study["victim"], "seed": self.study["seed"]}
        return {prefix + name: value for name, value in facts.items()}


@dataclass(frozen=True)
class Between:
    """One side minus another.

    Attributes:
        first: The side from which the other is subtracted.
        second: The side that is subtracted.
        targets: Number of targets (input and goal class) that both attacked.
        table: A line per attack and detector that both have: `row`, the number of the attack in the
            first side, and `COLUMNS`.
        why: The reason why nothing can be paired, or empty.
    """

    first: Side
    second: Side
    targets: int
    table: pd.DataFrame
    why: str


def sides(
    directory: Path, analysis: Analysis, contents: Mapping[Name, str], titles: Mapping[str, str]
) -> Iterator[Side]:
    """Yield every study of a suite.

    Args:
        directory: Its folder.
        analysis: Its numbers.
        contents: Its `identity.contents`.
        titles: Its `identity.titles`.
    """
    records = analysis.records
    goals = records.targets[["row", *_TARGET, "content"]]
    decided = analysis.table_decisions.merge(goals, on=["row", "target_id"])
    attacks = records.rows[records.rows["role"].eq("attack")].reset_index(names="row")
    for _, rows in attacks.groupby(STUDY, sort=True):
        study = {name: lines(rows)[0][name] for name in STUDY}
        content, title = contents[tuple(study.values())], titles[text.study(study)]
        names = directory.name, directory.resolve(), content, title
        shown = decided[decided["row"].isin(rows["row"])]
        yield Side(*names, study, rows, shown, records.clusters)


def between(first: Side, second: Side) -> Between:
    """Subtract the second side from the first, which has the same victim, on the targets of both.

    Targets are paired by name, goal class and content, rows by `ROW`, detectors by name; `any` only
    if both sides have the same detectors. Holm's correction is over all lines.

    Args:
        first: A study of one suite.
        second: A study of another.

    Raises:
        ValueError: The victims differ, or are not known to be the same.
    """
    if not first.has_victim_of(second):
        raise ValueError(f"not the same victim: {first.words} and {second.words}")
    rows = first.rows[["row", *ROW]].merge(second.rows[["row", *ROW]], on=ROW, suffixes=("", "_"))
    shared = first.detectors & second.detectors
    if first.detectors != second.detectors:
        shared -= {ANY}
    targets = [side.decided[[*_TARGET, "content"]].drop_duplicates() for side in (first, second)]
    common = len(_same(targets[0].merge(targets[1], on=_TARGET, suffixes=("", "_other"))))
    pairs = first.decided[first.decided["detector"].isin(shared)].merge(rows, on="row")
    pairs = pairs.merge(
        second.decided,
        left_on=["row_", "detector", *_TARGET],
        right_on=["row", "detector", *_TARGET],
        suffixes=("", "_other"),
    )
    pairs = _same(pairs)
    names = first.columns("") | second.columns("other_")
    comparisons = []
    for (row, detector), cells in pairs.groupby(["row", "detector"], sort=True):
        key = lines(rows.loc[rows["row"] == row, ROW])[0] | {"row": row, "detector": detector}
        clusters = _clusters(first, second, cells)
        gap = differ(flags(cells, "flagged"), flags(cells, "flagged_other"), clusters)
        comparisons.append(names | key | gap)
    reason = "" if comparisons else _reason(first, second, common, len(rows))
    table = corrected(comparisons, ["row", *COLUMNS])
    return Between(first, second, common, table, reason)


def _same(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of one image, not of two images of one name."""
    return pairs[is_same(pairs["content"], pairs["content_other"])]


def _clusters(first: Side, second: Side, pairs: pd.DataFrame) -> stats.Ints | None:
    """Return the clusters of the targets of one comparison, whose models are those of both."""
    names = list(pairs["target_id"])
    sides = (first, int(pairs["row"].iloc[0])), (second, int(pairs["row_"].iloc[0]))
    return together(side.clusters.joint([row], names) for side, row in sides)


def _reason(first: Side, second: Side, targets: int, rows: int) -> str:
    if first.study["dataset"] != second.study["dataset"]:
        return "the data sets differ"
    if not targets:
        return "no target, an image with its goal class, is in both"
    if not rows:
        return "no attack has the same name, layers, κ, φ and λ in both"
    return "no detector scored the same attack on the same targets in both"

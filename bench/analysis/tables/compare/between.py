"""Two suites on the targets that they share: another victim, another seed, another budget."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.compare.differences import DIFFERENCE, corrected, differ
from evil_twins.bench.analysis.tables.decisions import decisions
from evil_twins.bench.analysis.tables.families import CONTROLS
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records

ROW = [key for key in KEYS if key not in ("victim", "seed")]
"""What two suites must agree on for their rows to be set beside each other."""
_TARGET = ["target_id", "goal"]
_SIDES = ["suite", "victim", "seed", "other_suite", "other_victim", "other_seed"]
COLUMNS = [*_SIDES, *ROW, "detector", *DIFFERENCE]


@dataclass(frozen=True)
class Side:
    """One study (data set, victim, seed) of a suite.

    Attributes:
        suite: The suite.
        study: Values of STUDY.
        rows: Its attacks, controls left out, with their number as `row`.
        decided: Who is flagged at the headline rate: row, detector, target_id, goal, flagged.
    """

    suite: str
    study: dict[str, Any]
    rows: pd.DataFrame
    decided: pd.DataFrame

    @property
    def title(self) -> str:
        """Suite and study in words."""
        return f"{text.one_line(self.suite)} ({text.study(self.study)})"

    @property
    def detectors(self) -> set[str]:
        """Their names."""
        return set(self.decided["detector"])


@dataclass(frozen=True)
class Between:
    """One side beside another.

    Attributes:
        first: The side whose rates stand first.
        second: The side that is taken from it.
        targets: How many targets (input and goal class) both attacked.
        table: A line per attack and detector that both have: `row`, the number of the attack in the
            first side, and `COLUMNS`.
        why: Why nothing can be paired; empty where something can.
    """

    first: Side
    second: Side
    targets: int
    table: pd.DataFrame
    why: str


def sides(suite: str, records: Records) -> Iterator[Side]:
    """Every study of a suite.

    Args:
        suite: Its name.
        records: Its records, with the detector "any" where it is wanted.
    """
    goals = records.targets[["row", *_TARGET]]
    decided = decisions(records).merge(goals, on=["row", "target_id"])
    aimed = records.rows[~records.rows["method"].isin(CONTROLS)].reset_index(names="row")
    for _, rows in aimed.groupby(STUDY, sort=True):
        study = {name: lines(rows)[0][name] for name in STUDY}
        yield Side(suite, study, rows, decided[decided["row"].isin(rows["row"])])


def between(first: Side, second: Side) -> Between:
    """The first side minus the second, on the targets of both.

    Targets are paired by name and goal class, rows by `ROW`, detectors by name; `any` only where
    both sides have the same detectors. Holm's correction is over all lines.

    Args:
        first: A study of one suite.
        second: A study of another.
    """
    rows = first.rows[["row", *ROW]].merge(second.rows[["row", *ROW]], on=ROW, suffixes=("", "_"))
    shared = first.detectors & second.detectors
    if first.detectors != second.detectors:
        shared -= {ANY}
    same = first.decided[_TARGET].drop_duplicates().merge(second.decided[_TARGET].drop_duplicates())
    mine = first.decided[first.decided["detector"].isin(shared)].merge(rows, on="row")
    both = mine.merge(
        second.decided,
        left_on=["row_", "detector", *_TARGET],
        right_on=["row", "detector", *_TARGET],
        suffixes=("", "_other"),
    )
    whose = _named(first, "") | _named(second, "other_")
    found = []
    for (row, detector), part in both.groupby(["row", "detector"], sort=True):
        key = lines(rows.loc[rows["row"] == row, ROW])[0]
        sets = (part[name].to_numpy(dtype=bool) for name in ("flagged", "flagged_other"))
        found.append(whose | key | {"row": row, "detector": detector} | differ(*sets))
    why = "" if found else _why(first, second, len(same), len(rows))
    return Between(first, second, len(same), corrected(found, ["row", *COLUMNS]), why)


def _named(side: Side, prefix: str) -> dict[str, Any]:
    facts = {"suite": side.suite, "victim": side.study["victim"], "seed": side.study["seed"]}
    return {prefix + name: value for name, value in facts.items()}


def _why(first: Side, second: Side, targets: int, rows: int) -> str:
    if first.study["dataset"] != second.study["dataset"]:
        return "the data sets differ"
    if not targets:
        return "no target, an input with its goal class, is in both"
    if not rows:
        return "no attack has the same name, layers, κ, φ and λ in both"
    return "no detector scored the same attack on the same targets in both"

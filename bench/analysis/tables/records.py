"""The records of one suite as frames that share one numbering of their rows."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from evil_twins.bench import printable
from evil_twins.bench.analysis.tables.clusters import Clusters
from evil_twins.bench.errors import UserError
from evil_twins.bench.store import records

KEYS = list(records.KEYS)
STUDY = list(records.STUDY)

_REQUIRED = ("targets", "scores")
_NAMES = {n for file in records.FILES.values() for n, kind in file.items() if kind == pa.string()}
"""Columns of text."""


@dataclass(frozen=True)
class Records:
    """The records of a run, without targets of the development list.

    Attributes:
        rows: One line per combination of KEYS, with `moves` and `role` of the attack; the index is
            the number of the row.
        targets: One line per row and target; `row` is its number, as in all frames below.
        flips: Held-out images on which victim and faced model disagree.
        scores: Scores of attacked, calibration and fresh benign inputs.
        details: Facts with the scores of attacked inputs.
        gallery: The first few images of each row.
        durability: The effect on each target after treatments by a defender.
        failures: Cells that failed, without row numbers.
        victims: Measured accuracy of the victims, without row numbers.
    """

    rows: pd.DataFrame
    targets: pd.DataFrame
    flips: pd.DataFrame
    scores: pd.DataFrame
    details: pd.DataFrame
    gallery: pd.DataFrame
    durability: pd.DataFrame
    failures: pd.DataFrame
    victims: pd.DataFrame

    @property
    def norms(self) -> "pd.Series[str]":
        """The norm of each row's input attack, "" for a row that moves no input."""
        return self.targets.groupby("row")["norm"].first().reindex(self.rows.index)

    @cached_property
    def clusters(self) -> Clusters:
        """The targets that share a poisoned model."""
        return Clusters.of(self.targets)

    def numbered(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with key columns with the number of each line's row, `row`, added."""
        if table.empty:
            return table.assign(row=pd.Series(dtype=np.int64))
        return table.merge(self.rows[KEYS].reset_index(names="row"), on=KEYS, how="left")


def is_same(content: "pd.Series[str]", other: "pd.Series[str]") -> "pd.Series[bool]":
    """Return where two content hashes are equal, or one is unknown."""
    return content.eq(other) | content.eq("") | other.eq("")


def _frame(directory: Path, name: str) -> pd.DataFrame:
    path = directory / f"{name}.parquet"
    if not os.path.lexists(path):
        if name in _REQUIRED:
            raise UserError(
                f"no records in {directory.absolute()}: {path.name} is missing",
                "expected: targets.parquet and scores.parquet, as a run leaves them",
                "remedy: `evil-twins run SUITE` first, or name its folder with --results",
            )
        return pd.DataFrame(columns=pd.Index(list(records.FILES[name])))
    return _printable(records.read(path, records.FILES[name]))


def _printable(frame: pd.DataFrame) -> pd.DataFrame:
    """Escape the names in a frame, which go into tables, figures and pages."""
    for column in _NAMES.intersection(frame.columns):
        names = map(str, frame[column].dropna().unique())
        escaped = {name: printable.name(name) for name in names if not name.isprintable()}
        if escaped:
            frame[column] = frame[column].map(lambda name, to=escaped: to.get(name, name))
    return frame


def _reported(targets: pd.DataFrame) -> pd.DataFrame:
    """Return the confirmatory targets, or all if there are none: a control may serve any list."""
    confirmatory = targets["list"] == "confirmatory"
    return targets[confirmatory] if confirmatory.any() else targets


def _numbered(frame: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with `row` in place of its keys, without lines of unreported rows."""
    numbers = rows[KEYS].reset_index(names="row")
    frame = frame.astype({key: rows[key].dtype for key in KEYS}) if frame.empty else frame
    return frame.merge(numbers, on=KEYS, how="inner").drop(columns=KEYS)


def _of_targets(frame: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of reported targets and those of no single target."""
    reported = pd.MultiIndex.from_frame(targets[["row", "target_id"]])
    listed = pd.MultiIndex.from_frame(frame[["row", "target_id"]]).isin(reported)
    return frame[listed | (frame["target_id"] == "").to_numpy()]


def number(frames: dict[str, pd.DataFrame]) -> Records:
    """Return records from frames with key columns, as they lie on disk.

    Args:
        frames: "targets" and "scores", and any of the other frames of `Records`.
    """
    frames = {
        name: frames.get(name, pd.DataFrame(columns=pd.Index(list(columns))))
        for name, columns in records.FILES.items()
    }
    reported = _reported(frames["targets"])
    natures = reported.drop_duplicates(KEYS)[[*KEYS, *records.NATURE]]
    rows = natures.sort_values(KEYS, ignore_index=True)
    targets = _numbered(reported, rows).sort_values(["row", "target_id"], ignore_index=True)
    flips, scores, details, gallery, durability = (
        _of_targets(_numbered(frames[name], rows), targets)
        for name in ("flips", "scores", "details", "gallery", "durability")
    )
    order = ["row", "detector", "role", "target_id", "image_id"]
    scores = scores.sort_values(order, ignore_index=True)
    unnumbered = {name: frames[name] for name in ("failures", "victims")}
    return Records(rows, targets, flips, scores, details, gallery, durability, **unnumbered)


def read(results_dir: Path, names: Collection[str] = tuple(records.FILES)) -> Records:
    """Read the records of one suite.

    Args:
        results_dir: `<results>/<suite>`, where `run` leaves targets.parquet and scores.parquet.
        names: The frames to read; the others stay empty.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    return number({name: _frame(results_dir, name) for name in names})

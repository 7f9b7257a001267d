"""The records of one suite as frames that share one numbering of their rows."""

from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

import pandas as pd

from evil_twins.bench.errors import UserError
from evil_twins.bench.store import records

KEYS = list(records.KEYS)
STUDY = ["dataset", "victim", "seed"]

_NEEDED = {
    "targets": [*KEYS, *records.TARGETS, *records.NATURE],
    "scores": [*KEYS, "detector", "knowledge", *records.SCORES],
}
_NEWER = {"targets": ["log_odds", "group"]}
"""Columns that older records lack; NaN there."""
_OPTIONAL = {
    "flips": [*KEYS, *records.FLIPS],
    "details": [*KEYS, "detector", *records.DETAILS],
    "gallery": [*KEYS, *records.GALLERY],
    "failures": list(records.FAILURES),
    "victims": [*STUDY, "accuracy"],
}
_NAMES = ("dataset", "victim", "attack", "method", "layers", "detector", "list", "target_id")


@dataclass(frozen=True)
class Records:
    """What a suite left, as the reading half knows it.

    Attributes:
        rows: One line per combination of KEYS, with `moves` and `role` of the attack; the index is
            the number of the row.
        targets: One line per row and target; `row` is its number, as in all frames below.
        flips: Held-out images on which victim and faced model disagree.
        scores: Scores of attacked, calibration and fresh benign inputs.
        details: Facts beside the scores of attacked inputs.
        gallery: The first few images of each row.
        failures: Cells that failed, without row numbers.
        victims: Measured accuracy of the victims, without row numbers.
    """

    rows: pd.DataFrame
    targets: pd.DataFrame
    flips: pd.DataFrame
    scores: pd.DataFrame
    details: pd.DataFrame
    gallery: pd.DataFrame
    failures: pd.DataFrame
    victims: pd.DataFrame


def _frame(directory: Path, name: str, columns: list[str], *, needed: bool) -> pd.DataFrame:
    path = directory / f"{name}.parquet"
    if not path.exists():
        if needed:
            raise UserError(
                f"no records in {directory}: {path.name} is missing\n"
                "expected: targets.parquet and scores.parquet, as a run leaves them\n"
                "remedy: `evil-twins run SUITE` first, or name its folder with --results"
            )
        return pd.DataFrame(columns=pd.Index(columns))
    frame = records.read(path)
    frame = frame.assign(**{new: nan for new in _NEWER.get(name, []) if new not in frame.columns})
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise UserError(
            f"{path} lacks the columns {', '.join(missing)}\n"
            "expected: records of this version\n"
            "remedy: run the suite again; stored cells are re-used"
        )
    _refuse_breaks(frame, path)
    return frame


def _refuse_breaks(frame: pd.DataFrame, path: Path) -> None:
    """A name of several lines would add to every table and page in which it stands."""
    for column in (name for name in _NAMES if name in frame.columns):
        for name in frame[column].dropna().unique():
            if len(str(name).splitlines()) > 1:
                raise UserError(
                    f"{path}: the {column} {str(name)[:60]!r} holds a line break\n"
                    "expected: names of one line, as a run leaves them\n"
                    "remedy: run the suite again"
                )


def _reported(targets: pd.DataFrame) -> pd.DataFrame:
    """The confirmatory targets, or all where a suite has none; a control may serve any list."""
    confirmatory = targets["list"] == "confirmatory"
    return targets[confirmatory] if confirmatory.any() else targets


def _numbered(frame: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The frame with `row` in place of its keys; what belongs to no reported row is left out."""
    numbers = rows[KEYS].reset_index(names="row")
    frame = frame.astype({key: rows[key].dtype for key in KEYS}) if frame.empty else frame
    return frame.merge(numbers, on=KEYS, how="inner").drop(columns=KEYS)


def _of_targets(frame: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Only what stands under a reported target, or under no single one."""
    kept = pd.MultiIndex.from_frame(targets[["row", "target_id"]])
    there = pd.MultiIndex.from_frame(frame[["row", "target_id"]]).isin(kept)
    return frame[there | (frame["target_id"] == "").to_numpy()]


def number(frames: dict[str, pd.DataFrame]) -> Records:
    """Records from frames with key columns, as `read` finds them on disk.

    Args:
        frames: "targets" and "scores", and any of the other frames of `Records`.
    """
    given = {
        name: frames.get(name, pd.DataFrame(columns=pd.Index(columns)))
        for name, columns in (_NEEDED | _OPTIONAL).items()
    }
    reported = _reported(given["targets"])
    natures = reported.drop_duplicates(KEYS)[[*KEYS, *records.NATURE]]
    rows = natures.sort_values(KEYS, ignore_index=True)
    targets = _numbered(reported, rows).sort_values(["row", "target_id"], ignore_index=True)
    rest = {
        name: _of_targets(_numbered(given[name], rows), targets)
        for name in ("flips", "scores", "details", "gallery")
    }
    order = ["row", "detector", "role", "target_id", "image_id"]
    rest["scores"] = rest["scores"].sort_values(order, ignore_index=True)
    return Records(rows, targets, **rest, failures=given["failures"], victims=given["victims"])


def read(results_dir: Path) -> Records:
    """The records of one suite.

    Args:
        results_dir: `<results>/<suite>`, where `run` leaves targets.parquet and scores.parquet.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    frames = {name: _frame(results_dir, name, c, needed=True) for name, c in _NEEDED.items()}
    frames |= {name: _frame(results_dir, name, c, needed=False) for name, c in _OPTIONAL.items()}
    found = number(frames)
    failures = results_dir / "failures.csv"
    if found.failures.empty and failures.exists():
        found = replace(found, failures=pd.read_csv(failures, dtype=str).fillna(""))
    return found

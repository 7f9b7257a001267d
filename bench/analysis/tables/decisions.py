"""Cells of the tables (a row under a detector), and who is flagged in them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.records import Records

ALPHA = stats.FPR
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Benign:
    """Scores of benign inputs under the faced models of a row.

    Attributes:
        score: (M,) scores.
        confidence: (M,) largest softmax output.
        owner: (M,) position of the target whose model it is, -1 where all face the victim.
    """

    score: Floats
    confidence: Floats
    owner: NDArray[np.intp]


@dataclass(frozen=True)
class Cell:
    """The scores of one detector on one row; attacked inputs are sorted by target.

    Attributes:
        row: Number of the row.
        detector: Label of the detector.
        knowledge: What it knows, K0 ... K3.
        target_id: (N,) the scored targets.
        score: (N,) their scores.
        confidence: (N,) largest softmax output of the faced model.
        at_kappa: (N,) the attack reached its efficacy.
        within_eps: (N,) it stayed within its radius.
        calibration: Benign inputs for the threshold.
        fresh: Other benign inputs, for the realised rate, AUROC and KS.
        unscored: Targets of the row without a score.
        broken: Scores that were not numbers: an attacked one counts as not flagged, a benign one
            is left out.
    """

    row: int
    detector: str
    knowledge: str
    target_id: NDArray[np.object_]
    score: Floats
    confidence: Floats
    at_kappa: Bools
    within_eps: Bools
    calibration: Benign
    fresh: Benign
    unscored: int
    broken: int

    @property
    def pool(self) -> Benign:
        """Both benign roles together: for what involves no threshold."""
        first, second = self.calibration, self.fresh
        return Benign(
            np.concatenate([first.score, second.score]),
            np.concatenate([first.confidence, second.confidence]),
            np.concatenate([first.owner, second.owner]),
        )


@dataclass(frozen=True)
class _Row:
    """What all cells of a row share, as arrays: slicing frames cell by cell takes seconds."""

    number: int
    facts: pd.DataFrame
    columns: dict[str, NDArray[np.object_]]
    score: Floats
    confidence: Floats
    kept: Bools

    def benign(self, at: Bools, index: "pd.Index[str]") -> Benign:
        at = at & self.kept & ~np.isnan(self.score)
        owner = index.get_indexer(pd.Index(self.columns["target_id"][at])).astype(np.intp)
        return Benign(self.score[at], self.confidence[at], owner)

    def cell(self, detector: str) -> Cell:
        mine = self.columns["detector"] == detector
        role = self.columns["role"]
        at = mine & (role == "attacked")
        names = self.columns["target_id"][at]
        position = self.facts.index.get_indexer(pd.Index(names))
        score = self.score[at]
        return Cell(
            row=self.number,
            detector=detector,
            knowledge=str(self.columns["knowledge"][mine][0]),
            target_id=names,
            score=np.where(np.isnan(score), -np.inf, score),
            confidence=self.confidence[at],
            at_kappa=self.facts["at_kappa"].to_numpy(dtype=bool)[position],
            within_eps=self.facts["within_eps"].to_numpy(dtype=bool)[position],
            calibration=self.benign(mine & (role == "calibration"), pd.Index(names)),
            fresh=self.benign(mine & (role == "fpr"), pd.Index(names)),
            unscored=len(self.facts) - len(names),
            broken=int(np.isnan(self.score[mine]).sum()),
        )


def cells(records: Records) -> Iterator[Cell]:
    """Every cell, by row and detector.

    An untouched row holds only correctly classified inputs, so its benign side does too.
    """
    facts = {row: part.set_index("target_id") for row, part in records.targets.groupby("row")}
    texts = ["detector", "role", "target_id", "knowledge"]
    for row, part in records.scores.groupby("row", sort=True):
        number = int(str(row))
        correct = part["correct"].to_numpy(dtype=bool)
        untouched = records.rows.at[number, "method"] == "untouched"
        shared = _Row(
            number=number,
            facts=facts[row],
            columns={name: part[name].to_numpy(dtype=object) for name in texts},
            score=part["score"].to_numpy(dtype=np.float64),
            confidence=part["confidence"].to_numpy(dtype=np.float64),
            kept=correct if untouched else np.ones(len(part), dtype=bool),
        )
        for detector in sorted(set(shared.columns["detector"])):
            yield shared.cell(str(detector))


def decisions(records: Records, alpha: float = ALPHA) -> pd.DataFrame:
    """Return `decide` of every cell of the records."""
    return decide(cells(records), alpha)


def decide(scored: Iterable[Cell], fpr: float) -> pd.DataFrame:
    """Decide who is flagged at a false-positive rate.

    Args:
        scored: The cells.
        fpr: Nominal false-positive rate.

    Returns:
        One line per row, detector and scored target: row, detector, target_id, flagged,
        rank (conformal rank in [0, 1] among the calibration scores of the same row).
    """
    parts = []
    for cell in scored:
        rule = stats.threshold(cell.calibration.score, fpr)
        part = {
            "row": cell.row,
            "detector": cell.detector,
            "target_id": cell.target_id,
            "flagged": cell.score > rule.value,
            "rank": stats.conformal_ranks(cell.score, cell.calibration.score),
        }
        parts.append(pd.DataFrame(part))
    columns = pd.Index(["row", "detector", "target_id", "flagged", "rank"])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

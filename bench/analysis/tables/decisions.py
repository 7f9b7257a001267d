"""Cells of the tables (a row under a detector), and the flagged targets in them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import any_of
from evil_twins.bench.analysis.tables.clusters import Clusters, cluster_count
from evil_twins.bench.analysis.tables.frames import column, flags
from evil_twins.bench.analysis.tables.records import Records


@dataclass(frozen=True)
class Benign:
    """Scores of benign inputs under the faced models of a row.

    Attributes:
        score: (M,) scores.
        confidence: (M,) largest softmax output.
        owner: (M,) position of the target that faces the same model, -1 for the victim.
    """

    score: stats.Floats
    confidence: stats.Floats
    owner: stats.Ints


@dataclass(frozen=True)
class Cell:
    """The scores of one detector on one row; attacked inputs are sorted by target.

    Attributes:
        row: Number of the row.
        detector: Label of the detector.
        knowledge: Its knowledge, K0 ... K3.
        target_id: (N,) the scored targets.
        score: (N,) their scores.
        confidence: (N,) largest softmax output of the faced model.
        at_kappa: (N,) whether the attack reached its efficacy.
        within_eps: (N,) whether it stayed within its radius.
        clusters: (N,) cluster of each target; None if no two share a poisoned model.
        calibration: Benign inputs for the threshold.
        fresh: Other benign inputs, for the realised rate, AUROC and KS.
        unscored: Number of targets of the row without a score.
        broken: Number of scores that were NaN: an attacked input then counts as not flagged, a
            benign one is skipped.
    """

    row: int
    detector: str
    knowledge: str
    target_id: NDArray[np.object_]
    score: stats.Floats
    confidence: stats.Floats
    at_kappa: stats.Bools
    within_eps: stats.Bools
    clusters: stats.Ints | None
    calibration: Benign
    fresh: Benign
    unscored: int
    broken: int

    def threshold(self, fpr: float) -> stats.Threshold:
        """Return the threshold at a nominal false-positive rate."""
        return stats.threshold(self.calibration.score, fpr)

    @property
    def models(self) -> int:
        """The number of clusters of targets that share a poisoned model; N if none do."""
        return cluster_count(self.clusters, len(self.score))

    @property
    def has_rate(self) -> bool:
        """Whether there are enough calibration scores for a rate; only "any" needs many."""
        return self.detector != any_of.NAME or len(self.calibration.score) >= any_of.CALIBRATION

    def rate(self, fpr: float) -> stats.Interval:
        """Return the detection rate at a nominal false-positive rate, for this model.

        It is NaN for a cell without a rate.
        """
        if not self.has_rate:
            return stats.UNKNOWN
        sides = self.score, self.calibration.score
        return stats.detection_rate(*sides, self.threshold(fpr), self.clusters)

    @property
    def auroc(self) -> stats.Interval:
        """The AUROC of attacked against fresh benign scores, with its interval."""
        return stats.auroc(self.score, self.fresh.score, self.fresh.owner, self.clusters)

    @property
    def pool(self) -> Benign:
        """The benign inputs of both roles, for statistics without a threshold."""
        sides = self.calibration, self.fresh
        return Benign(
            np.concatenate([side.score for side in sides]),
            np.concatenate([side.confidence for side in sides]),
            np.concatenate([side.owner for side in sides]),
        )


@dataclass(frozen=True)
class _Row:
    """Columns of a row's scores as arrays: slicing frames cell by cell takes seconds."""

    number: int
    clusters: Clusters
    facts: pd.DataFrame
    columns: dict[str, NDArray[np.object_]]
    score: stats.Floats
    confidence: stats.Floats
    valid: stats.Bools

    def benign(self, lines: stats.Ints, index: "pd.Index[str]") -> Benign:
        lines = lines[self.valid[lines] & ~np.isnan(self.score[lines])]
        owner = index.get_indexer(pd.Index(self.columns["target_id"][lines])).astype(np.intp)
        return Benign(self.score[lines], self.confidence[lines], owner)

    def cell(self, detector: str, scored: stats.Ints) -> Cell:
        """Return the cell of a detector, whose scores are the lines `scored`."""
        roles = self.columns["role"][scored]
        attacked = scored[roles == "attacked"]
        names = self.columns["target_id"][attacked]
        position = self.facts.index.get_indexer(pd.Index(names))
        score = self.score[attacked]
        return Cell(
            row=self.number,
            detector=detector,
            knowledge=str(self.columns["knowledge"][scored][0]),
            target_id=names,
            score=np.where(np.isnan(score), -np.inf, score),
            confidence=self.confidence[attacked],
            at_kappa=flags(self.facts, "at_kappa")[position],
            within_eps=flags(self.facts, "within_eps")[position],
            clusters=self.clusters.joint([self.number], list(names)),
            calibration=self.benign(scored[roles == "calibration"], pd.Index(names)),
            fresh=self.benign(scored[roles == "fpr"], pd.Index(names)),
            unscored=len(self.facts) - len(names),
            broken=int(np.isnan(self.score[scored]).sum()),
        )


def cells(records: Records) -> Iterator[Cell]:
    """Yield all cells by row and detector.

    A row that moves nothing holds only correctly classified inputs; so does its benign side.
    """
    facts = {row: targets.set_index("target_id") for row, targets in records.targets.groupby("row")}
    texts = ["role", "target_id", "knowledge"]
    for row, scores in records.scores.groupby("row", sort=True):
        number = int(str(row))
        untouched = records.rows.at[number, "moves"] == "nothing"
        columns = _Row(
            number=number,
            clusters=records.clusters,
            facts=facts[row],
            columns={name: scores[name].to_numpy(dtype=object) for name in texts},
            score=column(scores, "score"),
            confidence=column(scores, "confidence"),
            valid=flags(scores, "correct") if untouched else np.ones(len(scores), dtype=bool),
        )
        for detector, lines in sorted(scores.groupby("detector").indices.items()):
            yield columns.cell(str(detector), np.asarray(lines, dtype=np.intp))


def decide(scored: Iterable[Cell], fpr: float) -> pd.DataFrame:
    """Decide which targets are flagged at a false-positive rate.

    Args:
        scored: The cells.
        fpr: Nominal false-positive rate.

    Returns:
        One line per row, detector and scored target: row, detector, target_id, flagged,
        rank (conformal rank in [0, 1] among the calibration scores of the same row).
    """
    batch = list(scored)
    sizes = [len(cell.target_id) for cell in batch]
    flagged = [cell.score > cell.threshold(fpr).value for cell in batch]
    ranks = [stats.conformal_ranks(cell.score, cell.calibration.score) for cell in batch]
    # One frame of all cells: a frame takes longer than the decisions of a cell.
    return pd.DataFrame(
        {
            "row": np.repeat(np.array([cell.row for cell in batch], dtype=np.int64), sizes),
            "detector": np.repeat(np.array([c.detector for c in batch], dtype=object), sizes),
            "target_id": _joined([cell.target_id for cell in batch], object),
            "flagged": _joined(flagged, bool),
            "rank": _joined(ranks, float),
        }
    )


def _joined(parts: list[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=kind), *parts])

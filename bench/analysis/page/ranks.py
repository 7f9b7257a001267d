"""Attacked scores as ranks among calibration scores, from which a page can move a threshold."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import Analysis, text
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.decisions import Cell


@dataclass(frozen=True)
class Ranks:
    """The ranks of the attacked scores of one cell.

    A score is above the threshold, the r-th smallest of n calibration scores, if at least r of them
    are below it. So whole numbers decide as the scores do, at every false-positive rate.

    Attributes:
        limits: (n,) calibration scores, in rising order.
        rank: The r of the headline rate; n + 1 if there are too few scores for a threshold.
        below: (N,) number of calibration scores strictly below each attacked score.
        score: (N,) the attacked scores, for reading.
        places: Target -> its place in the arrays.
        models: Number of clusters of targets that share a poisoned model; N if none do.
        has_rate: Whether there are enough calibration scores for a rate.
        area: The AUROC of the OR of all detectors in words; "" of others.
    """

    limits: NDArray[np.float64]
    rank: int
    below: NDArray[np.intp]
    score: NDArray[np.float64]
    places: dict[str, int]
    models: int
    has_rate: bool
    area: str

    @property
    def n(self) -> int:
        """The number of calibration scores."""
        return len(self.limits)

    @property
    def flagged(self) -> int:
        """The number of targets that are flagged at the headline rate."""
        return int((self.below >= self.rank).sum())


RanksByCell = Mapping[tuple[int, str], Ranks]
"""Ranks by row and detector."""


def ranks(analysis: Analysis) -> RanksByCell:
    """Return the ranks of all cells; infinite scores have ranks as well."""
    return {place: _ranks(cell, analysis.fpr) for place, cell in analysis.cells.items()}


def _ranks(cell: Cell, fpr: float) -> Ranks:
    limits = np.sort(cell.calibration.score)
    below = np.searchsorted(limits, cell.score, side="left")
    places = {str(name): place for place, name in enumerate(cell.target_id)}
    rank = stats.threshold(np.arange(len(limits), dtype=np.float64), fpr).rank
    area = f"AUROC {text.number(cell.auroc.value, 2)}" if cell.detector == ANY else ""
    return Ranks(limits, rank, below, cell.score, places, cell.models, cell.has_rate, area)

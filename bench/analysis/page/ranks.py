"""Attacked scores as ranks among calibration scores: all that a page needs to move a threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.stats import FPR as ALPHA
from evil_twins.bench.analysis.tables.decisions import Cell


@dataclass(frozen=True)
class Ranks:
    """The attacked scores of one cell, told by their places alone.

    A score is above the threshold, the r-th smallest of n calibration scores, where at least r of
    them are below it. So whole numbers decide, at every false-positive rate, as the scores do.

    Attributes:
        n: Calibration scores.
        below: (N,) how many of them lie strictly below each attacked score.
        score: (N,) the attacked scores, for reading.
        at: Target -> its place in the arrays.
    """

    n: int
    below: NDArray[np.intp]
    score: NDArray[np.float64]
    at: dict[str, int]

    @property
    def rank(self) -> int:
        """The r of the headline rate; n + 1 where there are too few scores for a threshold."""
        return stats.threshold(np.arange(self.n, dtype=np.float64), ALPHA).rank

    @property
    def flagged(self) -> int:
        """Targets that are flagged at the headline rate."""
        return int((self.below >= self.rank).sum())


def ranks(cell: Cell) -> Ranks:
    """The ranks of a cell of the tables; infinite scores have theirs as well."""
    below = np.searchsorted(np.sort(cell.calibration.score), cell.score, side="left")
    at = {str(name): place for place, name in enumerate(cell.target_id)}
    return Ranks(len(cell.calibration.score), below, cell.score, at)

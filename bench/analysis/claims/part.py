"""Parts of a claim: a statistic of one victim, and its test over victims."""

from dataclasses import dataclass
from math import nan
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats

Floats = NDArray[np.float64]
Role = Literal["test", "condition", "beside"]


class Unmeasured(Exception):
    """Records of a victim for a statistic are missing; the message names them."""


class Excluded(Unmeasured):
    """The statistic does not concern this victim, which is then not counted."""


class Estimate(NamedTuple):
    """A statistic of one victim.

    Attributes:
        interval: The statistic with its 95 % interval over targets, for this model only; the ends
            are NaN if they were not computed.
        n: Number of targets.
        note: Remarks for the reader.
    """

    interval: stats.Interval
    n: int
    note: str = ""


@dataclass(frozen=True)
class Part:
    """One line of a claim.

    Attributes:
        name: The statistic in words.
        margin: The value that it is compared with.
        role: "test" counts on both sides; "condition" must be met for the claim to hold, but
            does not refute it; "beside" is shown and does not count.
        reading: Name of the reading of the claim that it belongs to; empty if there is only one.
        value: Mean of the statistic over victims; NaN if it was measured for none.
        low: Lower end of its 95 % interval: over victims, or over targets for a single victim.
        high: Upper end.
        p_above: One-sided p-value of lying at or below the margin: small means above. NaN with
            one victim, or if a victim lacks the statistic.
        p_below: The same of the other side.
        n: Number of targets of all victims.
        values: (V,) the statistic of each victim that has it, in the order of the seeds.
        missing: Number of victims that lack it and that it concerns.
        note: Remarks for the reader, or why it was not measured.
    """

    name: str
    margin: float
    role: Role = "test"
    reading: str = ""
    value: float = nan
    low: float = nan
    high: float = nan
    p_above: float = nan
    p_below: float = nan
    n: int = 0
    values: tuple[float, ...] = ()
    missing: int = 0
    note: str = ""

    @property
    def sign(self) -> str:
        """The side of the margin on which the value lies; empty if it was not measured."""
        if np.isnan(self.value):
            return ""
        return {1.0: "+", -1.0: "−"}.get(float(np.sign(self.value - self.margin)), "0")


def bootstrapped(value: float, samples: Floats, n: int, note: str = "") -> Estimate:
    """Return an estimate from a statistic and its (resamples,) samples, NaN where undefined."""
    undefined = int(np.isnan(samples).sum())
    words = f"undefined in {undefined} samples of {len(samples):,}" if undefined else ""
    remarks = "; ".join(filter(None, [note, words]))
    return Estimate(stats.percentile(value, samples), n, remarks)


def counted(k: int, n: int, note: str) -> Estimate:
    """Return an estimate from a share k / n, with Clopper–Pearson's interval."""
    return Estimate(stats.clopper_pearson(k, n), n, note)

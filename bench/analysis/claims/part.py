"""Parts of a claim: one statistic with its interval and its two one-sided p-values."""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from evil_twins.bench.analysis import stats

Floats = NDArray[np.float64]
Role = Literal["test", "condition", "beside"]


class Unmeasured(Exception):
    """Records for a statistic are missing; the message names them."""


class Estimate(NamedTuple):
    """A statistic with its bootstrap.

    Attributes:
        value: The statistic.
        samples: (resamples,) bootstrap samples of it; NaN where it is undefined.
        n: Number of targets.
        note: Remarks for the reader.
    """

    value: float
    samples: Floats
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
        value: The statistic; NaN if it was not measured.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p_above: One-sided p-value of lying at or below the margin: small means above.
        p_below: The same of the other side.
        n: Number of targets.
        note: Remarks for the reader, or why it was not measured.
    """

    name: str
    margin: float
    role: Role = "test"
    value: float = nan
    low: float = nan
    high: float = nan
    p_above: float = nan
    p_below: float = nan
    n: int = 0
    note: str = ""

    @property
    def sign(self) -> str:
        """The side of the margin on which the value lies; empty if it was not measured."""
        if np.isnan(self.value):
            return ""
        return {1.0: "+", -1.0: "−"}.get(float(np.sign(self.value - self.margin)), "0")


def counted(name: str, margin: float, k: int, n: int, note: str, role: Role = "test") -> Part:
    """Return a part from a share k / n: Clopper–Pearson's interval and the exact binomial test."""
    interval = stats.clopper_pearson(k, n)
    above = float(binomtest(k, n, margin, alternative="greater").pvalue)
    below = float(binomtest(k, n, margin, alternative="less").pvalue)
    return Part(name, margin, role, *interval, above, below, n, note)


def bootstrapped(
    name: str, margin: float, measure: Callable[[], Estimate], role: Role = "test"
) -> Part:
    """Return a part from a statistic and its bootstrap; `Unmeasured` becomes the note."""
    try:
        estimate = measure()
    except Unmeasured as missing:
        return Part(name, margin, role, note=str(missing))
    interval = stats.percentile(estimate.value, estimate.samples)
    above, below = stats.one_sided(estimate.samples, margin, estimate.n)
    undefined = int(np.isnan(estimate.samples).sum())
    words = f"undefined in {undefined} samples of {len(estimate.samples):,}" if undefined else ""
    note = "; ".join(filter(None, [estimate.note, words]))
    return Part(name, margin, role, *interval, above, below, estimate.n, note)

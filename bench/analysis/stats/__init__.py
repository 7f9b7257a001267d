"""Statistics of the tables: arrays in, numbers out; no torch, no files, no frames.

`scipy.stats` takes half a second to load and is imported where it is needed.
"""

from evil_twins.bench.analysis.stats.calibration import (
    FPR,
    Threshold,
    conformal_p,
    fpr_test,
    threshold,
)
from evil_twins.bench.analysis.stats.comparing import (
    Comparison,
    conformal_ranks,
    mcnemar,
    paired_difference,
    signed_rank,
    trend,
)
from evil_twins.bench.analysis.stats.crossed import crossed, image_draws
from evil_twins.bench.analysis.stats.rates import UNKNOWN, Interval, clopper_pearson, holm
from evil_twins.bench.analysis.stats.resampling import (
    RESAMPLES,
    draws,
    mean_interval,
    one_sided,
    percentile,
    ratio_interval,
)
from evil_twins.bench.analysis.stats.separation import (
    auroc,
    equal_share,
    ks,
    ks_null,
    ks_resampled,
    mann_whitney,
    matched,
)

__all__ = [
    "FPR",
    "RESAMPLES",
    "UNKNOWN",
    "Comparison",
    "Interval",
    "Threshold",
    "auroc",
    "clopper_pearson",
    "conformal_p",
    "conformal_ranks",
    "crossed",
    "draws",
    "equal_share",
    "fpr_test",
    "holm",
    "image_draws",
    "ks",
    "ks_null",
    "ks_resampled",
    "mann_whitney",
    "matched",
    "mcnemar",
    "mean_interval",
    "one_sided",
    "paired_difference",
    "percentile",
    "ratio_interval",
    "signed_rank",
    "threshold",
    "trend",
]

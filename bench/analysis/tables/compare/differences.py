"""Comparisons of two sides that decide on the same targets."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.frames import frame

DIFFERENCE = ["n", "both", "only", "only_other", "difference", "low", "high", "p", "p_holm"]


def differ(first: stats.Bools, second: stats.Bools) -> dict[str, float]:
    """Compare the decisions of two sides: `DIFFERENCE`, without the correction.

    `difference` is the first rate minus the second (Tango's interval), `p` that of McNemar's exact
    test.

    Args:
        first: (N,) decisions.
        second: (N,) decisions on the same targets, in the same order.
    """
    test, gap = stats.mcnemar(first, second), stats.paired_difference(first, second)
    return {
        "n": len(first),
        "both": int((first & second).sum()),
        "only": test.first,
        "only_other": test.second,
        "difference": gap.value,
        "low": gap.low,
        "high": gap.high,
        "p": test.p,
    }


def corrected(lines: Iterable[Mapping[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Return comparisons as a frame, with p-values corrected over all of them."""
    table = frame(lines, columns)
    return table.assign(p_holm=stats.holm(table["p"].to_numpy(dtype=np.float64)))

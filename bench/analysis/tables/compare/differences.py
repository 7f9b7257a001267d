"""Two sides that decide on the same targets, and how far apart they are."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats

DIFFERENCE = ["n", "both", "only", "only_other", "difference", "low", "high", "p", "p_holm"]

Bools = NDArray[np.bool_]


def differ(mine: Bools, other: Bools) -> dict[str, float]:
    """One side's decisions and the other's: `DIFFERENCE`, but for the correction.

    `difference` is the rate of the one minus that of the other (Tango's interval), `p` that of
    McNemar's exact test.

    Args:
        mine: (N,) decisions.
        other: (N,) decisions on the same targets, in the same order.
    """
    test, gap = stats.mcnemar(mine, other), stats.paired_difference(mine, other)
    return {
        "n": len(mine),
        "both": int((mine & other).sum()),
        "only": test.first,
        "only_other": test.second,
        "difference": gap.value,
        "low": gap.low,
        "high": gap.high,
        "p": test.p,
    }


def corrected(lines: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """A frame of comparisons, p-values corrected over all of them."""
    table = pd.DataFrame(lines, columns=pd.Index(columns))
    table["p_holm"] = stats.holm(table["p"].to_numpy(dtype=np.float64))
    return table

"""The price of evasion: what an attacker who knows detectors pays beside one who does not."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import stats
from bench.tables.frames import column, line
from bench.tables.load import KEYS, STUDY, Records

Floats = NDArray[np.float64]

AWARE = "aware"
OBLIVIOUS = ("imc", "pgd", "poisoning")
"""The methods that an aware attack is set beside: the same but for what it knows."""

UNIT = [*STUDY, "kappa", "phi"]
LOSSES = ("linf", "specificity", "kl")
COLUMNS = [*KEYS, "against", "n"]
COLUMNS += [f"{loss}{end}" for loss in LOSSES for end in ("", "_low", "_high")]


def price(records: Records, samples: dict[int, Floats]) -> pd.DataFrame:
    """One line per aware row that has an oblivious one of the same κ and φ on the same targets.

    `linf`, `specificity` and `kl` are what it loses more, in pixels of [0, 1], as a share of R and
    in nats, with 95 % intervals: of paired differences over targets, and for the specificity loss
    of the crossed bootstrap that both rows share. What that buys stands in the detection table.

    Args:
        records: The records; without aware rows the table is empty.
        samples: `specificity_samples` of them.
    """
    rows = records.rows
    beside = rows[rows["method"].isin(OBLIVIOUS)]
    found = []
    for number, row in rows[rows["method"].eq(AWARE)].iterrows():
        for other in beside.index[(beside[UNIT] == row[UNIT]).all(axis=1)]:
            layers = {str(row["layers"]), "none"} if row["phi"] == 1 else {str(row["layers"])}
            mine, theirs = (
                records.targets[records.targets["row"] == one].set_index("target_id").sort_index()
                for one in (number, other)
            )
            if str(beside.loc[other, "layers"]) in layers and mine.index.equals(theirs.index):
                own = line(rows[KEYS], int(str(number)))
                key = own | {"against": beside.loc[other, "attack"], "n": len(mine)}
                pair = samples.get(int(str(number))), samples.get(int(str(other)))
                found.append(key | _more(mine, theirs, *pair))
    return pd.DataFrame(found, columns=pd.Index(COLUMNS))


def _more(
    mine: pd.DataFrame, theirs: pd.DataFrame, own: Floats | None, other: Floats | None
) -> dict[str, float]:
    share = (mine["flipped"].sum() - theirs["flipped"].sum()) / max(1, mine["heldout"].sum())
    both = np.empty(0) if own is None or other is None else own - other
    intervals = {
        "linf": stats.mean_interval(column(mine, "linf") - column(theirs, "linf")),
        "specificity": stats.percentile(float(share), both),
        "kl": stats.mean_interval(column(mine, "kl") - column(theirs, "kl")),
    }
    return {
        f"{loss}{end}": value
        for loss, one in intervals.items()
        for end, value in (("", one.value), ("_low", one.low), ("_high", one.high))
    }

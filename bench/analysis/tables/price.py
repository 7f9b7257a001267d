"""The price of evasion: what an attacker who knows detectors pays beside one who does not."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.frames import column, lines
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records

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
    rows = records.rows[records.rows["phi"].notna()].rename_axis("own").reset_index()
    aware, oblivious = rows[rows["method"].eq(AWARE)], rows[rows["method"].isin(OBLIVIOUS)]
    pairs = aware.merge(oblivious, on=UNIT, suffixes=("", "_other"))
    # PGD changes no layer; it is the end of every sweep.
    alike = pairs["layers_other"].isin(["none"]) | pairs["layers_other"].eq(pairs["layers"])
    of = dict(iter(records.targets.set_index("target_id").sort_index().groupby("row")))
    found = []
    for pair in lines(pairs[alike]):
        own, other = int(pair["own"]), int(pair["own_other"])
        mine, theirs = of[own], of[other]
        if mine.index.equals(theirs.index):
            key = {name: pair[name] for name in KEYS}
            key |= {"against": pair["attack_other"], "n": len(mine)}
            found.append(key | _more(mine, theirs, samples.get(own), samples.get(other)))
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


PRICE = Table("price", lambda of: price(of.records, of.specificity_samples), optional=True)

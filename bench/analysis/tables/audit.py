"""The audit of the endpoints: are the pure attacks as good as the best that is known?

The losses of a whole sweep are divided by those of its pure attacks, so a slack one bends every
curve. Any other attack on inputs alone that a suite runs at the same norm and κ is a rival of PGD;
the convex optimum is the yardstick of Poisoning the last layer. How far from it other attacks on
the last layer alone end stands beside that and is not judged.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.families import CONTROLS, IMC, PGD, POISONING
from evil_twins.bench.analysis.tables.frames import column, line
from evil_twins.bench.analysis.tables.records import STUDY, Records

Floats = NDArray[np.float64]

CONVEX = "convex-head"
BEST = "best"
RADIUS_BOUND = 1.05
"""The largest median of PGD's radius over the best rival's, target by target, that passes."""

KL_BOUND = 1.1
"""The same for KL on the reference: head-only Poisoning over the convex optimum."""

COLUMNS = [*STUDY, "kappa", "attack", "quantity", "against", "n", "median", "p90", "wins"]
COLUMNS += ["bound", "passed", "duality_gap"]


def audit(records: Records) -> pd.DataFrame:
    """Ratios of an endpoint's loss to its rivals', one line per endpoint and rival.

    `quantity` is the norm whose radius is compared, or "kl". `against` names the rival; "best" is
    the best of all rivals for each target, and `wins` how often a rival was that. `median` and
    `p90` are over the n targets at κ under some attack of the comparison; a target that the
    endpoint alone misses counts as infinite, one that only the endpoint reaches as 0. `bound` and
    `passed` stand on the lines that are judged. `duality_gap` is the median of (KL - lower bound)
    / KL of the convex optimum.

    Args:
        records: The records; without endpoints and rivals the table is empty.
    """
    found = [
        one
        for _, rows in records.rows.groupby([*STUDY, "kappa"], sort=True)
        for one in (*_radii(records, rows), *_kls(records, rows))
    ]
    return pd.DataFrame(found, columns=pd.Index(COLUMNS))


def _radii(records: Records, rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    norms = records.targets.groupby("row")["norm"].first().reindex(rows.index)
    alone = rows[rows["layers"].eq("none") & norms.ne("")]
    for row in alone.index[alone["method"].eq(PGD)]:
        norm = str(norms[row])
        same = alone[norms[alone.index].eq(norm) & ~alone["method"].isin([PGD, IMC, *CONTROLS])]
        if same.empty:
            continue
        losses = _losses(records, [int(row), *map(int, same.index)], norm)
        own, rivals = losses[:, 0], losses[:, 1:]
        wins = np.bincount(rivals.argmin(1), minlength=rivals.shape[1])
        key = line(records.rows[[*STUDY, "kappa", "attack"]], int(row)) | {"quantity": norm}
        yield key | {"against": BEST} | _judged(own, rivals.min(1), RADIUS_BOUND)
        for name, loss, won in zip(same["attack"], rivals.T, wins, strict=True):
            yield key | {"against": name, "wins": int(won)} | _ratio(own, loss)


def _kls(records: Records, rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    optima = rows.index[rows["method"].eq(CONVEX)]
    norms = records.targets.groupby("row")["norm"].first().reindex(rows.index)
    alone = rows[rows["layers"].eq("head") & norms.eq("") & ~rows["method"].isin(CONTROLS)]
    for row in alone.index.difference(optima):
        key = line(records.rows[[*STUDY, "kappa", "attack"]], int(row)) | {"quantity": "kl"}
        judged = bool(rows.at[row, "method"] == POISONING)
        for optimum in optima:
            losses = _losses(records, [int(row), int(optimum)], "kl_reference")
            part = records.targets[records.targets["row"].eq(optimum)]
            kl = column(part, "kl_reference")
            gap = float(np.median(1 - column(part, "kl_bound") / kl))
            against = {"against": rows.at[optimum, "attack"], "duality_gap": gap}
            own, best = losses.T
            yield key | against | (_judged(own, best, KL_BOUND) if judged else _ratio(own, best))


def _losses(records: Records, rows: list[int], name: str) -> Floats:
    """(targets, rows) losses over the targets that the rows share; infinite where κ is missed."""
    some = records.targets[records.targets["row"].isin(rows)]
    some = some.assign(loss=some[name].where(some["at_kappa"], np.inf))
    wide = some.pivot(index="target_id", columns="row", values="loss")[rows].dropna()
    return wide.to_numpy(dtype=np.float64)


def _ratio(own: Floats, other: Floats) -> dict[str, float]:
    known = np.isfinite(own) | np.isfinite(other)
    own, other = own[known], other[known]
    if not len(own):
        return {"n": 0, "median": np.nan, "p90": np.nan}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.isinf(own), np.inf, own / other)
    p90 = np.quantile(ratio, 0.9, method="higher")  # interpolation would subtract infinities
    return {"n": len(ratio), "median": float(np.median(ratio)), "p90": float(p90)}


def _judged(own: Floats, other: Floats, bound: float) -> dict[str, Any]:
    found = _ratio(own, other)
    return found | {"bound": bound, "passed": found["median"] <= bound}


AUDIT = Table("audit", lambda of: audit(of.records), optional=True)

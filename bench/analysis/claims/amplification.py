"""Claim h: a little of both losses does more than the sum of a little of each."""

from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis.claims.evidence import PURE, Evidence
from evil_twins.bench.analysis.claims.part import Estimate, Unmeasured
from evil_twins.bench.analysis.claims.rules import Efficacy, Rules
from evil_twins.bench.analysis.claims.statistic import Statistic, by_victim
from evil_twins.bench.analysis.tables.text import short

Floats = NDArray[np.float64]


def interaction(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistics of claim h, one for each reading of δ."""
    rule = rules.claims["h"]
    return [
        Statistic(
            f"interaction in log-odds, half of {unit}",
            rule.margins["interaction"],
            by_victim(partial(_interaction, rule.labels["θ°"], label)),
            reading=unit,
        )
        for unit, label in rule.labels.items()
        if unit != "θ°"
    ]


def _interaction(input_only: str, joint: str, of: Evidence) -> Estimate:
    """Estimate L(ε, δ) - L(ε, 0) - L(0, δ) + L(0, 0) over targets.

    Raises:
        Unmeasured: A row or an endpoint was not run, or a target has no log-odds.
    """
    layers, levels = str(of.scope.key["layers"]), of.rules.claims["h"].levels
    rows = [_row(of, label, layers, phi) for label in (input_only, joint) for phi in levels]
    ends = of.reached([of.scope.row(of.kappa, phi) for phi in PURE])
    counts = of.targets(rows)["target_id"].value_counts()
    names: pd.Index[str] = ends[ends.isin(counts.index[counts == len(rows)])]
    if names.empty:
        raise Unmeasured("no target is in every row")
    odds = of.column(rows, names, "log_odds")
    if not np.isfinite(odds).all():
        raise Unmeasured("records without log-odds: run the suite again")
    gain: Floats = odds[:, 3] - odds[:, 1] - odds[:, 2] + odds[:, 0]
    means = "mean log-odds: neither {:.1f}, ε {:.1f}, δ {:.1f}, both {:.1f}"
    return of.mean(gain, means.format(*odds.mean(axis=0)))


def _row(of: Evidence, label: str, layers: str, phi: float) -> int:
    rows = of.labelled(label, ["none", layers])
    rows = rows[rows["phi"].eq(phi)]
    if rows.empty:
        raise Unmeasured(f"{label!r} was not run at φ {short(phi)}")
    return int(rows.index[0])

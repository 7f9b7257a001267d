"""Claim i: a model step at the x of Algorithm 1 lowers the least loss within the input's budget."""

from functools import partial

import numpy as np

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Estimate, Role, Unmeasured, counted
from evil_twins.bench.analysis.claims.rules import Efficacy, Rules
from evil_twins.bench.analysis.claims.statistic import Statistic, by_victim


def descent(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistics of claim i; a random direction of equal norm is for comparison."""
    rule = rules.claims["i"]
    forms: dict[str, Role] = {"θ − ηg": "test", "θ − a random step": "beside"}
    return [
        Statistic(
            f"share with V({step}) < V(θ)",
            rule.margins["share"],
            by_victim(partial(_share, rule.labels["θ"], rule.labels[step])),
            role,
        )
        for step, role in forms.items()
    ]


def _share(before: str, after: str, of: Evidence) -> Estimate:
    """Count the shared targets whose V falls; equal values count against.

    Raises:
        Unmeasured: A row was not run, or no target is in both.
    """
    layers = [str(of.scope.key["layers"])]
    rows = [int(of.labelled(label, layers).index[0]) for label in (before, after)]
    wide = of.targets(rows).pivot(index="target_id", columns="row", values="confidence")
    wide = wide[rows].dropna()
    if wide.empty:
        raise Unmeasured("no target is in both rows")
    confidence = wide.to_numpy(dtype=np.float64)
    k, n = int((confidence[:, 1] > confidence[:, 0]).sum()), len(confidence)
    first, second = -np.log(confidence).mean(axis=0)
    return counted(k, n, f"{k} of {n}; mean V {first:.4g} → {second:.4g}")

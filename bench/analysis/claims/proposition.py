"""Claim i: a model step at the x of Algorithm 1 lowers the least loss within the input's budget."""

import numpy as np

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Part, Role, Unmeasured, counted


def descent(of: Evidence) -> list[Part]:
    """Compute the parts of claim i; a random direction of equal norm is for comparison."""
    forms: dict[str, Role] = {"θ − ηg": "test", "θ − a random step": "beside"}
    return [_part(of, step, role) for step, role in forms.items()]


def _part(of: Evidence, step: str, role: Role) -> Part:
    """Count the shared targets whose V falls; equal values count against."""
    rule = of.rules.claims["i"]
    name, margin = f"share with V({step}) < V(θ)", rule.margins["share"]
    try:
        layers = [str(of.scope.key["layers"])]
        rows = [of.labelled(rule.labels[form], layers).index[0] for form in ("θ", step)]
    except Unmeasured as missing:
        return Part(name, margin, role, note=str(missing))
    wide = of.targets(rows).pivot(index="target_id", columns="row", values="confidence")
    wide = wide[rows].dropna()
    if wide.empty:
        return Part(name, margin, role, note="no target is in both rows")
    confidence = wide.to_numpy(dtype=np.float64)
    k, n = int((confidence[:, 1] > confidence[:, 0]).sum()), len(confidence)
    first, second = -np.log(confidence).mean(axis=0)
    note = f"{k} of {n}; mean V {first:.4g} → {second:.4g}"
    return counted(name, margin, k, n, note, role)

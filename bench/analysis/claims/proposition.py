"""Whether a model step at Algorithm 1's own x lowers the least loss within reach of the input."""

import numpy as np

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Part, Role, Unmeasured, counted


def descent(of: Evidence) -> list[Part]:
    """Claim i; a random direction of equal norm stands beside."""
    forms: dict[str, Role] = {"θ − ηg": "test", "θ − a random step": "beside"}
    return [_part(of, moved, role) for moved, role in forms.items()]


def _part(of: Evidence, moved: str, role: Role) -> Part:
    """The share of all shared targets of which V falls; equal values count against."""
    rule = of.rules.claims["i"]
    name, margin = f"share with V({moved}) < V(θ)", rule.margins["share"]
    try:
        layers = [str(of.scope.key["layers"])]
        found = [of.labelled(rule.labels[one], layers).index[0] for one in ("θ", moved)]
    except Unmeasured as missing:
        return Part(name, margin, role, note=str(missing))
    some = of.records.targets[of.records.targets["row"].isin(found)]
    wide = some.pivot(index="target_id", columns="row", values="confidence")[found].dropna()
    if wide.empty:
        return Part(name, margin, role, note="no target is in both rows")
    confidence = wide.to_numpy(dtype=np.float64)
    k, n = int((confidence[:, 1] > confidence[:, 0]).sum()), len(confidence)
    first, second = -np.log(confidence).mean(axis=0)
    note = f"{k} of {n}; mean V {first:.4g} → {second:.4g}"
    return counted(name, margin, k, n, note, role)

"""Claim g: Algorithm 1 converges in few rounds in the form of the paper."""

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Part, Unmeasured, counted
from evil_twins.bench.analysis.tables.frames import column


def rounds(of: Evidence) -> list[Part]:
    """Compute the parts of claim g, one for each row under its labels."""
    rule, parts = of.rules.claims["g"], []
    for form, label in rule.labels.items():
        title = f"at κ in < {rule.limit} rounds, {form}"
        try:
            rows = of.labelled(label, [of.scope.key["layers"]])
        except Unmeasured as missing:
            parts.append(Part(title, rule.margins["share"], note=str(missing)))
        else:
            parts += [_share(of, int(row), title) for row in rows.index]
    return parts


def _share(of: Evidence, row: int, title: str) -> Part:
    rule = of.rules.claims["g"]
    targets = of.targets([row])
    rounds, reached = column(targets, "rounds"), targets["at_kappa"].to_numpy(dtype=bool)
    k, n = int((reached & (rounds >= 0) & (rounds < rule.limit)).sum()), len(targets)
    note = f"{k} of {n}, {int((~reached).sum())} never at κ"
    return counted(title, rule.margins["share"], k, n, note)

"""How many rounds Algorithm 1 needs in the paper's own form."""

from scipy.stats import binomtest

from bench import stats
from bench.claims.evidence import Evidence
from bench.claims.part import Part
from bench.tables.frames import column
from bench.tables.load import STUDY
from bench.tables.text import short


def rounds(of: Evidence) -> list[Part]:
    """Claim g; every row of one of the labels is a part."""
    rule, kappa = of.rules.claims["g"], of.rules.primary.kappa
    rows = of.records.rows
    for name in (*STUDY, "layers"):
        rows = rows[rows[name].eq(of.scope.key[name])]
    parts = []
    for form, label in rule.labels.items():
        found = rows.index[rows["attack"].eq(label) & rows["kappa"].eq(kappa)]
        title = f"at κ in < {rule.limit} rounds, {form}"
        if found.empty:
            note = f"no attack {label!r} at κ {short(kappa)}"
            parts.append(Part(title, rule.margins["share"], note=note))
        parts += [_share(of, int(row), title) for row in found]
    return parts


def _share(of: Evidence, row: int, title: str) -> Part:
    rule = of.rules.claims["g"]
    targets = of.records.targets[of.records.targets["row"] == row]
    taken, reached = column(targets, "rounds"), targets["at_kappa"].to_numpy(dtype=bool)
    k, n = int((reached & (taken >= 0) & (taken < rule.limit)).sum()), len(targets)
    margin, interval = rule.margins["share"], stats.clopper_pearson(k, n)
    above = float(binomtest(k, n, margin, alternative="greater").pvalue)
    below = float(binomtest(k, n, margin, alternative="less").pvalue)
    missed = int((~reached).sum())
    note = f"{k} of {n}, {missed} never at κ"
    return Part(title, margin, "test", *interval, above, below, n, note)

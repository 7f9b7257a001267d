"""Claim g: Algorithm 1 converges in few rounds."""

from functools import partial

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Estimate, counted
from evil_twins.bench.analysis.claims.rules import Efficacy, Rules
from evil_twins.bench.analysis.claims.statistic import Statistic, by_victim
from evil_twins.bench.analysis.tables.frames import column


def rounds(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistics of claim g, one for each reading of a round."""
    rule = rules.claims["g"]
    return [
        Statistic(
            f"at κ in < {rule.limit} rounds, {form}",
            rule.margins["share"],
            by_victim(partial(_share, label)),
            reading=form,
        )
        for form, label in rule.labels.items()
    ]


def _share(label: str, of: Evidence) -> Estimate:
    row = int(of.labelled(label, [of.scope.key["layers"]]).index[0])
    targets = of.targets([row])
    rounds, reached = column(targets, "rounds"), targets["at_kappa"].to_numpy(dtype=bool)
    limit = of.rules.claims["g"].limit
    k, n = int((reached & (rounds >= 0) & (rounds < limit)).sum()), len(targets)
    return counted(k, n, f"{k} of {n}, {int((~reached).sum())} never at κ")

"""Claim k: a trigger that is bent with the model costs less than a fixed one of its size."""

from functools import partial

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Estimate, Unmeasured
from evil_twins.bench.analysis.claims.rules import Efficacy, Rules
from evil_twins.bench.analysis.claims.statistic import Statistic, by_victim
from evil_twins.bench.analysis.tables.records import STUDY
from evil_twins.bench.analysis.tables.text import short
from evil_twins.bench.analysis.tables.triggers import TRIGGERS


def twins(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistics of claim k, one for each φ; a trigger has no κ."""
    rule = rules.claims["k"]
    return [
        Statistic(
            f"log of mean KL, fixed / IMC, φ {short(phi)}",
            rule.margins["log_ratio"],
            by_victim(partial(_ratio, phi)),
        )
        for phi in rule.levels
    ]


def _ratio(phi: float, of: Evidence) -> Estimate:
    joint, fixed = (_triggers(label, phi, of) for label in of.rules.claims["k"].labels.values())
    if set(joint["group"]) != set(fixed["group"]):
        raise Unmeasured(f"other goals for both triggers at φ {short(phi)}")
    missed = int((~joint["at_rate"]).sum() + (~fixed["at_rate"]).sum())
    if missed:
        raise Unmeasured(f"{missed} triggers miss the success rate at φ {short(phi)}")
    kl = [float(table["kl"].mean()) for table in (joint, fixed)]
    if min(kl) <= 0:
        raise Unmeasured("a model that differs nowhere on R: nothing to divide by")
    return Estimate(stats.Interval(float(np.log(kl[1] / kl[0])), np.nan, np.nan), len(joint))


def _triggers(label: str, phi: float, of: Evidence) -> pd.DataFrame:
    """Return the triggers of a row of this victim.

    Raises:
        Unmeasured: There are none.
    """
    table = of.analysis.table(TRIGGERS)
    for name in STUDY:
        table = table[table[name].eq(of.scope.key[name])]
    table = table[table["attack"].eq(label) & np.isclose(table["phi"], phi)]
    if table.empty:
        raise Unmeasured(f"no attack {label!r} at φ {short(phi)}")
    return table

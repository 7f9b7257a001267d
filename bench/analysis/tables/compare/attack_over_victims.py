"""Compare new attacks with those of a suite, over the victims of its recipe."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.compare import attack
from evil_twins.bench.analysis.tables.compare.differences import KS, Tables
from evil_twins.bench.analysis.tables.frames import column, ends, frame, lines, spread
from evil_twins.bench.analysis.tables.population import POPULATION, over_victims
from evil_twins.bench.analysis.tables.recipes import MEAN, RECIPE, numbered, populations

COSTS = "linf", "l2", "delta", "specificity", "kl", "accuracy_drop", "passes"
"""The columns of the table of attacks that are averaged over victims."""


def tables(analysis: Analysis) -> Tables:
    """Compare new attacks with the others over victims.

    Args:
        analysis: The numbers, those of the new ones among them.

    Returns:
        "compare" and "detection", the tables of attacks and of detection for each victim;
        "costs" and "population", the same over victims.
    """
    single = attack.tables(analysis)
    columns = [*RECIPE, "victims", "n", "at_kappa", *" ".join(map(ends, COSTS)).split()]
    return single | {
        "costs": frame(_costs(single["compare"]), columns),
        "population": frame(over_victims(single["detection"]), POPULATION.names),
    }


def _costs(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the costs of each attack that several victims have."""
    for key, victims in table.groupby(RECIPE, dropna=False, sort=True):
        if len(victims) > 1:
            yield {
                **dict(zip(RECIPE, key, strict=True)),
                "victims": len(victims),
                **{name: int(victims[name].sum()) for name in ("n", "at_kappa")},
                **{k: v for name in COSTS for k, v in spread(name, _mean(victims, name)).items()},
            }


def _mean(victims: pd.DataFrame, name: str) -> stats.Interval:
    """Return the mean of a cost over victims; only the drop of accuracy can be below 0."""
    mean = stats.mean_over_victims(column(victims, name))
    return mean if name == "accuracy_drop" else mean._replace(low=np.maximum(mean.low, 0.0))


def words(analysis: Analysis, tables: Tables, labels: Sequence[str], rivals: Sequence[str]) -> str:
    """Write new attacks under every detector over victims, and their costs."""
    fpr, population = text.percent(analysis.fpr), tables["population"]
    ((title, _, rows),) = populations(analysis.records.rows)
    rows = rows[rows["attack"].isin([*labels, *rivals])]
    costs = {line["row"]: line for line in lines(numbered(rows, tables["costs"]))}
    new = population[population["attack"].isin(labels)]
    blocks = [
        f"# {', '.join(labels)} and the other attacks\n\n{title}. Targets are those of all "
        "victims, and AUROC and KS are means over victims; in brackets 95 % intervals "
        f"{MEAN}: of Korn and Graubard for rates, of Student's t for means. Success: at κ, within "
        f"ε and not flagged at a false-positive rate (FPR) of {fpr}. The numbers of each victim "
        "are in `compare.csv` and `detection.csv`, also where only one victim has the attack.\n",
        attack.detectors(new, RECIPE, analysis.fpr, KS),
        attack.matrix(rows, costs, numbered(rows, population), analysis.fpr, labels),
        "\nCosts are means over victims of the means over targets, disagreement with its t "
        f"interval {MEAN}; under each detector the targets of all victims that are flagged at an "
        f"FPR of {fpr}, in %.\n\n",
    ]
    return "".join([*blocks, text.failures(analysis.records)])

"""Differences between each new detector and each other one, on the same targets."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.compare.differences import Cell, differ
from evil_twins.bench.analysis.tables.compare.groups import Compared, Per
from evil_twins.bench.analysis.tables.frames import by_name, ends, frame, holm_within
from evil_twins.bench.analysis.tables.paired_over_victims import DIFFERENCES, differences

NAMES = ["detector", "against"]
COLUMNS = [*NAMES, "n", *("p_corrected" if name == "p_max_t" else name for name in DIFFERENCES)]
COLUMNS += ["needed"]
Pair = tuple[str, str]


def partners(labels: Sequence[str], rivals: Sequence[str]) -> list[Pair]:
    """Return each new detector with each later one and each rival."""
    return [
        (label, other)
        for place, label in enumerate(labels)
        for other in (*labels[place + 1 :], *rivals)
    ]


def pairs(compared: Compared, per: Per, names: Sequence[Pair]) -> pd.DataFrame:
    """Average the differences within each victim over victims.

    `p` is by sign flips, `p_corrected` over all pairs in one group of attacks; `needed` is the
    number of victims with which such a difference is probably significant.
    """
    keys = [*per.keys, *NAMES]
    sides = [
        line | {"n": len(both), "value": both[first].mean(), "other": both[second].mean()}
        for line, (first, second), both in _shared(compared, [*per.keys, "seed"], names)
    ]
    table = frame(sides, [*keys, "seed", "n", "value", "other"])
    # All pairs in one group are a family of tests.
    table = table.assign(family=table.groupby(per.keys, dropna=False).ngroup())
    gaps = table.assign(gap=table["value"] - table["other"]).groupby(keys, dropna=False)
    facts = gaps.agg(n=("n", "sum"), needed=("gap", _needed)).reset_index()
    means = frame(differences(table, keys), [*keys, *DIFFERENCES])
    means = means.rename(columns={"p_max_t": "p_corrected"})
    return means.merge(facts, on=keys)[[*per.keys, *COLUMNS]]


def _needed(gaps: "pd.Series[float]") -> float:
    return stats.victims_needed(np.asarray(gaps, dtype=np.float64))


def pairs_of_one(compared: Compared, per: Per, names: Sequence[Pair]) -> pd.DataFrame:
    """Compare on the targets of the only victim; see `pairs`.

    The interval is Tango's and `p` McNemar's where a target is caught or not. Where it has a share
    of several attacks, they are those of Student's t and of sign flips over targets.
    """
    lines = [
        line | {"victims": 1} | _on_targets(both[first].to_numpy(), both[second].to_numpy())
        for line, (first, second), both in _shared(compared, per.keys, names)
    ]
    table = frame(lines, [*per.keys, *COLUMNS])
    return table.assign(p_corrected=holm_within(table, per.keys, "p")) if len(table) else table


def _on_targets(first: stats.Floats, second: stats.Floats) -> Cell:
    sides = np.stack([first, second])
    line = {"n": len(first), "mean": first.mean(), "mean_other": second.mean()}
    if np.isin(sides, (0, 1)).all():
        gap = differ(*sides.astype(bool))
        interval = gap["difference"], gap["low"], gap["high"]
        return line | by_name(ends("difference"), interval) | {"p": gap["p"]}
    gaps = first - second
    _, low, high = stats.mean_over_victims(gaps)
    interval = float(gaps.mean()), max(-1.0, low), min(1.0, high)
    return line | by_name(ends("difference"), interval) | {"p": float(stats.sign_flips(gaps))}


def _shared(
    compared: Compared, keys: list[str], names: Sequence[Pair]
) -> Iterator[tuple[Cell, Pair, pd.DataFrame]]:
    """Yield keys and pair, and the columns of both detectors with a line per common target."""
    for values, group in compared.caught.groupby(keys, dropna=False, sort=True):
        wide = group.pivot(index="target_id", columns="detector", values="caught")
        for first, second in names:
            if {first, second} <= {*wide.columns}:
                both = wide[[first, second]].dropna()
                if len(both):
                    line = dict(zip([*keys, *NAMES], (*values, first, second), strict=True))
                    yield line, (first, second), both

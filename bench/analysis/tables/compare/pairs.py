"""Differences between each new detector and each other one, on the same targets."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.compare.differences import Cell, differ
from evil_twins.bench.analysis.tables.compare.groups import Compared, Per, rows_of
from evil_twins.bench.analysis.tables.frames import by_name, ends, frame, holm_within, line
from evil_twins.bench.analysis.tables.records import Records
from evil_twins.bench.analysis.tables.victim_differences import DIFFERENCES, differences

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
    groups, wide = _wide(compared, [*per.keys, "seed"])
    sides = []
    for first, second in _present(names, wide):
        both = wide[[first, second]].dropna().groupby(level=0)
        means = both.mean().set_axis(["value", "other"], axis=1).assign(n=both.size())
        sides.append(groups.join(means, how="inner").assign(detector=first, against=second))
    if not sides:
        return frame([], [*per.keys, *COLUMNS])
    table = pd.concat(sides)
    # All pairs in one group are a family of tests.
    table = table.assign(family=table.groupby(per.keys, dropna=False).ngroup())
    gaps = table.assign(gap=table["value"] - table["other"]).groupby(keys, dropna=False)
    facts = gaps.agg(n=("n", "sum"), needed=("gap", _needed)).reset_index()
    means = frame(differences(table.drop(columns="n"), keys), [*keys, *DIFFERENCES])
    means = means.rename(columns={"p_max_t": "p_corrected"})
    return means.merge(facts, on=keys)[[*per.keys, *COLUMNS]]


def _present(names: Sequence[Pair], wide: pd.DataFrame) -> list[Pair]:
    """Return the pairs of detectors that have scores."""
    return [pair for pair in names if {*pair} <= {*wide.columns}]


def _wide(compared: Compared, keys: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the groups by number, and what each detector catches by group and target."""
    caught = compared.caught
    number = caught.groupby(keys, dropna=False, sort=True).ngroup()
    groups = caught[keys].assign(group=number).drop_duplicates("group").set_index("group")
    table = caught.assign(group=number)
    wide = table.pivot(index=["group", "target_id"], columns="detector", values="caught")
    return groups.sort_index(), wide


def _needed(gaps: "pd.Series[float]") -> float:
    return stats.victims_needed(np.asarray(gaps, dtype=np.float64))


def pairs_of_one(
    records: Records, compared: Compared, per: Per, names: Sequence[Pair]
) -> pd.DataFrame:
    """Compare on the targets of the only victim; see `pairs`.

    The interval is Tango's and `p` McNemar's where a target is caught or not. Where it has a share
    of several attacks, they are those of Student's t and of sign flips over targets.
    """
    groups, wide = _wide(compared, per.keys)
    rows = rows_of(records, groups)
    lines = []
    for first, second in _present(names, wide):
        for number, both in wide[[first, second]].dropna().groupby(level=0):
            key = line(groups, int(str(number))) | {"detector": first, "against": second}
            targets = list(both.index.get_level_values("target_id"))
            clusters = records.clusters.joint(rows[int(str(number))], targets)
            numbers = _on_targets(both[first].to_numpy(), both[second].to_numpy(), clusters)
            lines.append(key | {"victims": 1} | numbers)
    table = frame(lines, [*per.keys, *COLUMNS])
    return table.assign(p_corrected=holm_within(table, per.keys, "p")) if len(table) else table


def _on_targets(first: stats.Floats, second: stats.Floats, clusters: stats.Ints | None) -> Cell:
    sides = np.stack([first, second])
    facts = {"n": len(first), "mean": first.mean(), "mean_other": second.mean()}
    if np.isin(sides, (0, 1)).all():
        gap = differ(first.astype(bool), second.astype(bool), clusters)
        interval = gap["difference"], gap["low"], gap["high"]
        return facts | by_name(ends("difference"), interval) | {"p": gap["p"]}
    gaps = first - second
    if clusters is not None:  # targets that share a model are one
        gaps = stats.group_means(gaps, clusters)
    _, low, high = stats.mean_over_victims(gaps)
    interval = float(gaps.mean()), max(-1.0, low), min(1.0, high)
    return facts | by_name(ends("difference"), interval) | {"p": float(stats.sign_flips(gaps))}

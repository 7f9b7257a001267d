"""Trade-offs and trends along a sweep, divided by the pure attacks at its ends."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.families import FAMILY, Family, families
from evil_twins.bench.analysis.tables.frames import column, line
from evil_twins.bench.analysis.tables.records import Records
from evil_twins.bench.analysis.tables.samples import specificity_samples

Floats = NDArray[np.float64]
Direction = Literal["rises", "falls"]

# With more room for the input (phi rising, lam falling) the model has less to do.
EXPECTED: dict[str, Direction] = {"fidelity": "rises", "kl": "falls", "delta": "falls"}


def _wide(records: Records, rows: list[int], name: str) -> Floats:
    """(targets, rows) values of the targets that all the rows share."""
    some = records.targets[records.targets["row"].isin(rows)]
    wide = some.pivot(index="target_id", columns="row", values=name)[rows]
    return wide.dropna().to_numpy(dtype=np.float64)


def trends(records: Records) -> pd.DataFrame:
    """Page's trend test of every family, endpoints included; Holm within a family.

    One line per family and quantity: FAMILY, along, quantity, direction (as phi rises or lam
    falls), n, levels, first, last (means at the two ends), statistic, p, p_holm.

    Args:
        records: The records.
    """
    lines = []
    for family in families(records):
        rows = [row for row, _ in family.line()]
        for quantity, direction in EXPECTED.items():
            values = _wide(records, rows, family.norm if quantity == "fidelity" else quantity)
            statistic, p = stats.trend(values, direction)
            found = {"n": len(values), "levels": len(rows)}
            ends = values.mean(0) if len(values) else np.full(len(rows), np.nan)
            shape = {"along": family.along, "quantity": quantity, "direction": direction}
            test = {"first": ends[0], "last": ends[-1], "statistic": statistic, "p": p}
            lines.append(family.key | shape | found | test)
    columns = [*FAMILY, "along", "quantity", "direction", "n", "levels", "first", "last"]
    columns += ["statistic", "p", "p_holm"]
    table = pd.DataFrame(lines, columns=pd.Index(columns))
    if len(table):
        groups = table.groupby([*FAMILY, "along"], dropna=False)["p"]
        table["p_holm"] = groups.transform(lambda p: stats.holm(p.to_numpy(dtype=np.float64)))
    return table


def _ratio(top: Floats, bottom: Floats) -> stats.Interval:
    """Ratio of two means over the same targets, with its paired bootstrap interval."""
    if len(top) != len(bottom) or not len(top) or bottom.mean() == 0:
        return stats.Interval(float("nan"), float("nan"), float("nan"))
    weights = stats.draws(len(top))
    return stats.ratio_interval(weights @ top, weights @ bottom, top.mean() / bottom.mean())


def _spread(name: str, interval: stats.Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


class _Normaliser:
    """Divides a row by the endpoints of its family, on the same bootstrap draws."""

    def __init__(self, records: Records, samples: dict[int, Floats]) -> None:
        self._targets = dict(list(records.targets.groupby("row")))
        self._samples = samples

    def _means(self, row: int, end: int | None, name: str) -> stats.Interval:
        if end is None:
            return _ratio(np.empty(0), np.empty(0))
        mine, other = self._targets[row], self._targets[end]
        both = set(mine["target_id"]) & set(other["target_id"])
        mine, other = (part[part["target_id"].isin(both)] for part in (mine, other))
        return _ratio(column(mine, name), column(other, name))

    def _pooled(self, row: int, end: int | None) -> stats.Interval:
        unknown = stats.Interval(float("nan"), float("nan"), float("nan"))
        if end is None or row not in self._samples or end not in self._samples:
            return unknown
        if set(self._targets[row]["target_id"]) != set(self._targets[end]["target_id"]):
            return unknown  # samples of other targets are not paired
        share = [
            self._targets[r]["flipped"].sum() / self._targets[r]["heldout"].sum()
            for r in (row, end)
        ]
        if share[1] == 0:
            return unknown
        return stats.ratio_interval(self._samples[row], self._samples[end], share[0] / share[1])

    def __call__(self, row: int, family: Family) -> dict[str, float]:
        return (
            _spread("fidelity", self._means(row, family.pgd, family.norm))
            | _spread("specificity", self._pooled(row, family.poisoning))
            | _spread("kl", self._means(row, family.poisoning, "kl"))
        )


def tradeoff(records: Records, samples: dict[int, Floats] | None = None) -> pd.DataFrame:
    """The normalised curve of every family: one line per family and level, ends included.

    `fidelity` is the mean distance in the family's norm over PGD's, `specificity` the pooled
    disagreement over Poisoning's, `kl` the mean KL over Poisoning's, each with its paired 95 %
    interval; unknown (NaN) where the endpoint was not run or is zero, and `specificity` also where
    it attacked other targets. `end` names a pure attack.

    Args:
        records: The records.
        samples: `specificity_samples` of them, where they are at hand.
    """
    normalise = _Normaliser(records, specificity_samples(records) if samples is None else samples)
    lines = []
    for family in families(records):
        for row, level in family.line():
            own = line(records.rows, row)
            end = "" if own["attack"] == family.key["attack"] else str(own["method"])
            place = {"along": family.along, "level": level, "end": end}
            lines.append(family.key | place | normalise(row, family))
    columns = [*FAMILY, "along", "level", "end"]
    columns += [f"{n}{s}" for n in ("fidelity", "specificity", "kl") for s in ("", "_low", "_high")]
    return pd.DataFrame(lines, columns=pd.Index(columns))


TRENDS = Table("trends", lambda of: trends(of.records))


TRADEOFF = Table("tradeoff", lambda of: tradeoff(of.records, of.specificity_samples))

"""Trade-offs and trends along a sweep, divided by the pure attacks at its ends."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.families import FAMILY, Family
from evil_twins.bench.analysis.tables.frames import (
    by_name,
    column,
    ends,
    frame,
    holm_within,
    line,
    lines,
    spread,
)
from evil_twins.bench.analysis.tables.records import Records

Direction = Literal["rises", "falls"]

# With more room for the input (φ rising, λ falling) the model has less to do.
EXPECTED: dict[str, Direction] = {
    "fidelity": "rises",
    "kl": "falls",
    "delta": "falls",
}


def _wide(records: Records, rows: list[int], name: str) -> tuple[list[str], stats.Floats]:
    """Return the targets that all the rows share, and their (targets, rows) values."""
    targets = records.targets[records.targets["row"].isin(rows)]
    wide = targets.pivot(index="target_id", columns="row", values=name)[rows]
    wide = wide.dropna()
    return list(wide.index), wide.to_numpy(dtype=np.float64)


def _trends(analysis: Analysis) -> pd.DataFrame:
    table = frame(_tests(analysis), TRENDS.names)
    if len(table):
        table["p_holm"] = holm_within(table, [*FAMILY, "along"], "p")
    return table


def _tests(analysis: Analysis) -> Iterator[dict[str, Any]]:
    for family in analysis.families:
        rows = [row for row, _ in family.line()]
        for quantity, direction in EXPECTED.items():
            column = family.norm if quantity == "fidelity" else quantity
            names, values = _wide(analysis.records, rows, column)
            clusters = analysis.records.clusters.joint(rows, names)
            means = values.mean(0) if len(values) else np.full(len(rows), np.nan)
            yield family.key | {
                "along": family.along,
                "quantity": quantity,
                "direction": direction,
                "n": len(values),
                "levels": len(rows),
                **by_name("first last", means[[0, -1]]),
                **by_name("statistic p", stats.trend(values, direction, clusters)),
            }


def _trends_markdown(analysis: Analysis) -> str:
    header = ["family", "along", "quantity", "expected", "targets", "levels", "first", "last"]
    body = [
        [
            f"{text.study(line)}: " + text.name(line | {"phi": float("nan"), "lam": float("nan")}),
            *(str(line[name]) for name in ("along", "quantity", "direction", "n", "levels")),
            *(text.number(line[name]) for name in ("first", "last")),
            *(text.p_value(line[name]) for name in ("p", "p_holm")),
        ]
        for line in lines(analysis.table(TRENDS))
    ]
    table = text.markdown([*header, "p", "p (Holm)"], body, text_columns=4)
    return (
        "# Trends along the sweeps (Page's test, endpoints included)\n\n"
        "Each test is one over targets, for this model only. Targets that share a poisoned model "
        "count as one, with their mean.\n\n"
    ) + table


class _Normaliser:
    """Divides a row by the endpoints of its family, on the same bootstrap draws."""

    def __init__(self, analysis: Analysis) -> None:
        self._targets = dict(list(analysis.records.targets.groupby("row")))
        self._analysis = analysis

    def _means(self, row: int, end: int | None, name: str) -> stats.Interval:
        """Return the ratio of two means over the same targets, with its paired interval."""
        if end is None:
            return stats.UNKNOWN
        sides = self._targets[row], self._targets[end]
        shared = sorted(set(sides[0]["target_id"]) & set(sides[1]["target_id"]))
        top, bottom = (column(side[side["target_id"].isin(shared)], name) for side in sides)
        if len(top) != len(bottom) or not len(top) or bottom.mean() == 0:
            return stats.UNKNOWN
        clusters = self._analysis.records.clusters.joint((row, end), shared)
        weights = stats.target_draws(len(top), clusters)
        return stats.ratio_interval(weights @ top, weights @ bottom, top.mean() / bottom.mean())

    def _pooled(self, row: int, end: int | None) -> stats.Interval:
        """Return the ratio of two pooled shares, with its crossed interval."""
        if end is None or not {row, end} <= self._analysis.specificity_samples.keys():
            return stats.UNKNOWN
        sides = self._targets[row], self._targets[end]
        if set(sides[0]["target_id"]) != set(sides[1]["target_id"]):
            return stats.UNKNOWN  # samples of other targets are not paired
        top, bottom = (side["flipped"].sum() / side["heldout"].sum() for side in sides)
        if bottom == 0:
            return stats.UNKNOWN
        first, second = self._analysis.paired_samples((row, end))
        return stats.ratio_interval(first, second, top / bottom)

    def __call__(self, row: int, family: Family) -> dict[str, float]:
        return (
            spread("fidelity", self._means(row, family.pgd, family.norm))
            | spread("specificity", self._pooled(row, family.poisoning))
            | spread("kl", self._means(row, family.poisoning, "kl"))
        )


def _tradeoff(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Yield one line per family and level; a ratio is NaN if its endpoint is missing or zero."""
    normalise = _Normaliser(analysis)
    for family in analysis.families:
        for row, level in family.line():
            key = line(analysis.records.rows, row)
            end = "" if key["attack"] == family.key["attack"] else str(key["method"])
            place = {"along": family.along, "level": level, "end": end}
            yield family.key | place | normalise(row, family)


TRENDS = Table(
    "trends",
    _trends,
    {
        " ".join(FAMILY): "",
        "along": "the swept parameter",
        "quantity direction": 'the tested quantity, and whether it "rises" or "falls" as φ rises '
        "or λ falls",
        "n": "",
        "levels first last": "number of levels, and the means at both ends",
        "statistic p p_holm": "Page's L, its one-sided p-value, the corrected one",
    },
    _trends_markdown,
)
TRADEOFF = Table(
    "tradeoff",
    _tradeoff,
    {
        " ".join(FAMILY): "",
        "along level": 'the swept parameter, "phi" or "lam", and its value',
        "end": "the pure attack, if the line is an end of the sweep",
        ends("fidelity"): "mean distance over PGD's",
        ends("specificity"): "disagreement over Poisoning's; empty where Poisoning's is 0 or has "
        "other targets",
        ends("kl"): "mean KL over Poisoning's",
    },
)

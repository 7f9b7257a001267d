"""Differences within each victim, and their means over the victims of a recipe.

A claim for further victims has as many independent differences as victims, whatever the number of
targets.
"""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.controls import CONTROLS
from evil_twins.bench.analysis.tables.controls.twins import CONTROLS as TWINS
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.frames import by_name, ends, frame, lines
from evil_twins.bench.analysis.tables.paired import PAIRED
from evil_twins.bench.analysis.tables.recipes import MEAN, RECIPE, recipe
from evil_twins.bench.analysis.tables.sweeps import TRADEOFF

_RECIPE = ["dataset", "victim"]
_FAMILY = [*_RECIPE, "comparison", "attack", "layers", "kappa", "lam", "quantity"]
_PAIR = [*RECIPE, "comparison", "quantity", "against", "detector"]
_SIDES = ["seed", "value", "other"]
DIFFERENCES = [
    *("victims", "mean", "mean_other", *ends("difference").split()),
    *("least", "most", "p", "p_max_t", "p_least"),
]
"""The columns of `differences` without its keys."""

LEVEL = 0.05
"""Level of the tests, after the correction."""


def _sweeps(analysis: Analysis) -> pd.DataFrame:
    """Return the rates under IMC and under a pure attack, on the same targets."""
    table = analysis.table(PAIRED)
    value, other = (table[name] / table["n"] for name in ("flagged", "flagged_against"))
    return table.assign(method="imc", quantity="rate", value=value, other=other)


def _controls(analysis: Analysis) -> pd.DataFrame:
    """Return the rates under a pure attack and under its harmless twin, on the same targets."""
    table = analysis.table(CONTROLS)
    table = table[table["control"].isin(TWINS.values())]
    return table.assign(other=table["control_value"])


def _losses(analysis: Analysis) -> pd.DataFrame:
    """Return the losses of IMC as multiples of those of the pure attacks, and 1.

    Along φ the fidelity loss is set, not measured.
    """
    table = analysis.table(TRADEOFF)
    table = table[table["end"].eq("") & table["along"].isin(("phi", "lam"))]
    levels = {along: table["level"].where(table["along"].eq(along)) for along in ("phi", "lam")}
    against = {"fidelity": "pgd", "specificity": "poisoning", "kl": "poisoning"}
    parts = [
        table.assign(
            **levels, quantity=name, against=end, detector="", value=table[name], other=1.0
        )
        for name, end in against.items()
    ]
    losses = pd.concat(parts)
    return losses[losses["quantity"].ne("fidelity") | losses["along"].ne("phi")]


def _detectors(analysis: Analysis) -> pd.DataFrame:
    """Return the rates of every two detectors under one attack, on the same targets."""
    table = analysis.table(DETECTION)
    table = table[table["fpr_nominal"].eq(analysis.fpr) & table["n"].gt(0)]
    if table["detector"].nunique() < 2:
        return frame([], [*_PAIR, *_SIDES])
    attacks = analysis.records.rows
    attacks = attacks[attacks["role"].eq("attack")]
    table = table.merge(attacks[[*RECIPE, "seed"]], on=[*RECIPE, "seed"])
    rates = {str(name): rows for name, rows in table.groupby("detector")}
    pairs = combinations(sorted(rates), 2)
    return pd.concat([table[:0], *(_two(rates[first], rates[second]) for first, second in pairs)])


def _two(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    keys, counts = [*RECIPE, "seed"], ["detector", "rate", "n"]
    pairs = first[keys + counts].merge(second[keys + counts], on=keys, suffixes=("", "_other"))
    pairs = pairs[pairs["n"].eq(pairs["n_other"])]
    names = {"rate": "value", "rate_other": "other", "detector_other": "against"}
    return pairs.rename(columns=names).assign(quantity="rate")


_COMPARISONS: dict[str, Callable[[Analysis], pd.DataFrame]] = {
    "pure attack": _sweeps,
    "control": _controls,
    "loss": _losses,
    "detector": _detectors,
}


def _paired(analysis: Analysis) -> pd.DataFrame:
    """Return one line for each difference that several victims have."""
    if not (analysis.records.rows.groupby(_RECIPE)["seed"].nunique() > 1).any():
        return frame([], PAIRED_OVER_VICTIMS.names)
    parts = [
        compute(analysis).assign(comparison=name).reindex(columns=[*_PAIR, *_SIDES])
        for name, compute in _COMPARISONS.items()
    ]
    parts = [part for part in parts if len(part)]
    if not parts:
        return frame([], PAIRED_OVER_VICTIMS.names)
    sides = pd.concat(parts)
    sides = sides.assign(family=_families(sides))
    return frame(differences(sides, _PAIR), PAIRED_OVER_VICTIMS.names)


def _families(sides: pd.DataFrame) -> "pd.Series[int]":
    """Return the family of each line.

    Of detectors on one attack every two are a family. Of an attack against one end its levels and
    detectors are.
    """
    detectors = sides["comparison"].eq("detector")
    place = sides["phi"].where(detectors), sides["against"].mask(detectors)
    keys = [*(sides[name] for name in _FAMILY), *place]
    return sides.groupby(keys, dropna=False).ngroup()


def differences(sides: pd.DataFrame, keys: list[str]) -> Iterator[dict[str, Any]]:
    """Average differences over the victims that have them, and test them family by family.

    Args:
        sides: One line per victim and difference: the keys, `seed`, `family` (differences of equal
            values are corrected together), and the values of both sides, `value` and `other`; a
            line with NaN in either is skipped.
        keys: The columns whose values name a difference.

    Yields:
        The keys and `DIFFERENCES`, for each difference that at least two victims have.
    """
    sides = sides.astype({"value": float, "other": float}).dropna(subset=["value", "other"])
    sides = sides[sides.groupby(keys, dropna=False)["seed"].transform("nunique") > 1]
    if sides.empty:
        return
    names = sides.drop_duplicates(keys)
    place = sides.groupby(keys, dropna=False, sort=False).ngroup().to_numpy()
    seeds, column = np.unique(sides["seed"], return_inverse=True)
    values = np.full((2, len(names), len(seeds)), np.nan)
    values[:, place, column] = sides[["value", "other"]].to_numpy().T
    tests = _tests(values[0] - values[1], names["family"].to_numpy())
    for key, (first, second), (p, corrected) in zip(
        lines(names[keys]), values.swapaxes(0, 1), tests, strict=True
    ):
        gap = first - second
        present = gap[~np.isnan(gap)]
        yield key | {
            "victims": len(present),
            **by_name("mean mean_other", (np.nanmean(first), np.nanmean(second))),
            **by_name(ends("difference"), _mean(present, key.get("quantity", "rate"))),
            **by_name("least most", (present.min(), present.max())),
            **by_name("p p_max_t p_least", (p, corrected, 2.0 ** (1 - len(present)))),
        }


def _tests(gaps: stats.Floats, family: stats.Ints) -> stats.Floats:
    """Return the p-value of each of (K, V) differences, single and corrected in its family."""
    tests = np.empty((len(gaps), 2))
    for number in np.unique(family):
        same = family == number
        tests[same, 0] = stats.sign_flips(gaps[same].T)
        tests[same, 1] = stats.joint_flips(gaps[same].T)
    return tests


def _mean(values: stats.Floats, quantity: str) -> stats.Interval:
    """Return the mean over victims; a difference of rates lies in [-1, 1].

    It has no interval where all victims have the same value.
    """
    value, low, high = stats.mean_over_victims(values)
    if np.ptp(values) == 0:
        return stats.Interval(value, np.nan, np.nan)
    if quantity == "rate":
        low, high = np.clip([low, high], -1, 1)
    return stats.Interval(value, float(low), float(high))


CORRECTION = (
    "by the step-down max-T method of Westfall and Young (a flip of a victim holds for all "
    "differences, and the largest studentised one counts)"
)


def floor(least: float) -> str:
    """Write the smallest p-value that is possible, and what follows if no test can succeed."""
    words = f"With so many victims no p can be below {text.number(least, 2)}, corrected or not."
    return words if least < LEVEL else f"{words} So read the intervals, or add victims."


def _markdown(analysis: Analysis) -> str:
    table = analysis.table(PAIRED_OVER_VICTIMS)
    differ = table["least"].ne(0) | table["most"].ne(0)
    shown = table[table["comparison"].ne("detector") & differ]
    least = table["p_least"].min()
    blocks = [
        "# Differences over victims\n\n"
        "Each difference is taken within each victim, on the same targets, and then averaged over "
        f"victims; the 95 % interval is that of Student's t and holds {MEAN}. p: signs flip by "
        "victim. p (max-T): corrected over the detectors and levels of an attack against the same "
        f"end, {CORRECTION}; the intervals are without a correction. {floor(least)} Losses are "
        "multiples of the loss of the pure attack, compared with 1. Differences that are 0 "
        "within every victim, and those of every two detectors under one attack, are only in the "
        "CSV file.\n"
    ]
    header = ["attack", "against", "quantity", "detector", "mean", "against it", "difference"]
    for _, group in shown.groupby(_RECIPE):
        rows = lines(group)
        body = [
            [
                text.name(line),
                *(str(line[name]) for name in ("against", "quantity", "detector")),
                *(text.number(line[name]) for name in ("mean", "mean_other")),
                text.difference(line),
                *(text.p_value(line[name]) for name in ("p", "p_max_t")),
            ]
            for line in rows
        ]
        written = text.markdown([*header, "p", "p (max-T)"], body, text_columns=4)
        blocks.append(f"\n## {recipe(rows[0])}\n\n{written}")
    return "".join(blocks)


PAIRED_OVER_VICTIMS = Table(
    "paired-over-victims",
    _paired,
    {
        " ".join(RECIPE): "",
        "comparison": '"pure attack": IMC against an end of its sweep; "control": an end against '
        'its control; "loss": a loss of IMC as a multiple of that of an end, against 1; '
        '"detector": two detectors under one attack',
        "quantity": '"rate", or the loss: "fidelity", "specificity" or "kl"',
        "against": "the attack or the detector of comparison",
        "detector": "",
        "victims": "number of victims with this difference",
        "mean mean_other": "means over victims of both sides",
        ends("difference"): "mean over victims of the difference, with a t interval; without "
        "one where all victims have the same",
        "least most": "the lowest and the highest difference of a victim",
        "p": "sign flips by victim, two-sided",
        "p_max_t": "corrected by max-T (step-down, joint sign flips) over levels and detectors of "
        "one attack against one end, or over every two detectors under one attack",
        "p_least": "the smallest p that so many victims can have, with and without the "
        "correction: 2^(1-V)",
    },
    _markdown,
    optional=True,
)

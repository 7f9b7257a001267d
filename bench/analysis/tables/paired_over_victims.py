"""Differences within each victim, and their means over the victims of a recipe.

A claim for further victims has as many independent differences as victims, whatever the number of
targets.
"""

from collections.abc import Callable
from itertools import combinations

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.controls import CONTROLS
from evil_twins.bench.analysis.tables.controls.twins import CONTROLS as TWINS
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.frames import ends, frame, lines
from evil_twins.bench.analysis.tables.paired import PAIRED
from evil_twins.bench.analysis.tables.price import LOSSES, PRICE
from evil_twins.bench.analysis.tables.recipes import MEAN, RECIPE, recipe
from evil_twins.bench.analysis.tables.sweeps import TRADEOFF
from evil_twins.bench.analysis.tables.victim_differences import CORRECTION, differences, floor

_RECIPE = ["dataset", "victim"]
_FAMILY = [*_RECIPE, "comparison", "attack", "layers", "kappa", "lam", "quantity"]
_PAIR = [*RECIPE, "comparison", "quantity", "against", "detector"]
_SIDES = ["seed", "value", "other"]


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


def _prices(analysis: Analysis) -> pd.DataFrame:
    """Return the extra losses of attacks that know detectors, and 0."""
    table = analysis.table(PRICE)
    parts = [
        table.assign(quantity=name, detector="", value=table[name], other=0.0) for name in LOSSES
    ]
    return pd.concat(parts)


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
    "price": _prices,
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
        "multiples of the loss of the pure attack, compared with 1. Extra losses of an attack "
        "that knows detectors are compared with 0. Differences that are 0 within every victim, "
        "and those of every two detectors under one attack, are only in the CSV file.\n"
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
        '"price": the extra loss of an attack that knows detectors, against 0; '
        '"detector": two detectors under one attack',
        "quantity": '"rate", or the loss: "fidelity", "specificity" or "kl"; under "price" also '
        '"linf"',
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

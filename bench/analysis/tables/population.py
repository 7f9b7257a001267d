"""Rates over the victims of one recipe, and intervals for its further victims."""

from collections.abc import Iterator
from math import isnan
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.frames import by_name, column, ends, lines, spread
from evil_twins.bench.analysis.tables.recipes import MEAN, NEXT, RECIPE, populations

CELL = [*RECIPE, "detector", "knowledge", "fpr_nominal"]
"""The keys of the lines of this table."""


def _population(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Give one line for each row, detector and nominal rate that several victims have."""
    return over_victims(analysis.table(DETECTION))


NO_THRESHOLD = "no threshold: too few calibration scores"
"""The words of a cell without a rate."""


def over_victims(detection: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the line over victims of each row, detector and nominal rate that several have.

    Args:
        detection: Lines of the detection table.
    """
    for key, victims in detection.groupby(CELL, dropna=False, sort=False):
        victims = victims[victims["n"] > 0]
        if len(victims) > 1:
            yield dict(zip(CELL, key, strict=True)) | _line(victims)


def _line(victims: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers over victims; a rate only if every victim has it."""
    unset = victims["note"][np.isinf(victims["threshold"])]
    return {
        "victims": len(victims),
        **{name: int(victims[name].sum()) for name in ("n", "at_kappa")},
        **(_rates(victims) if victims["detected"].notna().all() else {}),
        **spread("auroc", mean_in_unit(column(victims, "auroc"))),
        **spread("ks", mean_in_unit(column(victims, "ks"))),
        "calibration_n": int(victims["calibration_n"].min()),
        "note": str(unset.iloc[0]) if len(unset) else "",
    }


def _rates(victims: pd.DataFrame) -> dict[str, Any]:
    detected, counts, models = (column(victims, name) for name in ("detected", "n", "models"))
    following = stats.next_rate(detected, counts, max(2, int(counts.mean().round())), models)
    fresh = victims[victims["fpr_n"] > 0]
    alarms = stats.pooled_rate(column(fresh, "fpr_k"), column(fresh, "fpr_n")).rate
    return {
        **{name: int(victims[name].sum()) for name in ("detected", "success")},
        **pooled(detected, counts, models),
        **by_name("next_low next_high", following[1:]),
        **spread("fpr_realised", alarms),
    }


def pooled(counted: stats.Floats, counts: stats.Floats, models: stats.Floats) -> dict[str, float]:
    """Return the rate over victims with its interval, the range of the victims and the effect.

    Args:
        counted: (V,) number of targets of each victim that are counted, as flagged or caught.
        counts: (V,) number of its targets, above 0.
        models: (V,) number of its clusters of targets that share a poisoned model.
    """
    over, rates = stats.pooled_rate(counted, counts, models), counted / counts
    ends = by_name("least most", (rates.min(), rates.max()))
    return by_name("rate low high", over.rate) | ends | {"effect": over.effect}


def mean_in_unit(values: stats.Floats) -> stats.Interval:
    """Return the mean over victims of a statistic that lies in [0, 1].

    It has no interval where all victims have the same value: nothing shows how victims vary.

    Args:
        values: (V,) the statistic of each victim.
    """
    value, low, high = stats.mean_over_victims(values)
    if np.ptp(values) == 0:
        return stats.Interval(value, np.nan, np.nan)
    return stats.Interval(value, np.clip(low, 0, 1), np.clip(high, 0, 1))


def matrix(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """Write attack by detector: rate, its interval, range of the victims."""
    most = int(table["victims"].max()) if len(table) else 0
    cells = {(*_names(line), line["detector"]): _words(line, most) for line in lines(table)}
    detectors = sorted({str(name) for name in table["detector"]})
    body = []
    for row in text.ordered(rows):
        line = {str(key): value for key, value in rows.loc[row].to_dict().items()}
        written = [cells.get((*_names(line), name), "") for name in detectors]
        if any(written):
            body.append([text.name(line), *written])
    return text.markdown(["attack", *detectors], body)


def _names(line: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(line[name]) for name in RECIPE)


def _words(line: dict[str, Any], victims: int) -> str:
    """Write a cell of a recipe with `victims` victims."""
    rate = f"{line['rate']:.2f} [{line['low']:.2f}, {line['high']:.2f}]"
    words = f"{rate}, {line['least']:.2f}–{line['most']:.2f}"
    if isnan(line["rate"]) or line["note"]:
        words = NEEDS if line["detector"] == ANY else NO_THRESHOLD
    if line["victims"] < victims:
        words += f" ({line['victims']} of {victims} victims)"
    if line["detector"] == ANY:
        words += f"; AUROC {text.interval(line, 'auroc', digits=2)}"
    return words


def _markdown(analysis: Analysis) -> str:
    table = analysis.table(POPULATION)
    table = table[table["fpr_nominal"] == analysis.fpr]
    blocks = [
        f"# Detection rate over victims at a false-positive rate of {text.percent(analysis.fpr)}\n"
        "\nEach cell: share of flagged targets of all victims; in brackets the 95 % interval "
        f"{MEAN} (Korn and Graubard: the victim is the unit); then the lowest and the highest rate "
        f"of a victim. The CSV file has an interval {NEXT}. Each victim has its own "
        "training seed, images for thresholds, and targets.\n"
    ]
    for title, victims, rows in populations(analysis.records.rows):
        if victims > 1:
            blocks.append(f"\n## {title}\n\n" + matrix(rows, table))
    return "".join(blocks)


POPULATION = Table(
    "population",
    _population,
    {
        "dataset victim attack kappa phi detector": "",
        "knowledge": "the knowledge of the detector, K0 to K3",
        "victims": "number of victims with a rate",
        "n at_kappa detected": "targets of all victims, those at κ, and those flagged",
        "rate low high": "the share flagged, with the interval of Korn and Graubard over victims",
        "next_low next_high": "the 95 % interval for the rate measured on a new victim with "
        "as many targets",
        "least most": "the lowest and the highest rate of a victim",
        "effect": "the design effect: variance of the rate over victims, as a multiple of that of "
        "independent targets; at least 1. At rates of 0 and 1, targets that share a poisoned model "
        "count once",
        "fpr_nominal": "as in `detection.csv`",
        ends("fpr_realised"): "the share of other benign images flagged, over victims as `rate`",
        ends("auroc"): "mean over victims, with a t interval",
        ends("ks"): "the same of the Kolmogorov-Smirnov statistic",
        "success": "targets at κ, within ε and not flagged",
        "layers method lam": "",
        "calibration_n": "the smallest number of calibration scores of a victim",
        "note": "why a victim has no threshold at this rate, so that it flags nothing",
    },
    _markdown,
    optional=True,
)

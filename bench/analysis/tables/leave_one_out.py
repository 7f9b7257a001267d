"""Whether the interval for a new victim holds the rate of a victim that it is not computed from."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.frames import column
from evil_twins.bench.analysis.tables.population import CELL
from evil_twins.bench.analysis.tables.recipes import RECIPE

LEVEL = 0.95


def _leave_one_out(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Give one line for each victim of each row, detector and nominal rate of three or more."""
    for key, victims in analysis.table(DETECTION).groupby(CELL, dropna=False, sort=False):
        rated = victims["detected"].notna() & np.isfinite(victims["threshold"])
        victims = victims[(victims["n"] > 0) & rated]
        if len(victims) > 2:
            shared = dict(zip(CELL, key, strict=True)) | {"others": len(victims) - 1}
            yield from (shared | line for line in _lines(victims))


def _lines(victims: pd.DataFrame) -> Iterator[dict[str, Any]]:
    detected, counts, models = (column(victims, name) for name in ("detected", "n", "models"))
    differ = len(set(detected / counts)) > 1
    for place, seed in enumerate(victims["seed"]):
        others = np.arange(len(victims)) != place
        n = int(counts[place])
        new = stats.next_rate(detected[others], counts[others], max(2, n), models[others], LEVEL)
        rate = float(detected[place] / n)
        yield {
            "seed": seed,
            "n": n,
            "rate": rate,
            "expected": new.value,
            "low": new.low,
            "high": new.high,
            "inside": new.low <= rate <= new.high,
            "differ": differ,
        }


def summary(analysis: Analysis) -> str:
    """Write the share of rates inside of their intervals in a sentence; "" below three victims."""
    table = analysis.table(LEAVE_ONE_OUT)
    if table.empty:
        return ""
    others = "–".join(map(str, sorted({table["others"].min(), table["others"].max()})))
    words = (
        f"The interval for a new victim, computed from the other {others}, held the rate of the "
        f"omitted victim in {_share(table['inside'])} cells; {text.percent(LEVEL)} or more is "
        "expected."
    )
    width = (table["high"] - table["low"]).mean()
    words += f" On average it is {100 * width:.0f} points of % wide."
    differ = table.loc[table["differ"].astype(bool), "inside"]
    if 0 < len(differ) < len(table):
        words += f" Where the rates of victims differ, it held {_share(differ)}."
    return words


def _share(inside: "pd.Series[bool]") -> str:
    return f"{100 * inside.astype(bool).mean():.1f} % of {len(inside):,}"


def _markdown(analysis: Analysis) -> str:
    """Write the share inside by detector and nominal rate, below the sentence."""
    table = analysis.table(LEAVE_ONE_OUT)
    levels = sorted(set(table["fpr_nominal"]))
    body = []
    for detector, cells in table.groupby("detector", sort=True):
        inside = {level: group["inside"] for level, group in cells.groupby("fpr_nominal")}
        written = [_share(inside[level]) if level in inside else "" for level in levels]
        body.append([str(detector), *written])
    header = ["detector", *(f"at {text.percent(level)}" for level in levels)]
    return (
        "# Each victim against the interval from the others\n\n"
        f"{summary(analysis)} Below: the share of cells by detector and nominal false-positive "
        "rate.\n\n"
    ) + text.markdown(header, body)


LEAVE_ONE_OUT = Table(
    "leave-one-out",
    _leave_one_out,
    {
        " ".join([*RECIPE, "detector"]): "",
        "knowledge": "as in `population.csv`",
        "fpr_nominal": "as in `detection.csv`",
        "seed": "the omitted victim",
        "others": "number of the other victims",
        "n rate": "its targets, and the share flagged",
        "expected low high": "the rate of the other victims, with their 95 % interval for the rate "
        "measured on a new victim with as many targets",
        "inside": "whether the interval holds the rate",
        "differ": "whether the rates of the victims differ",
    },
    _markdown,
    optional=True,
)

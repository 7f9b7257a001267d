"""Is it more than a slack endpoint? The leverage with loose attacks and with tight ones."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.controls import line as reading
from evil_twins.bench.analysis.tables.frames import by_name, column, line, spread
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records
from evil_twins.bench.analysis.tables.samples import comparable, specificity_samples

FIRST = "-first"
"""Ending of the label of a loose row, whose attack stops at its first iterate at κ as the paper's
does. The label without it is that of the tight twin. Records do not hold the exit."""


class Losses(NamedTuple):
    """A loss of a row: its value, and (resamples,) samples of it under the same draws."""

    value: float
    samples: stats.Floats


class Ends(NamedTuple):
    """The rows of a leverage: IMC, PGD, Poisoning."""

    joint: int
    pgd: int
    poisoning: int


def endpoints(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Compute the leverage 1 − fidelity − specificity, both normalised, with loose and tight rows.

    Yields a line for each row of a sweep along φ and each set of loose rows in place of the tight
    ones: only PGD's endpoint, only Poisoning's, and all loose rows if IMC itself has one.
    `value` is the leverage with loose rows, `control_value` that with tight ones, their difference
    is slack. Targets are those at κ in every row that is compared at this κ.
    """
    records = analysis.records
    for family in analysis.sweeps:
        if family.along != "phi" or family.pgd is None or family.poisoning is None:
            continue
        tight_rows = [Ends(row, family.pgd, family.poisoning) for row, _ in family.rows]
        cases = [(tight, loose) for tight in tight_rows for loose in _loose(records, tight)]
        if not cases:
            continue
        rows = {row for case in cases for ends in case for row in ends}
        fidelity, harm, n = _losses(records, sorted(rows), family.norm)
        for tight, loose in cases:
            slack, base = (_leverage(fidelity, harm, ends) for ends in (loose, tight))
            with np.errstate(invalid="ignore"):  # a draw without harm at an end has no leverage
                gap = Losses(slack.value - base.value, slack.samples - base.samples)
            replaced = [row for row, other in zip(loose, tight, strict=True) if row != other]
            intervals = [stats.percentile(*losses) for losses in (slack, base, gap)]
            yield line(records.rows[KEYS], tight.joint) | {
                "control": "endpoints",
                "against": ", ".join(str(records.rows.at[row, "attack"]) for row in replaced),
                "quantity": "leverage",
                "n": n,
                "control_n": n,
                **by_name(reading.VALUE, intervals[0]),
                **by_name(reading.CONTROL, intervals[1]),
                **spread("difference", intervals[2]),
                "reading": _reading(intervals[0], intervals[1]),
            }


def _loose(records: Records, tight: Ends) -> Iterator[Ends]:
    loose = Ends(*(_twin(records.rows, row) for row in tight))
    if loose.pgd != tight.pgd:
        yield tight._replace(pgd=loose.pgd)
    if loose.poisoning != tight.poisoning:
        yield tight._replace(poisoning=loose.poisoning)
    if loose.joint != tight.joint:
        yield loose


def _twin(rows: pd.DataFrame, row: int) -> int:
    """Return the loose row of the same study, κ and φ, or the row itself without one."""
    tight = line(rows, row)
    fits = rows["attack"].eq(f"{tight['attack']}{FIRST}")
    for name in (*STUDY, "kappa", "phi"):
        fits &= rows[name].eq(tight[name]) | (rows[name].isna() & pd.isna(tight[name]))
    return int(rows.index[fits][0]) if fits.any() else row


def _losses(
    records: Records, rows: Sequence[int], norm: str
) -> tuple[dict[int, Losses], dict[int, Losses], int]:
    """Return fidelity and specificity loss by row on the targets at κ in all, and their number."""
    targets = records.targets[records.targets["row"].isin(rows)]
    counts = targets.loc[targets["at_kappa"], "target_id"].value_counts()
    names = sorted(counts.index[counts == len(rows)])
    targets = targets[targets["target_id"].isin(names)]
    flips = records.flips[records.flips["target_id"].isin(names)]
    shared = comparable(replace(records, targets=targets, flips=flips), rows)
    pooled = specificity_samples(shared) if names else {}
    clusters = shared.clusters.joint(rows, names)
    weights = stats.target_draws(len(names), clusters) if names else np.zeros((0, 0))
    unknown = np.full(len(weights), np.nan)
    fidelity, harm = {}, {}
    for row in rows:
        group = targets[targets["row"] == row].sort_values("target_id")
        distance = column(group, norm)
        share = group["flipped"].sum() / max(1, group["heldout"].sum())
        mean = float(distance.mean()) if names else np.nan
        fidelity[row] = Losses(mean, weights @ distance / weights.sum(axis=1))
        harm[row] = Losses(float(share), pooled.get(row, unknown))
    return fidelity, harm, len(names)


def _leverage(fidelity: dict[int, Losses], harm: dict[int, Losses], ends: Ends) -> Losses:
    with np.errstate(divide="ignore", invalid="ignore"):
        value, samples = (
            1
            - np.divide(fidelity[ends.joint][i], fidelity[ends.pgd][i])
            - np.divide(harm[ends.joint][i], harm[ends.poisoning][i])
            for i in range(2)
        )
    return Losses(float(value), samples)


def _reading(loose: stats.Interval, tight: stats.Interval) -> str:
    if not np.isfinite([*loose, *tight]).all():
        return reading.OPEN
    if not loose.low > 0:
        return reading.NONE
    return reading.STAYS if tight.low > 0 else reading.GONE

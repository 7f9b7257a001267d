"""Is it more than a slack endpoint? The leverage with loose attacks and with tight ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.controls import line
from evil_twins.bench.analysis.tables.families import Family
from evil_twins.bench.analysis.tables.frames import line as row_of
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records
from evil_twins.bench.analysis.tables.samples import specificity_samples

Floats = NDArray[np.float64]

FIRST = "-first"
"""What ends the label of a row whose attack stops at its first iterate at κ, as the paper's does;
the rest is the label of its tight twin. Records do not hold the exit."""


class Losses(NamedTuple):
    """A loss of a row: its value, and (resamples,) samples of it under the same draws."""

    value: float
    samples: Floats


@dataclass(frozen=True)
class Ends:
    """The rows that a leverage is made of: IMC, PGD, Poisoning."""

    joint: int
    pgd: int
    poisoning: int

    def __iter__(self) -> Iterator[int]:
        yield from (self.joint, self.pgd, self.poisoning)


def endpoints(records: Records, sweeps: list[Family]) -> Iterator[dict[str, Any]]:
    """The leverage 1 − fidelity − specificity, both normalised, with loose and with tight rows.

    A line for each row of a sweep along φ and each set of loose rows in place of the tight ones:
    PGD's endpoint alone, Poisoning's alone, and all that is there if IMC itself is. `value` is the
    leverage with loose rows, `control_value` that with tight ones, their difference is slack;
    targets are those at κ in every row that is compared at this κ.

    Args:
        records: The records.
        sweeps: The sweeps.
    """
    for family in sweeps:
        if family.along != "phi" or family.pgd is None or family.poisoning is None:
            continue
        cases = [
            (row, Ends(row, family.pgd, family.poisoning), loose)
            for row, _ in family.rows
            for loose in _loose(records, Ends(row, family.pgd, family.poisoning))
        ]
        if not cases:
            continue
        rows = {one for _, tight, loose in cases for one in (*tight, *loose)}
        fidelity, harm, n = _losses(records, sorted(rows), family.norm)
        for row, tight, loose in cases:
            slack, own = (_leverage(fidelity, harm, ends) for ends in (loose, tight))
            gap = Losses(slack.value - own.value, slack.samples - own.samples)
            named = [rec for rec, other in zip(loose, tight, strict=True) if rec != other]
            yield row_of(records.rows[KEYS], row) | {
                "control": "endpoints",
                "against": ", ".join(str(records.rows.at[one, "attack"]) for one in named),
                "quantity": "leverage",
                "n": n,
                "control_n": n,
                **line.spread("value", stats.percentile(*slack)),
                **line.spread("control_value", stats.percentile(*own)),
                **line.spread("difference", stats.percentile(*gap)),
                "reading": _reading(stats.percentile(*slack), stats.percentile(*own)),
            }


def _loose(records: Records, tight: Ends) -> Iterator[Ends]:
    twin = {row: _twin(records.rows, row) for row in tight}
    pgd, poisoning, joint = twin[tight.pgd], twin[tight.poisoning], twin[tight.joint]
    if pgd is not None:
        yield replace(tight, pgd=pgd)
    if poisoning is not None:
        yield replace(tight, poisoning=poisoning)
    if joint is not None:
        whole = Ends(joint, tight.pgd if pgd is None else pgd, tight.poisoning)
        yield whole if poisoning is None else replace(whole, poisoning=poisoning)


def _twin(rows: pd.DataFrame, row: int) -> int | None:
    """The loose row of the same study, κ and φ."""
    own = row_of(rows, row)
    at = rows["attack"].eq(f"{own['attack']}{FIRST}")
    for name in (*STUDY, "kappa", "phi"):
        at &= rows[name].eq(own[name]) | (rows[name].isna() & pd.isna(own[name]))
    return int(rows.index[at][0]) if at.any() else None


def _losses(
    records: Records, rows: Sequence[int], norm: str
) -> tuple[dict[int, Losses], dict[int, Losses], int]:
    """Fidelity and specificity loss of each row on the targets at κ in all, and their number."""
    there = records.targets[records.targets["row"].isin(rows)]
    counts = there.loc[there["at_kappa"], "target_id"].value_counts()
    names = sorted(counts.index[counts == len(rows)])
    there = there[there["target_id"].isin(names)]
    flips = records.flips[records.flips["row"].isin(rows)]
    flips = flips[flips["target_id"].isin(names)]
    some = replace(records, rows=records.rows.loc[list(rows)], targets=there, flips=flips)
    pooled = specificity_samples(some) if names else {}
    weights = stats.draws(len(names)) if names else np.zeros((0, 0))
    unknown = np.full(len(weights), np.nan)
    fidelity, harm = {}, {}
    for row in rows:
        mine = there[there["row"] == row].sort_values("target_id")
        far = mine[norm].to_numpy(dtype=np.float64)
        share = mine["flipped"].sum() / max(1, mine["heldout"].sum())
        fidelity[row] = Losses(float(far.mean()) if names else np.nan, weights @ far / len(names))
        harm[row] = Losses(float(share), pooled.get(row, unknown))
    return fidelity, harm, len(names)


def _leverage(fidelity: dict[int, Losses], harm: dict[int, Losses], ends: Ends) -> Losses:
    far, costs = (
        (fidelity[ends.joint], fidelity[ends.pgd]),
        (harm[ends.joint], harm[ends.poisoning]),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        value, samples = (
            1 - np.divide(far[0][i], far[1][i]) - np.divide(costs[0][i], costs[1][i])
            for i in range(2)
        )
    return Losses(float(value), samples)


def _reading(loose: stats.Interval, tight: stats.Interval) -> str:
    if not np.isfinite([*loose, *tight]).all():
        return line.OPEN
    if not loose.low > 0:
        return line.NONE
    return line.STAYS if tight.low > 0 else line.GONE

"""A new detector beside the others of a suite, paired on the same targets."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.tables.compare.differences import DIFFERENCE, corrected, differ
from evil_twins.bench.analysis.tables.decisions import decisions
from evil_twins.bench.analysis.tables.detection import detection
from evil_twins.bench.analysis.tables.families import CONTROLS
from evil_twins.bench.analysis.tables.frames import line
from evil_twins.bench.analysis.tables.paired import under_every, worst
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records

ALPHAS = (0.01, 0.05)


@dataclass(frozen=True)
class Beside:
    """What is to be said of a new detector.

    Attributes:
        compare: Its lines of the detection table, with what it costs.
        paired: It and each other detector, attack by attack.
        worst: Every detector under all attacks of the list, with the newcomer's difference.
    """

    compare: pd.DataFrame
    paired: pd.DataFrame
    worst: pd.DataFrame


def beside(records: Records, costs: pd.DataFrame, label: str) -> Beside:
    """A new detector beside the others.

    Args:
        records: The records, those of the newcomer among them.
        costs: `records.COSTS` by row.
        label: The newcomer.
    """
    own = replace(records, scores=records.scores[records.scores["detector"] == label])
    # Nothing is corrected over detectors where there is one.
    rates = detection(own, ALPHAS).drop(columns="fpr_p_holm")
    decided = decisions(records)
    return Beside(
        compare=rates.merge(_per_input(costs, label), on=KEYS, how="left"),
        paired=_paired(records, decided, label),
        worst=_worst(records, decided, label),
    )


def _per_input(costs: pd.DataFrame, label: str) -> pd.DataFrame:
    """Seconds that a row's score cells took, for each of the inputs in them."""
    own = costs[costs["detector"] == label].drop(columns="detector")
    return own.assign(seconds_per_input=own["seconds"] / own["inputs"])


def _paired(records: Records, decided: pd.DataFrame, label: str) -> pd.DataFrame:
    """One line per attack and other detector; controls, where a flag is a false alarm, left out.

    `difference` is the newcomer's detection rate minus the other's (Tango's interval), `p` that of
    McNemar's exact test, `p_holm` corrected over all lines.
    """
    rows = records.rows[~records.rows["method"].isin(CONTROLS)]
    lines = []
    for row, part in decided[decided["row"].isin(rows.index)].groupby("row", sort=True):
        wide = part.pivot(index="target_id", columns="detector", values="flagged")
        if label not in wide:
            continue
        key = line(rows[KEYS], int(str(row)))
        for other in (name for name in wide.columns if name != label):
            both = wide[[label, other]].dropna().to_numpy(dtype=bool)
            lines.append(key | {"other": other} | differ(both[:, 0], both[:, 1]))
    return corrected(lines, [*KEYS, "other", *DIFFERENCE])


def _worst(records: Records, decided: pd.DataFrame, label: str) -> pd.DataFrame:
    """`worst` of every detector, and how the newcomer's differs on the attacks that both scored."""
    keys = [*STUDY, "kappa", "detector"]
    found = corrected(list(_gaps(records, decided, label)), [*keys, *DIFFERENCE])
    names = {name: f"difference_{name}" for name in ("n", "low", "high")}
    knowledge = records.scores.groupby("detector")["knowledge"].first()
    table = worst(records, decided).merge(found.rename(columns=names), on=keys, how="left")
    return table.assign(knowledge=table["detector"].map(knowledge))


def _gaps(records: Records, decided: pd.DataFrame, label: str) -> Iterator[dict[str, Any]]:
    every = list(under_every(records, decided))
    own = {(*(key[one] for one in STUDY), key["kappa"]): w for key, w in every if _is(key, label)}
    for key, wide in every:
        mine = own.get((*(key[one] for one in STUDY), key["kappa"]))
        if mine is None or _is(key, label):
            continue
        rows = mine.columns.intersection(wide.columns)
        targets = mine.index.intersection(wide.index)
        caught = [one.loc[targets, rows].all(axis=1).to_numpy(dtype=bool) for one in (mine, wide)]
        yield key | differ(caught[0], caught[1])


def _is(key: dict[str, Any], label: str) -> bool:
    return bool(key["detector"] == label)

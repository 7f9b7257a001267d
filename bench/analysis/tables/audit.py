"""The audit of the endpoints: are the pure attacks as good as the best known ones?

The losses of a sweep are divided by those of its pure attacks, so a weak pure attack distorts every
curve. Any other attack on only inputs at the same norm and κ is a rival of PGD. The convex optimum
is the yardstick of Poisoning the last layer. Other attacks on only the last layer are compared
with the optimum as well, without a verdict.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.stats import Floats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.families import PGD, POISONING
from evil_twins.bench.analysis.tables.frames import column, line, lines
from evil_twins.bench.analysis.tables.recipes import recipe, united
from evil_twins.bench.analysis.tables.records import STUDY, Records

CONVEX = "convex-head"
BEST = "best"
RADIUS_BOUNDS = 1.05, 1.1
"""The largest median and 90th percentile of PGD's radius over the best rival's, target by target,
that pass."""

KL_BOUNDS = 1.1, 1.2
"""The same for KL on the reference: head-only Poisoning over the convex optimum."""

KEY = [*STUDY, "kappa", "attack"]


def _audit(records: Records) -> Iterator[dict[str, Any]]:
    for _, rows in records.rows.groupby([*STUDY, "kappa"], sort=True):
        attacks = rows[rows["role"].eq("attack")]
        yield from _radii(records, attacks[attacks["moves"].eq("inputs")])
        yield from _kls(records, attacks[attacks["moves"].eq("model")])


def _over_victims(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Audit the targets of all victims of each recipe that has several."""
    records = analysis.records
    victims = {
        (str(dataset), str(victim)): group["seed"].nunique()
        for (dataset, victim), group in records.rows.groupby(STUDY[:2])
    }
    if max(victims.values(), default=1) == 1:
        return
    for audited in _audit(united(records)):
        count = victims[str(audited["dataset"]), str(audited["victim"])]
        if count > 1:
            yield {name: audited[name] for name in audited if name != "seed"} | {"victims": count}


def _radii(records: Records, rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield PGD's radius over the best rival's and over each rival's."""
    norms = records.norms[rows.index]
    for row in rows.index[rows["method"].eq(PGD)]:
        norm = str(norms[row])
        rivals = rows[norms.eq(norm) & ~rows["method"].eq(PGD)]
        if rivals.empty:
            continue
        losses = _losses(records, [int(row), *map(int, rivals.index)], norm)
        endpoint, others = losses[:, 0], losses[:, 1:]
        wins = np.bincount(others.argmin(1), minlength=others.shape[1])
        key = line(rows[KEY], int(row)) | {"quantity": norm}
        yield key | {"against": BEST} | _judged(endpoint, others.min(1), RADIUS_BOUNDS)
        for name, loss, count in zip(rivals["attack"], others.T, wins, strict=True):
            yield key | {"against": name, "wins": int(count)} | _ratio(endpoint, loss)


def _kls(records: Records, rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the KL of each attack on the last layer over that of each convex optimum."""
    optima = rows.index[rows["method"].eq(CONVEX)]
    for row in rows.index[rows["layers"].eq("head")].difference(optima):
        key = line(rows[KEY], int(row)) | {"quantity": "kl"}
        for optimum in optima:
            losses = _losses(records, [int(row), int(optimum)], "kl_reference")
            targets = records.targets[records.targets["row"].eq(optimum)]
            gaps = 1 - column(targets, "kl_bound") / column(targets, "kl_reference")
            key |= {"against": rows.at[optimum, "attack"], "duality_gap": float(np.median(gaps))}
            endpoint, best = losses.T
            if rows.at[row, "method"] == POISONING:
                yield key | _judged(endpoint, best, KL_BOUNDS)
            else:
                yield key | _ratio(endpoint, best)


def _losses(records: Records, rows: list[int], name: str) -> Floats:
    """Return (targets, rows) losses of the targets that the rows share, infinite if κ is missed."""
    targets = records.targets[records.targets["row"].isin(rows)]
    targets = targets.assign(loss=targets[name].where(targets["at_kappa"], np.inf))
    wide = targets.pivot(index="target_id", columns="row", values="loss")[rows].dropna()
    return wide.to_numpy(dtype=np.float64)


def _ratio(endpoint: Floats, rival: Floats) -> dict[str, float]:
    finite = np.isfinite(endpoint) | np.isfinite(rival)
    endpoint, rival = endpoint[finite], rival[finite]
    if not len(endpoint):
        return {"n": 0, "median": np.nan, "p90": np.nan}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.isinf(endpoint), np.inf, endpoint / rival)
    p90 = np.quantile(ratio, 0.9, method="higher")  # interpolation would subtract infinities
    return {"n": len(ratio), "median": float(np.median(ratio)), "p90": float(p90)}


def _judged(endpoint: Floats, rival: Floats, bounds: tuple[float, float]) -> dict[str, Any]:
    ratio, (bound, p90_bound) = _ratio(endpoint, rival), bounds
    return ratio | {
        "bound": bound,
        "passed": ratio["median"] <= bound,
        "p90_bound": p90_bound,
        "p90_passed": ratio["p90"] <= p90_bound,
    }


def _verdict(line: dict[str, Any]) -> str:
    """Return the words for the median and for the 90th percentile, if there is a bound."""
    if pd.isna(line["bound"]):
        return ""
    words = ["passed" if line[name] else "failed" for name in ("passed", "p90_passed")]
    return words[0] if words[0] == words[1] else f"{words[0]}, p90 {words[1]}"


def _markdown(analysis: Analysis) -> str:
    table, pooled = analysis.table(AUDIT), analysis.table(AUDIT_OVER_VICTIMS)
    gap = table["duality_gap"].max()
    note = "" if pd.isna(gap) else f" Relative duality gap of the optimum: {text.number(gap)}."
    head = (
        "# Audit of the endpoints\n\n"
        "Loss of a pure attack over that of a rival, target by target: PGD's radius against other "
        "attacks on inputs and the best of them, the KL of each attack on only the "
        "last layer, on the attacker's images, against the convex optimum. The median and the 90th "
        "percentile are compared with their bounds, where there are any. Claims depend on both."
        f"{note}\n\n"
    )
    if pooled.empty:
        return head + _matrix(table)
    return (
        f"{head}Over the targets of all victims; `audit.csv` has each victim.\n\n{_matrix(pooled)}"
    )


def _matrix(table: pd.DataFrame) -> str:
    header = ["endpoint", "loss", "against", "targets", "median", "p90", "best for"]
    header += ["bound", "p90 bound", ""]
    body = [
        [
            f"{_victims(line)}: {line['attack']} κ {text.level(float(line['kappa']))}",
            *(str(line[name]) for name in ("quantity", "against", "n")),
            *(text.number(line[name], 4) for name in ("median", "p90")),
            *(text.number(line[name]) for name in ("wins", "bound", "p90_bound")),
            _verdict(line),
        ]
        for line in lines(table)
    ]
    return text.markdown(header, body, text_columns=3)


def _victims(line: dict[str, Any]) -> str:
    """Return the study of a line, or data set, victim and number of victims."""
    return text.study(line) if "seed" in line else recipe(line)


_COLUMNS = {
    "quantity": 'the norm whose radius is compared, or "kl"',
    "against": 'the rival; "best" is the best rival of each target',
    "n": "",
    "median p90": "of the ratios endpoint / rival over targets; a target that only the rival "
    "reaches counts as infinite, one that only the endpoint reaches as 0",
    "wins": "number of targets for which this rival was the best",
    "bound passed": "the largest median that passes: 1.05 for radii, 1.1 for KL; empty if "
    "the row is no endpoint",
    "p90_bound p90_passed": "the same for the 90th percentile: 1.1 for radii, 1.2 for KL",
    "duality_gap": "median (KL − lower bound) / KL of the convex optimum",
}

AUDIT = Table("audit", lambda a: _audit(a.records), {" ".join(KEY): ""} | _COLUMNS, _markdown, True)
AUDIT_OVER_VICTIMS = Table(
    "audit-over-victims",
    _over_victims,
    {"dataset victim kappa attack": "", "victims": "number of victims with these rows"} | _COLUMNS,
    optional=True,
)

"""IMC against the pure attacks on the same targets, and the worst case over all attacks."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.families import CONTROLS, IMC, families
from evil_twins.bench.analysis.tables.frames import line
from evil_twins.bench.analysis.tables.records import STUDY, Records

_KEYS = [*STUDY, "attack", "layers", "kappa", "phi", "lam"]


def _compare(mine: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    both = mine.merge(other, on="target_id", suffixes=("", "_other")).sort_values("target_id")
    first = both["flagged"].to_numpy(dtype=bool)
    second = both["flagged_other"].to_numpy(dtype=bool)
    test = stats.mcnemar(first, second)
    ranks = [both[name].to_numpy(dtype=float) for name in ("rank", "rank_other")]
    return {
        "n": len(both),
        "flagged": int(first.sum()),
        "flagged_against": int(second.sum()),
        "only": test.first,
        "only_against": test.second,
        "p_mcnemar": test.p,
        "rank_shift": float((ranks[0] - ranks[1]).mean()) if len(both) else float("nan"),
        "p_signed_rank": stats.signed_rank(ranks[0], ranks[1]),
    }


def paired(records: Records, decided: pd.DataFrame) -> pd.DataFrame:
    """McNemar (decisions at one threshold) and signed-rank (conformal ranks), attack by attack.

    One line per IMC row, pure attack and detector. `only` counts targets flagged under IMC alone,
    `rank_shift` is the mean change of the conformal rank (negative: IMC looks more benign). Holm
    is over all lines of one family against one pure attack.

    Args:
        records: The records.
        decided: `decisions` of them.
    """
    parts = dict(list(decided.groupby(["row", "detector"])))
    detectors = sorted(set(decided["detector"]))
    lines = []
    for family in families(records):
        for row, _ in family.rows:
            key = line(records.rows[_KEYS], row)
            for against, end in (("pgd", family.pgd), ("poisoning", family.poisoning)):
                for detector in detectors:
                    if end is None or not {(row, detector), (end, detector)} <= parts.keys():
                        continue
                    found = _compare(parts[row, detector], parts[end, detector])
                    lines.append(key | {"against": against, "detector": detector} | found)
    table = pd.DataFrame(lines)
    if not len(table):
        return pd.DataFrame(columns=pd.Index([*_KEYS, "against", "detector"]))
    groups = table.groupby([*STUDY, "attack", "layers", "kappa", "against"], dropna=False)
    for name in ("p_mcnemar", "p_signed_rank"):
        table[f"{name}_holm"] = groups[name].transform(lambda p: stats.holm(p.to_numpy(float)))
    return table


def under_every(
    records: Records, decided: pd.DataFrame
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Who is caught under each attack of the list of a study at one kappa, for every detector.

    The list is every row with that kappa, controls left out: it is fixed by the suite. Targets
    that some row of the list lacks are left out. Caught is a target that is flagged, or that the
    attack does not bring to κ within its radius: an attack that fails has passed no detector.

    Args:
        records: The records.
        decided: `decisions` of them.

    Yields:
        Study, kappa and detector by name; who is caught, by target (lines) and row (columns).
    """
    rows = records.rows[records.rows["kappa"].notna()]
    rows = rows[~rows["method"].isin(CONTROLS)]
    facts = records.targets
    reached = facts[["row", "target_id"]].assign(done=facts["at_kappa"] & facts["within_eps"])
    joined = decided.merge(rows, left_on="row", right_index=True)
    joined = joined.merge(reached, on=["row", "target_id"])
    joined["caught"] = joined["flagged"] | ~joined["done"].astype(bool)
    for key, part in joined.groupby([*STUDY, "kappa", "detector"], sort=True):
        wide = part.pivot(index="target_id", columns="row", values="caught").dropna()
        yield dict(zip([*STUDY, "kappa", "detector"], key, strict=True)), wide.astype(bool)


def worst(records: Records, decided: pd.DataFrame) -> pd.DataFrame:
    """Targets that a detector catches under *every* attack that brings them to κ within its radius.

    Args:
        records: The records.
        decided: `decisions` of them.

    Returns:
        One line per study, kappa and detector: attacks (how many), n, caught, rate, low, high,
        imc_caught (the same over the IMC rows alone).
    """
    lines = []
    for found, wide in under_every(records, decided):
        joint = [row for row in wide.columns if records.rows.at[row, "method"] == IMC]
        caught = int(wide.all(axis=1).sum())
        rate = stats.clopper_pearson(caught, len(wide))
        found |= {"attacks": wide.shape[1], "n": len(wide), "caught": caught, "rate": rate.value}
        found |= {"low": rate.low, "high": rate.high}
        found |= {"imc_caught": int(wide[joint].all(axis=1).sum()) if joint else 0}
        lines.append(found)
    columns = [*STUDY, "kappa", "detector", "attacks", "n", "caught", "rate", "low", "high"]
    return pd.DataFrame(lines, columns=pd.Index([*columns, "imc_caught"]))


PAIRED = Table("paired", lambda of: paired(of.records, of.decisions))


WORST = Table("worst", lambda of: worst(of.records, of.decisions))

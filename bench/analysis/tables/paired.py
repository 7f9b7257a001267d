"""IMC against the pure attacks on the same targets, and the worst case over all attacks."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.clusters import cluster_count
from evil_twins.bench.analysis.tables.families import IMC
from evil_twins.bench.analysis.tables.frames import (
    by_name,
    column,
    flags,
    frame,
    holm_within,
    line,
)
from evil_twins.bench.analysis.tables.records import STUDY, Records

_KEYS = [*STUDY, "attack", "layers", "kappa", "phi", "lam"]


def _compare(pairs: pd.DataFrame, clusters: stats.Ints | None) -> dict[str, float]:
    flagged, against = (flags(pairs, name) for name in ("flagged", "flagged_other"))
    test = stats.mcnemar(flagged, against, clusters)
    ranks = [column(pairs, name) for name in ("rank", "rank_other")]
    return {
        "n": len(pairs),
        "flagged": int(flagged.sum()),
        "flagged_against": int(against.sum()),
        "only": test.first,
        "only_against": test.second,
        "p_mcnemar": test.p,
        "rank_shift": float((ranks[0] - ranks[1]).mean()) if len(pairs) else float("nan"),
        "p_signed_rank": stats.signed_rank(ranks[0], ranks[1], clusters),
    }


def _paired(analysis: Analysis) -> pd.DataFrame:
    table = frame(_pairs(analysis), PAIRED.names)
    if len(table):
        for name in ("p_mcnemar", "p_signed_rank"):
            keys = [*STUDY, "attack", "layers", "kappa", "against"]
            table[f"{name}_holm"] = holm_within(table, keys, name)
    return table


def _pairs(analysis: Analysis) -> Iterator[dict[str, Any]]:
    for family in analysis.families:
        for row, _ in family.rows:
            key = line(analysis.records.rows[_KEYS], row)
            for against, end in (("pgd", family.pgd), ("poisoning", family.poisoning)):
                if end is None:
                    continue
                for detector, pairs in analysis.on_both(row, end).items():
                    names = list(pairs["target_id"])
                    clusters = analysis.records.clusters.joint((row, end), names)
                    place = {"against": against, "detector": detector}
                    yield key | place | _compare(pairs, clusters)


def caught_by_attack(
    records: Records, decided: pd.DataFrame
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Find the targets that each detector catches under each attack of a study at one κ.

    The attacks are all rows with that κ but controls and yardsticks: the suite fixes the list.
    Targets that a row of the list lacks are skipped. A target is caught if it is flagged, or if
    the attack does not bring it to κ within its radius: a failed attack passes no detector.

    Args:
        records: The records.
        decided: `decide` of their cells.

    Yields:
        Study, kappa and detector by name; whether a target (line) is caught under a row (column).
    """
    rows = records.rows[records.rows["kappa"].notna() & records.rows["role"].eq("attack")]
    facts = records.targets
    reached = facts[["row", "target_id"]].assign(done=facts["at_kappa"] & facts["within_eps"])
    joined = decided.merge(rows, left_on="row", right_index=True)
    joined = joined.merge(reached, on=["row", "target_id"])
    joined["caught"] = joined["flagged"] | ~joined["done"].astype(bool)
    for key, cells in joined.groupby([*STUDY, "kappa", "detector"], sort=True):
        wide = cells.pivot(index="target_id", columns="row", values="caught").dropna()
        yield dict(zip([*STUDY, "kappa", "detector"], key, strict=True)), wide.astype(bool)


def worst(records: Records, decided: pd.DataFrame) -> pd.DataFrame:
    """Count the targets that a detector catches under *every* attack at one κ.

    Args:
        records: The records.
        decided: `decide` of their cells.
    """
    table = []
    for key, wide in caught_by_attack(records, decided):
        joint = [row for row in wide.columns if records.rows.at[row, "method"] == IMC]
        caught = wide.all(axis=1).to_numpy()
        clusters = records.clusters.joint(wide.columns, list(wide.index))
        counts = by_name("rate low high", stats.share(caught, clusters))
        counts |= {"attacks": wide.shape[1], "n": len(wide), "caught": int(caught.sum())}
        counts |= {"models": cluster_count(clusters, len(wide))}
        counts |= {"imc_caught": int(wide[joint].all(axis=1).sum()) if joint else 0}
        table.append(key | counts)
    return frame(table, WORST.names)


PAIRED = Table(
    "paired",
    _paired,
    {
        " ".join(_KEYS): "",
        "against": '"pgd" or "poisoning"',
        "detector n": "",
        "flagged flagged_against": "targets flagged under IMC, and under the pure attack",
        "only only_against": "targets flagged only under IMC, and only under the pure attack",
        "p_mcnemar": "McNemar's test",
        "rank_shift": "mean change of the conformal rank; negative: IMC looks more benign",
        "p_signed_rank": "Wilcoxon's test of this change",
        "p_mcnemar_holm p_signed_rank_holm": "Holm's correction over all lines of a sweep against "
        "one pure attack",
    },
)
WORST = Table(
    "worst",
    lambda analysis: worst(analysis.records, analysis.table_decisions),
    {
        " ".join([*STUDY, "kappa detector"]): "",
        "attacks": "number of rows in the list",
        "n": "",
        "models": "as in `detection.csv`; a chain of models of any rows joins targets",
        "caught rate": "targets flagged under every row that brings them to κ within its radius, "
        "with the interval",
        "low high": "",
        "imc_caught": "the same of the IMC rows",
    },
)

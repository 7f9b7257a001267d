"""Compare a new detector with the others of a suite, paired on the same targets."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.calibration import LEVEL
from evil_twins.bench.analysis.tables.compare.differences import (
    DIFFERENCE,
    Cell,
    Pair,
    Tables,
    by_rate,
    corrected,
    differ,
    written,
)
from evil_twins.bench.analysis.tables.detection import STRICT, rates
from evil_twins.bench.analysis.tables.frames import column, line, lines
from evil_twins.bench.analysis.tables.paired import caught_by_attack, worst
from evil_twins.bench.analysis.tables.records import KEYS, STUDY

KS = "KS (mean, 95 % of null)"
HOLM, MAX_T = ("p_holm", "p (Holm)"), ("p_max_t", "p (max-T)")
"""Column and heading of p-values corrected by each method."""


def tables(analysis: Analysis, costs: pd.DataFrame, label: str) -> Tables:
    """Compare a new detector with the others.

    Args:
        analysis: The numbers, those of the newcomer among them.
        costs: `records.COSTS` by row.
        label: The newcomer.

    Returns:
        "compare", its lines of the detection table, with its costs; "paired", it and each
        other detector, attack by attack; "worst", every detector under all attacks of the list,
        with the newcomer's difference.
    """
    return {
        "compare": rates_and_costs(analysis, costs, label),
        "paired": _paired(analysis, label),
        "worst": _worst(analysis, label),
    }


def rates_and_costs(analysis: Analysis, costs: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the newcomer's lines of the detection table, with its costs."""
    cells = [cell for cell in analysis.cells.values() if cell.detector == label]
    # With one detector there is nothing to correct over.
    table = rates(analysis.records, cells, (STRICT, analysis.fpr)).drop(columns="fpr_p_holm")
    return table.merge(per_input(costs[costs["detector"] == label], KEYS), on=KEYS, how="left")


def per_input(costs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add up the seconds and inputs of equal keys, and divide the former by the latter."""
    sums = costs.groupby(keys, dropna=False, as_index=False)[["seconds", "inputs"]].sum()
    return sums.assign(seconds_per_input=sums["seconds"] / sums["inputs"])


def _paired(analysis: Analysis, label: str) -> pd.DataFrame:
    """Compare the newcomer with each other detector, attack by attack, without controls.

    `difference` is the newcomer's detection rate minus the other's (Tango's interval), `p` that of
    McNemar's exact test, `p_holm` corrected over all lines.
    """
    pairs = by_attack(analysis, label)
    comparisons = (key | differ(first, second, joint) for key, first, second, joint in pairs)
    table = corrected(comparisons, [*KEYS, "detector", *DIFFERENCE])
    return table.rename(columns={"detector": "other"})


def by_attack(analysis: Analysis, label: str) -> Iterator[Pair]:
    """Yield the flags of the newcomer and of each other detector, attack by attack.

    The keys are those of the row, and the other detector as `detector`.
    """
    rows, decided = analysis.records.rows, analysis.decisions
    rows = rows[rows["role"].eq("attack")]
    for row, cells in decided[decided["row"].isin(rows.index)].groupby("row", sort=True):
        wide = cells.pivot(index="target_id", columns="detector", values="flagged")
        if label not in wide:
            continue
        key = line(rows[KEYS], int(str(row)))
        for other in (name for name in wide.columns if name != label):
            pairs = wide[[label, other]].dropna()
            first, second = pairs.to_numpy(dtype=bool).T
            clusters = analysis.records.clusters.joint([int(str(row))], list(pairs.index))
            yield key | {"detector": other}, first, second, clusters


def _worst(analysis: Analysis, label: str) -> pd.DataFrame:
    """Return `worst` of every detector with the newcomer's difference on shared attacks."""
    records, decided = analysis.records, analysis.decisions
    keys = [*STUDY, "kappa", "detector"]
    pairs = under_every_attack(analysis, label)
    comparisons = (key | differ(first, second, joint) for key, first, second, joint in pairs)
    gaps = corrected(comparisons, [*keys, *DIFFERENCE])
    names = {name: f"difference_{name}" for name in ("n", "low", "high")}
    table = worst(records, decided).merge(gaps.rename(columns=names), on=keys, how="left")
    return with_knowledge(analysis, table)


def with_knowledge(analysis: Analysis, table: pd.DataFrame) -> pd.DataFrame:
    """Add the knowledge of each detector to a table."""
    knowledge = analysis.records.scores.groupby("detector")["knowledge"].first()
    return table.assign(knowledge=table["detector"].map(knowledge))


def under_every_attack(analysis: Analysis, label: str) -> Iterator[Pair]:
    """Yield what the newcomer and each other detector catch under all attacks that both scored.

    The keys are those of STUDY, `kappa`, and the other detector as `detector`.
    """
    caught = list(caught_by_attack(analysis.records, analysis.decisions))
    newcomer = {_place(key): wide for key, wide in caught if key["detector"] == label}
    for key, wide in caught:
        new = newcomer.get(_place(key))
        if new is None or key["detector"] == label:
            continue
        rows = new.columns.intersection(wide.columns)
        targets = new.index.intersection(wide.index)
        first, second = (
            side.loc[targets, rows].all(axis=1).to_numpy(dtype=bool) for side in (new, wide)
        )
        clusters = analysis.records.clusters.joint(rows, list(targets))
        yield key, first, second, clusters


def _place(key: Cell) -> tuple[object, ...]:
    return tuple(key[name] for name in (*STUDY, "kappa"))


def words(analysis: Analysis, tables: Tables, label: str) -> str:
    """Write a new detector and the others."""
    fpr, strict = text.percent(analysis.fpr), text.percent(STRICT)
    knowledge = "".join(sorted(set(tables["compare"]["knowledge"]))[:1])
    blocks = [
        f"# {label} ({knowledge}) and the other detectors\n\n"
        f"{text.study(line(analysis.records.rows, 0))}. Thresholds come from benign scores under "
        f"the faced models, at a false-positive rate (FPR) of {fpr} and of {strict}; in brackets "
        "95 % intervals for this model, for AUROC a paired bootstrap. Attacker's success: at κ, "
        f"within ε and not flagged at {fpr}. KS is measured at equal n, with its mean and 95th "
        "percentile under shuffled labels. Milliseconds are those of whole score cells, fits "
        f"included.\n\n{_rates(analysis, tables['compare'])}"
    ]
    sure = tables["paired"][tables["paired"]["p_holm"] < LEVEL]
    blocks += others(tables["worst"], sure, label, HOLM)
    blocks.append(
        "\nCaught: flagged under *every* attack that reaches κ, of all at that κ, "
        f"without controls. Difference: {label} minus the other on the same targets, with Tango's "
        "95 % interval; p by McNemar's exact test, corrected by Holm over all detectors and κ. "
        f"More, fewer: attacks under which {label} flags more or fewer targets than the other, at "
        f"p < {LEVEL:g} corrected over all pairs; each is in `paired.csv`.\n\n"
    )
    return "".join([*blocks, text.failures(analysis.records)])


def _rates(analysis: Analysis, table: pd.DataFrame) -> str:
    records = analysis.records
    return matrix(records.rows, records.numbered(table), analysis.fpr, KS)


def matrix(rows: pd.DataFrame, table: pd.DataFrame, fpr: float, separation: str) -> str:
    """Write the newcomer under each attack, with its costs.

    Args:
        rows: Rows of the records.
        table: Its lines with `row`, of one victim or over victims, at the strict rate and at `fpr`.
        fpr: The nominal false-positive rate.
        separation: The heading of KS.
    """
    flagged = [f"flagged, FPR {text.percent(rate)}" for rate in (fpr, STRICT)]
    header = ["attack", "at κ", flagged[0], "realised FPR", flagged[1]]
    header += ["success", "AUROC", separation, "ms per input"]
    cells = by_rate(table, "row")
    body = []
    for row in text.ordered(rows):
        if row in cells:
            cell = cells[row][fpr]
            words = written(cell, cells[row][STRICT])
            names = ("at κ", "flagged", "realised", "strict", "success", "AUROC", "KS")
            seconds = text.number(1000 * float(cell["seconds_per_input"]), 2)
            body.append([text.name(cell), *(words[name] for name in names), seconds])
    return text.markdown(header, body)


def others(
    table: pd.DataFrame, sure: pd.DataFrame, label: str, corrected: tuple[str, str]
) -> Iterator[str]:
    """Yield a section for each κ: the newcomer and each other detector.

    Args:
        table: The lines of "worst".
        sure: The lines of "paired" that the columns "more" and "fewer" count.
        label: The newcomer.
        corrected: `HOLM` or `MAX_T`, whichever the lines have.
    """
    for kappa, cells in table.groupby("kappa", sort=True):
        yield f"\n## Compared with each detector, κ {text.level(float(str(kappa)))}\n\n"
        yield _others(cells, sure[sure["kappa"] == kappa], label, corrected)


def _others(table: pd.DataFrame, sure: pd.DataFrame, label: str, corrected: tuple[str, str]) -> str:
    p, heading = corrected
    header = ["detector", "knows", "attacks", "caught", "difference", heading, "more", "fewer"]
    order = table.assign(_place=table["detector"] != label)
    order = order.sort_values(["_place", "caught", "detector"], ascending=[True, False, True])
    body = []
    for cell in lines(order):
        name = str(cell["detector"])
        signs = np.sign(column(sure[sure["other"] == name], "difference"))
        gap = "" if pd.isna(cell["difference"]) else text.difference(cell)
        difference = [gap, text.p_value(cell[p])]
        difference += [str(int((signs > 0).sum())), str(int((signs < 0).sum()))]
        body.append(
            [
                name,
                *(str(cell[key]) for key in ("knowledge", "attacks")),
                text.share(cell, "caught"),
                *([""] * 4 if name == label else difference),
            ]
        )
    return text.markdown(header, body, text_columns=2)

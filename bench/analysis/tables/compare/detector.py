"""Compare a new detector with the others of a suite, paired on the same targets."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.calibration import LEVEL
from evil_twins.bench.analysis.tables.compare.differences import (
    DIFFERENCE,
    by_rate,
    corrected,
    differ,
    written,
)
from evil_twins.bench.analysis.tables.detection import STRICT, rates
from evil_twins.bench.analysis.tables.frames import column, line, lines
from evil_twins.bench.analysis.tables.paired import caught_by_attack, worst
from evil_twins.bench.analysis.tables.records import KEYS, STUDY

Tables = dict[str, pd.DataFrame]


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
    cells = [cell for cell in analysis.cells.values() if cell.detector == label]
    # With one detector there is nothing to correct over.
    table = rates(analysis.records, cells, (STRICT, analysis.fpr)).drop(columns="fpr_p_holm")
    seconds = costs[costs["detector"] == label].drop(columns="detector")
    seconds = seconds.assign(seconds_per_input=seconds["seconds"] / seconds["inputs"])
    return {
        "compare": table.merge(seconds, on=KEYS, how="left"),
        "paired": _paired(analysis, label),
        "worst": _worst(analysis, label),
    }


def _paired(analysis: Analysis, label: str) -> pd.DataFrame:
    """Compare the newcomer with each other detector, attack by attack, without controls.

    `difference` is the newcomer's detection rate minus the other's (Tango's interval), `p` that of
    McNemar's exact test, `p_holm` corrected over all lines.
    """
    rows, decided = analysis.records.rows, analysis.decisions
    rows = rows[rows["role"].eq("attack")]
    comparisons = []
    for row, cells in decided[decided["row"].isin(rows.index)].groupby("row", sort=True):
        wide = cells.pivot(index="target_id", columns="detector", values="flagged")
        if label not in wide:
            continue
        key = line(rows[KEYS], int(str(row)))
        for other in (name for name in wide.columns if name != label):
            flags = wide[[label, other]].dropna().to_numpy(dtype=bool)
            comparisons.append(key | {"other": other} | differ(flags[:, 0], flags[:, 1]))
    return corrected(comparisons, [*KEYS, "other", *DIFFERENCE])


def _worst(analysis: Analysis, label: str) -> pd.DataFrame:
    """Return `worst` of every detector with the newcomer's difference on shared attacks."""
    records, decided = analysis.records, analysis.decisions
    keys = [*STUDY, "kappa", "detector"]
    gaps = corrected(_gaps(analysis, label), [*keys, *DIFFERENCE])
    names = {name: f"difference_{name}" for name in ("n", "low", "high")}
    knowledge = records.scores.groupby("detector")["knowledge"].first()
    table = worst(records, decided).merge(gaps.rename(columns=names), on=keys, how="left")
    return table.assign(knowledge=table["detector"].map(knowledge))


def _gaps(analysis: Analysis, label: str) -> Iterator[dict[str, Any]]:
    caught = list(caught_by_attack(analysis.records, analysis.decisions))
    newcomer = {_place(key): wide for key, wide in caught if key["detector"] == label}
    for key, wide in caught:
        new = newcomer.get(_place(key))
        if new is None or key["detector"] == label:
            continue
        rows = new.columns.intersection(wide.columns)
        targets = new.index.intersection(wide.index)
        masks = (side.loc[targets, rows].all(axis=1).to_numpy(dtype=bool) for side in (new, wide))
        yield key | differ(*masks)


def _place(key: dict[str, Any]) -> tuple[Any, ...]:
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
    for kappa, cells in tables["worst"].groupby("kappa", sort=True):
        pairs = tables["paired"][tables["paired"]["kappa"] == kappa]
        blocks.append(f"\n## Compared with each detector, κ {text.level(float(str(kappa)))}\n\n")
        blocks.append(_others(cells, pairs, label))
    blocks.append(
        "\nCaught: flagged under *every* attack that reaches κ, of all at that κ, "
        f"without controls. Difference: {label} minus the other on the same targets, with Tango's "
        "95 % interval; p by McNemar's exact test, corrected by Holm over all detectors and κ. "
        f"More, fewer: attacks under which {label} flags more or fewer targets than the other, at "
        f"p < {LEVEL:g} corrected over all pairs; each is in `paired.csv`.\n\n"
    )
    return "".join([*blocks, text.failures(analysis.records)])


def _rates(analysis: Analysis, table: pd.DataFrame) -> str:
    fpr, strict = text.percent(analysis.fpr), text.percent(STRICT)
    header = ["attack", "at κ", f"flagged, FPR {fpr}", "realised FPR", f"flagged, FPR {strict}"]
    header += ["success", "AUROC", "KS (mean, 95 % of null)", "ms per input"]
    cells = by_rate(analysis.records.numbered(table), "row")
    body = []
    for row in text.ordered(analysis.records.rows):
        if row in cells:
            cell = cells[row][analysis.fpr]
            words = written(cell, cells[row][STRICT])
            names = ("at κ", "flagged", "realised", "strict", "success", "AUROC", "KS")
            seconds = text.number(1000 * float(cell["seconds_per_input"]), 2)
            body.append([text.name(cell), *(words[name] for name in names), seconds])
    return text.markdown(header, body)


def _others(table: pd.DataFrame, pairs: pd.DataFrame, label: str) -> str:
    header = ["detector", "knows", "attacks", "caught", "difference", "p (Holm)", "more", "fewer"]
    sure = pairs[pairs["p_holm"] < LEVEL]
    order = table.assign(_place=table["detector"] != label)
    order = order.sort_values(["_place", "caught", "detector"], ascending=[True, False, True])
    body = []
    for cell in lines(order):
        name = str(cell["detector"])
        signs = np.sign(column(sure[sure["other"] == name], "difference"))
        gap = "" if pd.isna(cell["difference"]) else text.difference(cell)
        difference = [gap, text.p_value(cell["p_holm"])]
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

"""Compare new attacks with those of a suite, under every detector."""

from collections.abc import Mapping, Sequence

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.attacks import ATTACKS
from evil_twins.bench.analysis.tables.compare.differences import (
    KS_OF_ONE,
    Cell,
    Tables,
    by_rate,
    written,
)
from evil_twins.bench.analysis.tables.detection import STRICT, rates
from evil_twins.bench.analysis.tables.frames import line, lines
from evil_twins.bench.analysis.tables.records import KEYS


def tables(analysis: Analysis) -> Tables:
    """Compare new attacks with the others.

    Args:
        analysis: The numbers, those of the new ones among them.

    Returns:
        "compare", the table of attacks, and "detection", the detection table; both with all
        attacks and the columns that they have for a suite.
    """
    cells = analysis.cells.values()
    table = rates(analysis.records, cells, (STRICT, analysis.fpr))
    return {"compare": analysis.table(ATTACKS), "detection": table}


def words(analysis: Analysis, tables: Tables, labels: Sequence[str], rivals: Sequence[str]) -> str:
    """Write new attacks under every detector, and their costs compared with others."""
    fpr = text.percent(analysis.fpr)
    blocks = [
        f"# {', '.join(labels)} and the other attacks\n\n"
        f"{text.study(line(analysis.records.rows, 0))}. Success: at κ, within ε and not flagged at "
        f"a false-positive rate (FPR) of {fpr}; intervals as in the other tables.\n"
    ]
    records, table = analysis.records, tables["detection"]
    blocks.append(detectors(table[table["attack"].isin(labels)], KEYS, analysis.fpr, KS_OF_ONE))
    costs = dict(enumerate(lines(tables["compare"])))
    rows = records.rows[records.rows["attack"].isin([*labels, *rivals])]
    blocks.append(matrix(rows, costs, records.numbered(table), analysis.fpr, labels))
    blocks.append(
        "\nMeans over all targets; disagreement pooled over targets × R with a crossed bootstrap "
        f"interval (95 %); under each detector the targets flagged at an FPR of {fpr}, in %.\n\n"
    )
    return "".join([*blocks, text.failures(analysis.records)])


def detectors(table: pd.DataFrame, keys: list[str], fpr: float, separation: str) -> str:
    """Write each row of new attacks under every detector.

    Args:
        table: Its lines, of one victim or over victims, at the strict rate and at `fpr`.
        keys: The columns that name a row.
        fpr: The nominal false-positive rate.
        separation: The heading of KS.
    """
    blocks = []
    for values, cells in table.groupby(keys, dropna=False, sort=True):
        name = text.name(dict(zip(keys, values, strict=True)))
        blocks.append(f"\n## Under each detector: {name}\n\n{_detectors(cells, fpr, separation)}")
    return "".join(blocks)


def _detectors(table: pd.DataFrame, fpr: float, separation: str) -> str:
    flagged = [f"flagged, FPR {text.percent(rate)}" for rate in (fpr, STRICT)]
    header = ["detector", "knows", *flagged, "success", "AUROC", separation]
    body = []
    for name, cells in by_rate(table, "detector").items():
        words = written(cells[fpr], cells[STRICT])
        names = ("flagged", "strict", "success", "area", "KS")
        body.append([str(name), str(cells[fpr]["knowledge"]), *(words[key] for key in names)])
    return text.markdown(header, body, text_columns=2)


def matrix(
    rows: pd.DataFrame,
    costs: Mapping[int, Cell],
    table: pd.DataFrame,
    fpr: float,
    labels: Sequence[str],
) -> str:
    """Write the costs of attacks and their rates under each detector, the new ones first.

    Args:
        rows: Rows of the records.
        costs: Row number -> its costs; rows without costs have no line.
        table: Lines of the detection table with `row`, of one victim or over victims.
        fpr: The nominal false-positive rate.
        labels: The new attacks.
    """
    names, table = sorted(set(table["detector"])), table[table["fpr_nominal"] == fpr]
    rates = {
        (line["row"], line["detector"]): text.number(100 * line["rate"]) for line in lines(table)
    }
    header = ["attack", "at κ", "‖x* − x°‖∞ · 255", "disagreement ‰", "KL · 1000", *names]
    body = []
    order = text.ordered(rows[rows.index.isin(costs)])
    for row in sorted(order, key=lambda row: rows.at[row, "attack"] not in labels):
        cost = costs[row]
        body.append(
            [
                text.name(cost),
                "" if pd.isna(cost["kappa"]) else f"{cost['at_kappa']}/{cost['n']}",
                text.number(255 * cost["linf"]),
                text.interval(cost, "specificity", 1000),
                text.number(1000 * cost["kl"]),
                *(rates.get((row, name), "") for name in names),
            ]
        )
    title = "\n## Compared with the other attacks\n\n"
    return title + text.markdown(header, body)

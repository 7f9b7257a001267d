"""Compare a new attack with those of a suite, under every detector."""

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.attacks import ATTACKS
from evil_twins.bench.analysis.tables.compare.differences import by_rate, written
from evil_twins.bench.analysis.tables.detection import STRICT, rates
from evil_twins.bench.analysis.tables.frames import line, lines
from evil_twins.bench.analysis.tables.records import KEYS

Tables = dict[str, pd.DataFrame]


def tables(analysis: Analysis) -> Tables:
    """Compare a new attack with the others.

    Args:
        analysis: The numbers, those of the newcomer among them.

    Returns:
        "compare", the table of attacks, and "detection", the detection table; both with all
        attacks and the columns that they have for a suite.
    """
    cells = analysis.cells.values()
    table = rates(analysis.records, cells, (STRICT, analysis.fpr))
    return {"compare": analysis.table(ATTACKS), "detection": table}


def words(analysis: Analysis, tables: Tables, label: str) -> str:
    """Write a new attack under every detector, and its costs compared with the others."""
    fpr = text.percent(analysis.fpr)
    blocks = [
        f"# {label} and the other attacks\n\n"
        f"{text.study(line(analysis.records.rows, 0))}. Success: at κ, within ε and not flagged at "
        f"a false-positive rate (FPR) of {fpr}; intervals as in the other tables.\n"
    ]
    table = tables["detection"]
    for keys, cells in table[table["attack"] == label].groupby(KEYS, dropna=False, sort=True):
        name = text.name(dict(zip(KEYS, keys, strict=True)))
        blocks.append(f"\n## Under each detector: {name}\n\n{_detectors(cells, analysis.fpr)}")
    blocks.append(f"\n## Compared with the other attacks\n\n{_matrix(analysis, tables, label)}")
    blocks.append(
        "\nMeans over all targets; disagreement pooled over targets × R with a crossed bootstrap "
        f"interval (95 %); under each detector the targets flagged at an FPR of {fpr}, in %.\n\n"
    )
    return "".join([*blocks, text.failures(analysis.records)])


def _detectors(table: pd.DataFrame, fpr: float) -> str:
    flagged = [f"flagged, FPR {text.percent(rate)}" for rate in (fpr, STRICT)]
    header = ["detector", "knows", *flagged, "success", "AUROC", "KS (mean, 95 % of null)"]
    body = []
    for name, cells in by_rate(table, "detector").items():
        words = written(cells[fpr], cells[STRICT])
        names = ("flagged", "strict", "success", "area", "KS")
        body.append([str(name), str(cells[fpr]["knowledge"]), *(words[key] for key in names)])
    return text.markdown(header, body, text_columns=2)


def _matrix(analysis: Analysis, tables: Tables, label: str) -> str:
    rows, names = analysis.records.rows, sorted(set(tables["detection"]["detector"]))
    table = tables["detection"][tables["detection"]["fpr_nominal"] == analysis.fpr]
    rates = {
        (line["row"], line["detector"]): text.number(100 * line["rate"])
        for line in lines(analysis.records.numbered(table))
    }
    header = ["attack", "at κ", "‖x* − x°‖∞ · 255", "disagreement ‰", "KL · 1000", *names]
    body = []
    for row in sorted(text.ordered(rows), key=lambda row: rows.at[row, "attack"] != label):
        cost = line(tables["compare"], row)
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
    return text.markdown(header, body)

"""Scores of models over the victims of a recipe, in which the victim is the unit."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.frames import by_name, column, ends, lines, spread
from evil_twins.bench.analysis.tables.inspection import INSPECTION
from evil_twins.bench.analysis.tables.population import mean_in_unit, pooled
from evil_twins.bench.analysis.tables.recipes import MEAN, NEXT, RECIPE, populations


def _over_victims(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Yield a line for each detector and row that several victims compare with fine-tunes."""
    keys = [*RECIPE, "detector"]
    table = analysis.table(INSPECTION)
    for key, victims in table[table["threshold"].notna()].groupby(keys, dropna=False, sort=False):
        if len(victims) < 2:
            continue
        flagged, models = column(victims, "flagged"), column(victims, "models")
        rates = pooled(flagged, models, models)
        rates.pop("effect")
        areas = column(victims, "auroc")
        yield dict(zip(keys, key, strict=True)) | {
            "victims": len(victims),
            "models": int(models.sum()),
            "flagged": int(flagged.sum()),
            **rates,
            **spread("auroc", mean_in_unit(areas)),
            **by_name("auroc_least auroc_most", (areas.min(), areas.max())),
        }


def _markdown(analysis: Analysis) -> str:
    fpr = text.percent(analysis.fpr)
    table = analysis.table(INSPECTION_OVER_VICTIMS)
    header = ["attack", "models", f"flagged at {fpr}", "of a victim", "AUROC", "of a victim"]
    blocks = [
        "# Models inspected, over victims\n\n"
        "As in [inspection.md](inspection.md), with the models of all victims. Intervals (95 %) "
        f"hold {MEAN}: of the share that of Korn and Graubard, of the mean AUROC that of Student's "
        f"t. Then the lowest and the highest of a victim; they show what to expect {NEXT}.\n"
    ]
    for title, _, rows in populations(analysis.records.rows):
        ordered = rows.loc[text.ordered(rows), RECIPE].merge(table, on=RECIPE, sort=False)
        for detector, group in ordered.groupby("detector", sort=True):
            body = [_row(line) for line in lines(group)]
            written = text.markdown(header, body)
            blocks.append(f"\n## {title}: {text.one_line(str(detector))}\n\n{written}")
    return "".join(blocks)


def _row(line: dict[str, Any]) -> list[str]:
    has_auroc = pd.notna(line["auroc"])
    return [
        text.name(line),
        str(line["models"]),
        f"{line['rate']:.2f} [{line['low']:.2f}, {line['high']:.2f}]",
        f"{line['least']:.2f}–{line['most']:.2f}",
        text.interval(line, "auroc", digits=2) if has_auroc else "",
        f"{line['auroc_least']:.2f}–{line['auroc_most']:.2f}" if has_auroc else "",
    ]


INSPECTION_OVER_VICTIMS = Table(
    "inspection-over-victims",
    _over_victims,
    {
        " ".join([*RECIPE, "detector"]): "",
        "victims models": "number of victims, and of models of the row",
        "flagged rate low high": "models above the threshold of the fine-tunes of their "
        "victim, with the interval of Korn and Graubard over victims",
        "least most": "the lowest and the highest share of a victim",
        ends("auroc"): "mean over victims of models against fine-tunes, with a t interval",
        "auroc_least auroc_most": "the lowest and the highest of a victim",
    },
    _markdown,
    optional=True,
)

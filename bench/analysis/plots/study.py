"""What all figures of one study (data set, victim, seed) draw from."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.stats import FPR as ALPHA
from evil_twins.bench.analysis.tables import Analysis, text
from evil_twins.bench.analysis.tables.budgets import BUDGETS
from evil_twins.bench.analysis.tables.decisions import Cell
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.families import FAMILY, IMC, PGD, POISONING, Family
from evil_twins.bench.analysis.tables.frames import line, lines
from evil_twins.bench.analysis.tables.load import LOAD
from evil_twins.bench.analysis.tables.outcomes import OUTCOMES
from evil_twins.bench.analysis.tables.price import PRICE
from evil_twins.bench.analysis.tables.records import STUDY, Records
from evil_twins.bench.analysis.tables.sweeps import TRADEOFF

STRICT = 0.01
"""A lower false-positive rate beside the headline one."""


@dataclass(frozen=True)
class Study:
    """Records and tables of one study.

    Attributes:
        title: Data set, victim and seed in words.
        dataset: The data set.
        suffix: Ending of file names, empty when there is only one study.
        rows: Its rows, numbered as in the records.
        detection: Lines of the detection table at the headline rate, with `row`.
        strict: The same at a false-positive rate of `STRICT`.
        tradeoff: Lines of the trade-off table that belong to its sweeps.
        budgets: Lines of the table of budgets.
        load: Lines of the table of models that serve several targets.
        price: Lines of the table of what evasion costs.
        outcomes: Lines of the table of outcomes, with `row`.
        families: Its sweeps.
        cells: Its scores by (row, detector).
        gallery: Its stored images.
        failed: Cells that failed in the whole suite.
    """

    title: str
    dataset: str
    suffix: str
    rows: pd.DataFrame
    detection: pd.DataFrame
    strict: pd.DataFrame
    tradeoff: pd.DataFrame
    budgets: pd.DataFrame
    load: pd.DataFrame
    price: pd.DataFrame
    outcomes: pd.DataFrame
    families: list[Family]
    cells: dict[tuple[int, str], Cell]
    gallery: pd.DataFrame
    failed: int

    def name(self, row: int) -> str:
        """A row in words."""
        return text.name(line(self.rows, row))

    def detectors(self) -> list[str]:
        """Detectors in reading order."""
        return style.detector_order([str(name) for name in self.detection["detector"]])

    def footer(self) -> str:
        """What every caption ends with: n, kappa and failed cells."""
        sizes = sorted({int(n) for n in self.detection["n"]})
        n = f"{sizes[0]}–{sizes[-1]}" if len(sizes) > 1 else "".join(map(str, sizes))
        kappas = sorted({float(k) for k in self.rows["kappa"].dropna()})
        stated = ", ".join(text.short(kappa) for kappa in kappas)
        return f"n = {n} targets, κ = {stated}; {text.failed(self.failed)}."

    def examples(self, most: int = 5) -> list[int]:
        """Rows that stand for the attacks: Poisoning, IMC evenly along phi, PGD at one kappa."""
        sweeps = sorted(self.families, key=lambda one: (-len(one.line()), float_of(one, "kappa")))
        if not sweeps:
            aimed = self.rows[self.rows["method"].isin([PGD, POISONING, IMC])]
            return [int(row) for row in aimed.index[:most]]
        row = [row for row, _ in sweeps[0].line()]
        places = np.linspace(0, len(row) - 1, min(most, len(row))).round().astype(int)
        return [row[place] for place in places]


def float_of(family: Family, name: str) -> float:
    """A number among the keys of a family."""
    return float(str(family.key[name]))


def label(family: Family, several: bool) -> str:
    """A family in words; its layers are left out when all have the same."""
    key = {**family.key, "phi": float("nan"), "lam": float("nan")}
    found = text.name(key | ({} if several else {"layers": ""}))
    return found + (" along λ" if family.along == "lam" else "")


def studies(records: Records) -> Iterator[Study]:
    """Every study of a suite; statistics are computed once for all.

    Args:
        records: The records, with the detector "any" where it is wanted.
    """
    analysis = Analysis(records, add_any=False)
    found, beside = analysis.numbered(DETECTION), analysis.numbered(OUTCOMES)
    curves, grids, loads, prices = map(analysis.table, (TRADEOFF, BUDGETS, LOAD, PRICE))
    swept, scored = analysis.sweeps, analysis.cells
    several = records.rows[STUDY].drop_duplicates()
    for _, rows in records.rows.groupby(STUDY, sort=True):
        key = {name: lines(rows)[0][name] for name in STUDY}
        mine = [one for one in swept if all(one.key[k] == key[k] for k in STUDY)]
        own = [*FAMILY, "along"]
        where = pd.DataFrame([one.key | {"along": one.along} for one in mine], columns=own)
        given = found[found["row"].isin(rows.index)]
        yield Study(
            title=text.study(key),
            dataset=str(key["dataset"]),
            suffix="" if len(several) == 1 else "-" + "-".join(map(str, key.values())),
            rows=rows,
            detection=given[given["fpr_nominal"] == ALPHA],
            strict=given[given["fpr_nominal"] == STRICT],
            tradeoff=curves.merge(where, on=own) if mine else curves[:0],
            budgets=grids.merge(pd.DataFrame([key]), on=STUDY),
            load=loads.merge(pd.DataFrame([key]), on=STUDY),
            price=prices.merge(pd.DataFrame([key]), on=STUDY),
            outcomes=beside[beside["row"].isin(rows.index)],
            families=mine,
            cells={at: cell for at, cell in scored.items() if at[0] in rows.index},
            gallery=records.gallery[records.gallery["row"].isin(rows.index)],
            failed=len(records.failures),
        )

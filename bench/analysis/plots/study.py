"""The records and tables of one victim, or of all victims of a recipe, for their figures."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from evil_twins.bench import printable
from evil_twins.bench.analysis.plots.style import PAGE, Design, detector_order
from evil_twins.bench.analysis.tables import Analysis, Table, text
from evil_twins.bench.analysis.tables.decisions import Cell
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.families import FAMILY, IMC, PGD, POISONING, Family
from evil_twins.bench.analysis.tables.frames import line, lines
from evil_twins.bench.analysis.tables.outcomes import OUTCOMES
from evil_twins.bench.analysis.tables.population import POPULATION
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL, RECIPE, numbered
from evil_twins.bench.analysis.tables.records import STUDY
from evil_twins.bench.analysis.tables.selection import ALL, Selection
from evil_twins.bench.analysis.tables.sweeps import TRADEOFF

STRICT = 0.01
"""A lower false-positive rate for comparison with the headline rate."""


class View(NamedTuple):
    """How figures look, and what they show.

    Attributes:
        design: How they look.
        choice: The lines to show.
    """

    design: Design = PAGE
    choice: Selection = ALL


WHOLE = View()


class Study:
    """Records and tables of one victim, or of several of one recipe.

    Attributes:
        analysis: The numbers of the whole suite.
        rows: Rows of the victim at the chosen κ, numbered as in the records; of several victims
            those of the first. Sweeps have endpoints of other attacks.
        key: Data set, victim and seed by name.
        suffix: Ending of file names, empty if the suite has only one study.
        victims: Number of victims.
        population: Number of victims of the recipe.
        families: Chosen sweeps of the study.
        design: How figures look.
        choice: The lines to show.
    """

    def __init__(
        self,
        analysis: Analysis,
        rows: pd.DataFrame,
        suffix: str = "",
        victims: int = 1,
        population: int = 1,
        view: View = WHOLE,
    ) -> None:
        """Select the rows and sweeps of one study."""
        self.analysis, self.suffix = analysis, suffix
        self.victims, self.population = victims, population
        self.design, self.choice = view
        self.key = {name: lines(rows)[0][name] for name in STUDY}
        self.rows = replace(self.choice, attacks=()).lines(rows)
        sweeps = (family for family in analysis.sweeps if family.is_of(self.key))
        self.families = [sweep for sweep in sweeps if _shows(self.choice, sweep)]

    @property
    def fpr(self) -> float:
        """The nominal false-positive rate."""
        return self.analysis.fpr

    @property
    def title(self) -> str:
        """Data set, victim, and seed or number of victims in words."""
        if self.victims == 1:
            return text.study(self.key)
        return text.one_line("{dataset}, {victim}, ".format(**self.key) + f"{self.victims} victims")

    @property
    def bands(self) -> str:
        """The intervals of rates in words."""
        if self.victims == 1:
            return "95 % bands over targets and calibration images"
        return f"95 % bands {MEAN}, from {self.victims}"

    @property
    def dataset(self) -> str:
        """The data set."""
        return str(self.key["dataset"])

    @property
    def failures(self) -> str:
        """The number of failed cells of the whole suite, in words."""
        return text.failed(len(self.analysis.records.failures))

    def table(self, table: Table) -> pd.DataFrame:
        """Return the lines of a table that belong to the study."""
        frame = self.choice.lines(self.analysis.table(table))
        return frame.merge(pd.DataFrame([self.key]), on=STUDY)

    @cached_property
    def detection(self) -> pd.DataFrame:
        """The rates at the headline rate, with `row`: of one victim, or over victims."""
        if self.victims > 1:
            table = numbered(self.rows, self.analysis.table(POPULATION))
        else:
            table = self._numbered(DETECTION)
        return self._of_detectors(table[table["fpr_nominal"].eq(self.fpr)])

    @cached_property
    def strict(self) -> pd.DataFrame:
        """The detection table at the rate `STRICT`, with `row`."""
        table = self._numbered(DETECTION)
        return table[table["fpr_nominal"].eq(STRICT)]

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """The table of outcomes, with `row`."""
        return self._numbered(OUTCOMES)

    def _numbered(self, table: Table) -> pd.DataFrame:
        numbered = self.analysis.numbered(table)
        return numbered[numbered["row"].isin(self.rows.index)]

    def _of_detectors(self, table: pd.DataFrame) -> pd.DataFrame:
        return replace(self.choice, attacks=()).lines(table)

    @cached_property
    def tradeoff(self) -> pd.DataFrame:
        """The trade-off table of the sweeps."""
        keys = [*FAMILY, "along"]
        sweeps = [family.key | {"along": family.along} for family in self.families]
        table = self.analysis.table(TRADEOFF)
        return table.merge(pd.DataFrame(sweeps, columns=keys), on=keys) if sweeps else table[:0]

    @cached_property
    def gallery(self) -> pd.DataFrame:
        """The stored images."""
        gallery = self.analysis.records.gallery
        return gallery[gallery["row"].isin(self.rows.index)]

    def cell(self, row: int, detector: str) -> Cell | None:
        """Return the scores of a detector on a row, or None without scores."""
        return self.analysis.cells.get((row, detector))

    def name(self, row: int) -> str:
        """Return a row in words."""
        return self.attack(line(self.rows, row))

    def attack(self, key: Mapping[str, object]) -> str:
        """Return the keys of a row in words, with the words for its attack."""
        label = str(key["attack"])
        return text.name({**key, "attack": self.design.labels.attacks.get(label, label)})

    def detector(self, label: str) -> str:
        """Return the words for a detector."""
        return self.design.labels.detectors.get(label, label)

    def label(self, family: Family, several: bool) -> str:
        """Return a family in words, without its layers if all families have the same."""
        key = {**family.key, "phi": float("nan"), "lam": float("nan")}
        name = self.attack(key | ({} if several else {"layers": ""}))
        return name + (" along λ" if family.along == "lam" else "")

    @cached_property
    def detectors(self) -> list[str]:
        """Detectors in reading order."""
        return detector_order(self.detection["detector"].astype(str))

    def targets(self, rows: set[int] | None = None) -> str:
        """Return the number of scored targets in words, of some rows or of all."""
        table = self.detection
        return _span(table["n"] if rows is None else table.loc[table["row"].isin(rows), "n"])

    def footer(self) -> str:
        """Return the end of each caption: n, kappa and failed cells."""
        kappas = sorted({float(kappa) for kappa in self.rows["kappa"].dropna()})
        stated = ", κ = " + ", ".join(map(text.level, kappas)) if kappas else ""
        return f"n = {self.targets()} targets{stated}{self.scope}; {self.failures}."

    @property
    def scope(self) -> str:
        """For what the numbers of one victim hold, after a comma."""
        return f", {MODEL}" if self.victims == 1 else ""

    def examples(self, most: int = 5) -> list[int]:
        """Return rows that represent the attacks: Poisoning, IMC evenly along phi, PGD."""
        if not self.families:
            chosen = self.choice.lines(self.rows)
            aimed = chosen[chosen["method"].isin([PGD, POISONING, IMC])]
            return [int(row) for row in aimed.index[:most]]
        sweep = min(self.families, key=lambda sweep: (-len(sweep.line()), float_of(sweep, "kappa")))
        rows = [row for row, _ in sweep.line()]
        places = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
        return [rows[place] for place in places]


def _span(sizes: "pd.Series[int]") -> str:
    numbers = sorted({int(n) for n in sizes})
    return f"{numbers[0]}–{numbers[-1]}" if len(numbers) > 1 else "".join(map(str, numbers))


def float_of(family: Family, name: str) -> float:
    """Return a number among the keys of a family."""
    return float(str(family.key[name]))


def _shows(choice: Selection, sweep: Family) -> bool:
    levels = not choice.kappa or float_of(sweep, "kappa") in choice.kappa
    return levels and choice.has_attack(sweep.key["attack"])


def studies(analysis: Analysis, view: View = WHOLE) -> Iterator[Study]:
    """Yield every study of a suite: each victim, or all of a recipe and then the first of them."""
    recipes = list(analysis.records.rows.groupby(RECIPE[:2], sort=True))
    for names, rows in recipes:
        seeds = sorted(rows["seed"].unique())
        first = rows[rows["seed"] == seeds[0]]
        suffix = "" if len(recipes) == 1 else _suffix(*names)
        if len(seeds) > 1:
            yield Study(analysis, first, suffix, len(seeds), len(seeds), view)
        single = len(recipes) == len(seeds) == 1
        suffix = "" if single else _suffix(*names, seeds[0])
        yield Study(analysis, first, suffix, population=len(seeds), view=view)


def _suffix(*names: object) -> str:
    return "-" + printable.file_name("-".join(map(str, names)))

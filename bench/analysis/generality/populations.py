"""Populations of several suites, on the attacks that all of them have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import pandas as pd

from evil_twins.bench import printable
from evil_twins.bench.analysis.page.columns import BASELINE
from evil_twins.bench.analysis.tables import Analysis, Records, read, text
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.compare.groups import FAMILIES
from evil_twins.bench.analysis.tables.compare.identity import contents
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.recipes import RECIPE
from evil_twins.bench.analysis.tables.selection import of_rows
from evil_twins.bench.errors import UserError

ATTACK = ["moves", *(name for name in RECIPE if name not in ("dataset", "victim"))]
"""Columns that name an attack of a family, whatever the data and the victims."""

NOT_RANKED = (BASELINE, ANY)
"""Detectors that are skipped: κ sets what the first reads, and the second is a set of detectors
that differs from suite to suite."""


@dataclass(frozen=True, eq=False)
class Population:
    """The victims of one recipe on one data set.

    Attributes:
        name: The name of its suite, with data set and victim where the suite has several.
        records: Its scored attacks at one κ, without controls and yardsticks.
        victims: Content hash of each victim, or its study in words where the records lack it.
    """

    name: str
    records: Records
    victims: frozenset[str]

    @property
    def attacks(self) -> pd.DataFrame:
        """The attacks that a victim has, one line of ATTACK each."""
        return self.records.rows[ATTACK].drop_duplicates()

    @property
    def title(self) -> str:
        """Data set, victim and number of victims in words."""
        first, count = lines(self.records.rows)[0], self.records.rows["seed"].nunique()
        words = "1 victim" if count == 1 else f"{count} victims"
        return text.one_line(f"{first['dataset']}, {first['victim']}, {words}")

    @property
    def detectors(self) -> set[str]:
        """The detectors with scores."""
        return {str(name) for name in self.records.scores["detector"].unique()}

    def rated(self, fpr: float) -> pd.DataFrame:
        """Return the attacks with enough calibration scores for a threshold, for every victim."""
        scores = self.records.scores[self.records.scores["role"].eq("calibration")]
        counts = scores.groupby(["row", "detector"]).size().groupby("row").max()
        enough = counts.index[(counts + 1).mul(fpr).round(9).ge(1)]
        rows = self.records.rows[ATTACK].assign(enough=self.records.rows.index.isin(enough))
        attacks = rows.groupby(ATTACK, dropna=False)["enough"].all().reset_index()
        return attacks.loc[attacks["enough"], ATTACK]

    def analysis(self, fpr: float) -> Analysis:
        """Return its numbers at a nominal false-positive rate."""
        return Analysis(self.records, fpr, add_any=False)

    def limited(self, shared: pd.DataFrame) -> "Population":
        """Return the population on only these attacks, lines of ATTACK.

        The scores of a detector count in a family for the victims on which it has all of them.
        """
        rows = self.records.rows.reset_index(names="row").merge(shared, on=ATTACK)
        records = of_rows(self.records, self.records.rows.loc[sorted(rows["row"])])
        scores = records.scores[~records.scores["detector"].isin(NOT_RANKED)]
        cells = scores.loc[scores["role"].eq("attacked"), ["row", "detector"]].drop_duplicates()
        cells = cells.merge(rows[["row", "seed", "moves"]], on="row")
        counts = cells.groupby(["detector", "seed", "moves"])["row"].transform("size")
        whole = cells[counts.eq(cells["moves"].map(shared["moves"].value_counts()))]
        scores = scores.merge(whole[["row", "detector"]], on=["row", "detector"])
        return replace(self, records=replace(records, scores=scores))


@dataclass(frozen=True)
class Gathered:
    """The populations that can be compared.

    Attributes:
        kappa: The κ of all attacks.
        fpr: The nominal false-positive rate.
        populations: Home first, each on only the shared attacks.
        shared: These attacks, one line of ATTACK each.
        notes: Sentences on what is not compared.
    """

    kappa: float
    fpr: float
    populations: tuple[Population, ...]
    shared: pd.DataFrame
    notes: tuple[str, ...]


def gather(folders: Sequence[Path], kappa: float, fpr: float) -> Gathered:
    """Read the populations of suites, the first as home.

    Args:
        folders: `<results>/<suite>` of each suite, with the records of a run.
        kappa: The κ of the attacks.
        fpr: The nominal false-positive rate.

    Raises:
        UserError: There are fewer than two populations with this κ, home lacks it, a population is
            listed twice, or no attack is in all of them. Or records are missing, damaged or of
            another version.
    """
    stored = [each for folder in folders for each in _populations(folder, kappa)]
    _check_distinct(stored)
    level = text.level(kappa)
    usable = [each for each in stored if len(each.attacks)]
    notes = [
        f"{each.name} has no scored attack at κ {level}."
        for each in stored
        if not len(each.attacks)
    ]
    if len(usable) < 2 or usable[0] is not stored[0]:
        reason = notes[0].rstrip(".") if notes else f"{stored[0].name} is the only population"
        raise UserError(
            f"nothing to compare: {reason}",
            f"expected: two populations or more with attacks at κ {level}, home first",
        )
    shared = pd.concat([_shared(usable, moves, fpr, notes) for moves in FAMILIES])
    if shared.empty:
        raise UserError(
            f"no attack at κ {level} is in all of {', '.join(each.name for each in usable)}",
            "remedy: other suites, or another --kappa",
        )
    limited = tuple(each.limited(shared) for each in usable)
    _check_detectors(limited)
    return Gathered(kappa, fpr, limited, shared.reset_index(drop=True), tuple(notes))


def _populations(folder: Path, kappa: float) -> Iterator[Population]:
    """Yield each data set and victim of a suite, also those without an attack at this κ."""
    records = read(folder, ("targets", "scores", "victims"))
    hashes = contents(records)
    scored = records.rows["kappa"].eq(kappa) & records.rows.index.isin(records.scores["row"])
    scored &= records.rows["role"].eq("attack") & records.rows["moves"].isin(FAMILIES)
    groups = list(records.rows.groupby(["dataset", "victim"], sort=True))
    if not groups:
        raise UserError(f"{folder.name} has no attacks", "remedy: run it, or name another suite")
    for (dataset, victim), rows in groups:
        name = folder.name if len(groups) == 1 else f"{folder.name}: {dataset}, {victim}"
        victims = frozenset(
            content or text.study(dict(zip(("dataset", "victim", "seed"), study, strict=True)))
            for study, content in hashes.items()
            if study[:2] == (dataset, victim)
        )
        yield Population(printable.name(name), of_rows(records, rows[scored[rows.index]]), victims)


def _check_distinct(populations: Sequence[Population]) -> None:
    """Check that no two populations have a victim in common, whatever their names.

    Raises:
        UserError: Two have.
    """
    for place, second in enumerate(populations):
        for first in populations[:place]:
            if first.victims & second.victims:
                raise UserError(
                    f"{first.name} and {second.name} have the same victims: one population twice",
                    "expected: suites of other data or other networks",
                )


def _check_detectors(populations: Sequence[Population]) -> None:
    """Check that home shares a detector with another population.

    Raises:
        UserError: It does not.
    """
    home, *others = populations
    if not any(home.detectors & each.detectors for each in others):
        names = {name for each in others for name in each.detectors}
        raise UserError(
            f"no detector of {home.name} is in another population",
            f"detectors of the others: {', '.join(sorted(names)) or 'none'}",
            f"never compared: {', '.join(NOT_RANKED)}",
        )


def _shared(
    populations: Sequence[Population], moves: str, fpr: float, notes: list[str]
) -> pd.DataFrame:
    """Return the attacks of a family that each population has, and note what is skipped.

    Those without a threshold in a population are skipped, unless no other attack is shared. A
    population without the family does not count, unless it is home.
    """
    words, parts = FAMILIES[moves], [each.attacks for each in populations]
    parts = [attacks[attacks["moves"].eq(moves)] for attacks in parts]
    present = [each for each, part in zip(populations, parts, strict=True) if len(part)]
    every = pd.concat(parts).drop_duplicates()
    common = reduce(pd.merge, (part for part in parts if len(part)), every)
    if parts[0].empty or len(present) < 2 or common.empty:
        notes.append(f'No attack of the family "{words}" is in all populations.')
        return every[:0]
    rated = reduce(pd.merge, (each.rated(fpr) for each in present), common)
    common = rated if len(rated) else common
    notes += [
        f'{each.name} has no attack of the family "{words}".'
        for each in populations
        if each not in present
    ]
    if skipped := len(every) - len(common):
        notes.append(
            f'Skipped of {len(every)} attacks of the family "{words}": {skipped}. A population '
            "lacks them, or has too few calibration scores."
        )
    return common

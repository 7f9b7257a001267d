"""Rows of several victims of one recipe: their common keys, sums, and records as of one victim."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.records import KEYS, Records

RECIPE = [name for name in KEYS if name != "seed"]
"""The keys that the rows of all victims of one recipe share."""

MODEL = "for this model only"
MEAN = "for the mean of this recipe's victims"
NEXT = "for the next victim of this recipe"
"""For what an interval holds, in words."""


def populations(rows: pd.DataFrame) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """Yield title, number of victims and rows of each recipe; the rows are those of one victim."""
    for (dataset, victim), group in rows.groupby(["dataset", "victim"], sort=True):
        seeds = sorted(group["seed"].unique())
        first = group.drop_duplicates(RECIPE)
        names = {"dataset": dataset, "victim": victim, "victims": len(seeds), "seed": seeds[0]}
        yield recipe(names) if len(seeds) > 1 else text.study(names), len(seeds), first


def recipe(line: Mapping[str, object]) -> str:
    """Write data set, victim and number of victims in words."""
    return text.one_line(f"{line['dataset']}, {line['victim']}, {line['victims']} victims")


def numbered(rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return lines over victims with `row`, the number of the row of each.

    Args:
        rows: The rows of one victim.
        table: Lines with the columns of RECIPE.
    """
    return table.merge(rows[RECIPE].reset_index(names="row"), on=RECIPE)


def summed(rows: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Add up counts of the victims of a recipe, under the row of the first.

    Args:
        rows: The rows of the records.
        counts: One line per row and detector, with `n` and `detected`.
    """
    moved = counts.assign(row=counts["row"].map(first_rows(rows)))
    return moved.groupby(["row", "detector"], as_index=False)[["n", "detected"]].sum()


def first_rows(rows: pd.DataFrame) -> "pd.Series[int]":
    """Return for each row the number of the same row of the first victim, by row number."""
    numbers = rows.reset_index(names="row").groupby(RECIPE, dropna=False)["row"]
    return pd.Series(numbers.transform("first").to_numpy(), index=rows.index)


def united(records: Records) -> Records:
    """Return rows and targets as if all victims of a recipe were the first; nothing else.

    A target's name is then that of its victim's seed and of its input.
    """
    targets = records.targets
    seeds = targets["row"].map(records.rows["seed"]).astype(str)
    first = first_rows(records.rows)
    targets = targets.assign(
        row=targets["row"].map(first), target_id=seeds + "/" + targets["target_id"].astype(str)
    )
    rest = {
        name: getattr(records, name)[:0]
        for name in ("flips", "scores", "details", "gallery", "durability", "failures", "victims")
    }
    return replace(records, rows=records.rows.loc[first.unique()], targets=targets, **rest)

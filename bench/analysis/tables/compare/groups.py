"""Groups of attacks of which a detector has a rate: each attack, a family, the worst case."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.frames import line
from evil_twins.bench.analysis.tables.paired import caught_by_attack
from evil_twins.bench.analysis.tables.recipes import RECIPE
from evil_twins.bench.analysis.tables.records import STUDY, Records

FAMILIES = {"inputs": "inputs only", "model": "model only", "both": "both at once"}
"""The parts that a family of attacks moves, in words."""


@dataclass(frozen=True)
class Per:
    """A way to group attacks.

    Attributes:
        keys: Columns whose values name a group of one recipe.
        rule: The rate of a detector on a group, in words.
        title: Writes a group in words.
        caught: From records and decisions, the targets that each detector catches in each group:
            its keys, seed, `detector`, `target_id`, and `caught`, a share of its attacks.
        areas: "mean" or "min", the AUROC in a group from those under its attacks.
    """

    keys: list[str]
    rule: str
    title: Callable[[Mapping[str, object]], str]
    caught: Callable[[Records, pd.DataFrame], pd.DataFrame]
    areas: str


@dataclass(frozen=True)
class Compared:
    """Detectors on the attacks that all of them have.

    Attributes:
        caught: The targets that each detector catches, as `Per.caught`.
        areas: The AUROC of each detector in each group and victim, as `auroc`.
        absent: Attack in words -> the detectors without scores of it for some victim.
        empty: Detectors without any scores.
    """

    caught: pd.DataFrame
    areas: pd.DataFrame
    absent: dict[str, list[str]]
    empty: list[str]


def _attack(records: Records, decided: pd.DataFrame) -> pd.DataFrame:
    attacks = decided.merge(_attacks(records), left_on="row", right_index=True)
    return attacks.assign(caught=attacks["flagged"].astype(float))


def _attacks(records: Records) -> pd.DataFrame:
    """Return the rows without controls and yardsticks."""
    return records.rows[records.rows["role"].eq("attack")]


def _family(records: Records, decided: pd.DataFrame) -> pd.DataFrame:
    attacks = _attack(records, decided)
    keys = [*_FAMILY, "seed", "detector", "target_id"]
    return attacks.groupby(keys, dropna=False)["caught"].mean().reset_index()


def _worst(records: Records, decided: pd.DataFrame) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"target_id": wide.index, "caught": wide.all(axis=1).to_numpy(float)}).assign(
            **key
        )
        for key, wide in caught_by_attack(records, decided)
    ]
    columns = [*STUDY, "kappa", "detector", "target_id", "caught"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=pd.Index(columns))


_FAMILY = ["dataset", "victim", "moves", "kappa"]
PER = {
    "attack": Per(RECIPE, "flagged", text.name, _attack, "mean"),
    "family": Per(
        _FAMILY,
        "flagged under a random attack of the family: a target counts once, with the share of the "
        "attacks under which it is flagged; AUROC is the mean over these attacks",
        lambda line: FAMILIES.get(str(line["moves"]), str(line["moves"])),
        _family,
        "mean",
    ),
    "worst": Per(
        ["dataset", "victim", "kappa"],
        "flagged under *every* attack that reaches κ; AUROC is the lowest under an attack",
        lambda line: "every attack",
        _worst,
        "min",
    ),
}
"""The choices of `--per`."""


def compared(analysis: Analysis, names: list[str], per: Per) -> Compared:
    """Return detectors on the attacks and victims that all of them have.

    Args:
        analysis: The numbers of at least these detectors.
        names: The detectors; those without any scores are skipped.
        per: The groups of attacks.
    """
    decided, rows = analysis.decisions, analysis.records.rows
    present = [name for name in names if name in set(decided["detector"])]
    decided = decided[decided["detector"].isin(present)]
    sets = decided.groupby("row")["detector"].agg(set)
    absent: dict[str, list[str]] = {}
    for row, detectors in sets.items():
        lacking = set(present) - detectors
        if lacking and rows.at[row, "role"] == "attack":
            title = text.name(line(rows, int(str(row))))
            absent[title] = sorted({*absent.get(title, []), *lacking})
    common = sets.index[sets.map(len) == len(present)]
    decided = decided[decided["row"].isin(common)]
    return Compared(
        caught=per.caught(analysis.records, decided),
        areas=_areas(analysis, decided, per),
        absent=absent,
        empty=[name for name in names if name not in present],
    )


def _areas(analysis: Analysis, decided: pd.DataFrame, per: Per) -> pd.DataFrame:
    """Return the AUROC of each detector in each group and victim."""
    pairs = decided[["row", "detector"]].drop_duplicates()
    cells = [analysis.cells[row, name] for row, name in pairs.itertuples(index=False)]
    values = [stats.area(cell.score, cell.fresh.score) for cell in cells]
    frame = pairs.assign(auroc=values)
    frame = frame.merge(_attacks(analysis.records), left_on="row", right_index=True)
    keys = [*per.keys, "seed", "detector"]
    return frame.groupby(keys, dropna=False)["auroc"].agg(per.areas).reset_index()


def rows_of(records: Records, groups: pd.DataFrame) -> dict[int, list[int]]:
    """Return the rows of the attacks in each group.

    Args:
        records: The records.
        groups: The keys of each group, by its number.
    """
    keys = list(groups.columns)
    rows = _attacks(records).reset_index(names="row")[[*keys, "row"]]
    members = groups.reset_index(names="group").merge(rows, on=keys)
    return {int(str(number)): list(each) for number, each in members.groupby("group")["row"]}

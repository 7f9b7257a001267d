"""The rates of compared detectors in each group of attacks, and their ranks over victims."""

from collections.abc import Iterator

import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.clusters import cluster_count
from evil_twins.bench.analysis.tables.compare.differences import Cell
from evil_twins.bench.analysis.tables.compare.groups import Compared, Per, rows_of
from evil_twins.bench.analysis.tables.frames import by_name, column, ends, frame, spread
from evil_twins.bench.analysis.tables.population import mean_in_unit, pooled
from evil_twins.bench.analysis.tables.records import Records

COLUMNS = ["detector", "victims", "n", "rate", "low", "high", "least", "most"]
COLUMNS += ends("auroc").split()
RANKS = ["detector", "victims", "mean_rate", "mean_rank", "critical_difference", "p_friedman"]
_POPULATION = ["dataset", "victim", "kappa"]


def rates(records: Records, compared: Compared, per: Per) -> pd.DataFrame:
    """Return rate and AUROC of each detector in each group over victims, with intervals."""
    keys = [*per.keys, "detector"]
    victims = by_victim(compared, keys)
    victims = victims.merge(_models(records, compared, per), on=[*per.keys, "seed"])
    return frame(_over_victims(victims, keys), [*per.keys, *COLUMNS])


def by_victim(compared: Compared, keys: list[str]) -> pd.DataFrame:
    """Return n, caught (a sum over targets) and auroc of each victim.

    Args:
        compared: The detectors on their attacks.
        keys: The columns that name a group of attacks and a detector.
    """
    groups = compared.caught.groupby([*keys, "seed"], dropna=False)["caught"]
    sums = groups.agg(n="size", caught="sum").reset_index()
    return sums.merge(compared.areas, on=[*keys, "seed"], how="left")


def _models(records: Records, compared: Compared, per: Per) -> pd.DataFrame:
    """Return the number of clusters of targets in each group and victim, as `models`."""
    keys = [*per.keys, "seed"]
    targets = compared.caught[[*keys, "target_id"]].drop_duplicates()
    groups = targets.groupby(keys, dropna=False)["target_id"].agg(list).reset_index()
    rows = rows_of(records, groups[keys])
    models = []
    for group, names in enumerate(groups.pop("target_id")):
        clusters = records.clusters.joint(rows[group], names)
        models.append(cluster_count(clusters, len(names)))
    return groups.assign(models=models)


def _over_victims(victims: pd.DataFrame, keys: list[str]) -> Iterator[Cell]:
    for values, each in victims.groupby(keys, dropna=False, sort=True):
        if len(each) < 2:
            continue
        line = pooled(*(column(each, name) for name in ("caught", "n", "models")))
        line.pop("effect")
        counts = {"victims": len(each), "n": int(each["n"].sum())}
        areas = spread("auroc", mean_in_unit(column(each, "auroc")))
        yield dict(zip(keys, values, strict=True)) | counts | line | areas


def rates_of_one(analysis: Analysis, compared: Compared, per: Per) -> pd.DataFrame:
    """Return rate and AUROC of each detector in each group for the only victim.

    Under an attack the intervals hold for other targets and calibration images; in a larger group
    that of the rate is that of Clopper and Pearson, and the AUROC has none.
    """
    keys, lines = [*per.keys, "detector"], []
    areas = compared.areas.merge(compared.caught[keys].drop_duplicates(), on=keys)
    groups = compared.caught[per.keys].drop_duplicates().reset_index(drop=True)
    rows = rows_of(analysis.records, groups)
    place = {tuple(map(str, values)): n for n, values in enumerate(groups.itertuples(index=False))}
    for values, each in compared.caught.groupby(keys, dropna=False, sort=True):
        key = dict(zip(keys, values, strict=True))
        if "row" in each:
            cell = analysis.cells[int(each["row"].iloc[0]), str(key["detector"])]
            rate, area = cell.rate(analysis.fpr), cell.auroc
        else:
            caught, group = column(each, "caught"), place[tuple(map(str, values[:-1]))]
            clusters = analysis.records.clusters.joint(rows[group], list(each["target_id"]))
            rate = stats.effective(float(caught.mean()), stats.effective_number(caught, clusters))
            area = stats.UNKNOWN
        numbers = by_name("rate low high", rate) | spread("auroc", area)
        lines.append(key | {"victims": 1, "n": len(each)} | numbers)
    table = frame(lines, [*per.keys, *COLUMNS])
    if len(table) and table["auroc"].isna().all():
        table = table.drop(columns="auroc").merge(areas[[*keys, "auroc"]], on=keys, how="left")
    return table[[*per.keys, *COLUMNS]]


def ranks(compared: Compared, per: Per) -> pd.DataFrame:
    """Rank the detectors in each victim by the mean of their rates over the groups, at each κ.

    A κ that fewer than two victims have is skipped.
    """
    lines = []
    victims = by_victim(compared, [*per.keys, "detector"])
    rated = victims.assign(rate=victims["caught"] / victims["n"])
    for values, each in rated.dropna(subset="kappa").groupby(_POPULATION, sort=True):
        wide = each.pivot_table(index="seed", columns="detector", values="rate").dropna()
        if min(wide.shape) < 2:
            continue
        result = stats.ranks(wide.to_numpy())
        shared = dict(zip(_POPULATION, values, strict=True)) | {"victims": len(wide)}
        shared |= {"critical_difference": result.critical, "p_friedman": result.p}
        means = wide.to_numpy().mean(axis=0)
        lines += [
            shared | {"detector": name, "mean_rate": rate, "mean_rank": rank}
            for name, rate, rank in zip(wide.columns, means, result.means, strict=True)
        ]
    return frame(lines, [*_POPULATION, *RANKS])

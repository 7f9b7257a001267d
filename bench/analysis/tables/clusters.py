"""The targets of each row that share a poisoned model."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evil_twins.bench.analysis import stats

WORDS = "targets that share a poisoned model are one cluster"
"""For tables of records in which some do."""


@dataclass(frozen=True)
class Clusters:
    """Targets that face one poisoned model, by row.

    Attributes:
        models: Row -> target -> name of its model; without rows in which no two targets share one.
    """

    models: Mapping[int, Mapping[str, str]]

    @classmethod
    def of(cls, targets: pd.DataFrame) -> "Clusters":
        """Return those of the targets of records."""
        names = targets["target_id"].where(targets["group"].isna(), targets["group"])
        shared = targets.loc[names.ne(targets["target_id"]), "row"].unique()
        facts = targets.assign(model=names)[targets["row"].isin(shared)]
        rows = facts.groupby("row")
        return cls(
            {
                int(str(row)): dict(zip(part["target_id"], part["model"], strict=True))
                for row, part in rows
            }
        )

    def joint(self, rows: Iterable[Any], names: Collection[str]) -> stats.Ints | None:
        """Return the clusters of targets that are compared over some rows.

        Args:
            rows: Numbers of the rows.
            names: (N,) names of the targets.

        Returns:
            (N,) numbers of the smallest clusters that split no model of a row; None if no two
            targets share a model.
        """
        models = [self.models[row] for row in rows if row in self.models]
        each = [pd.factorize(pd.Series([part[name] for name in names]))[0] for part in models]
        return together(each) if len(names) else None

    def agree(self, rows: Iterable[int]) -> bool:
        """Check whether the same targets share a model in each of the rows."""
        first, *rest = (self.models.get(row, {}) for row in rows)
        return all(models == first for models in rest)


def cluster_count(clusters: stats.Ints | None, targets: int) -> int:
    """Return the number of clusters of this many targets; each is its own if `clusters` is None."""
    return targets if clusters is None else int(clusters.max()) + 1


def together(clusterings: Iterable[stats.Ints | None]) -> stats.Ints | None:
    """Return `stats.joined` of several clusterings; None if each target is its own cluster."""
    shared = [each for each in clusterings if each is not None]
    joint = stats.joined(shared) if shared else None
    return None if joint is None or joint.max() + 1 == len(joint) else joint

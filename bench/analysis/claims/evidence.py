"""Evidence of the claims: the rows of one sweep against one victim, and their losses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.part import Estimate, Unmeasured, bootstrapped
from evil_twins.bench.analysis.claims.rules import Efficacy, Rules
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.audit import AUDIT, AUDIT_OVER_VICTIMS
from evil_twins.bench.analysis.tables.decisions import Cell, decide
from evil_twins.bench.analysis.tables.records import STUDY, Records
from evil_twins.bench.analysis.tables.samples import specificity_samples
from evil_twins.bench.analysis.tables.text import level, short

Floats = NDArray[np.float64]
PURE = {0.0: "Poisoning", 1.0: "PGD"}


class Losses(NamedTuple):
    """A loss of several rows over the same targets.

    Attributes:
        value: (rows,) the loss.
        samples: (resamples, rows) bootstrap samples of it, all rows under the same draws; none
            where the victim is the unit.
    """

    value: Floats
    samples: Floats


@dataclass(frozen=True)
class Scope:
    """A sweep along φ at every κ against one victim.

    Attributes:
        key: Values of STUDY, attack, layers.
        levels: κ -> φ -> number of the row, with the pure attacks.
    """

    key: Mapping[str, Any]
    levels: Mapping[float, Mapping[float, int]]

    def row(self, kappa: float, phi: float) -> int:
        """Return the number of a row.

        Raises:
            Unmeasured: It was not run.
        """
        row = self.levels.get(kappa, {}).get(phi)
        if row is None:
            name = PURE.get(phi, f"φ {short(phi)}")
            raise Unmeasured(f"{name} was not run at κ {level(kappa)}")
        return row


@dataclass(frozen=True, eq=False)
class Evidence:
    """The numbers of one victim under one sweep.

    Attributes:
        analysis: The numbers of the suite.
        scope: The sweep.
        rules: The rules.
        efficacy: The efficacy that is judged.
        resamples: Number of bootstrap samples: 0 where the victim is the unit.
        after: Form of re-training -> the same sweep against the re-trained victim.
    """

    analysis: Analysis
    scope: Scope
    rules: Rules
    efficacy: Efficacy
    resamples: int
    after: Mapping[str, "Evidence"] = field(default_factory=dict)

    @property
    def kappa(self) -> float:
        """The κ of every claim that says nothing else."""
        return self.efficacy.kappa

    @property
    def records(self) -> Records:
        """The records, with the OR of all detectors."""
        return self.analysis.records

    def targets(self, rows: Sequence[int]) -> pd.DataFrame:
        """Return the targets of some rows."""
        targets = self.records.targets
        return targets[targets["row"].isin(rows)]

    def reached(self, rows: Sequence[int]) -> "pd.Index[str]":
        """Return the targets that are at κ under every one of the rows, sorted.

        Raises:
            Unmeasured: There are none.
        """
        targets = self.targets(rows)
        counts = targets.loc[targets["at_kappa"], "target_id"].value_counts()
        names: pd.Index[str] = pd.Index(sorted(counts.index[counts == len(set(rows))]))
        if names.empty:
            raise Unmeasured("no target is at κ in every row")
        return names

    def column(self, rows: Sequence[int], names: "pd.Index[str]", name: str) -> Floats:
        """Return (targets, rows) values of a column of the targets."""
        wide = self.targets(rows).pivot(index="target_id", columns="row", values=name)
        return wide.loc[names, list(rows)].to_numpy(dtype=np.float64)

    def draws(self, n: int, stream: int = 0) -> Floats:
        """Return (resamples, n) counts of how often each of n units is drawn."""
        return stats.draws(n, stream, self.resamples)

    def means(self, rows: Sequence[int], names: "pd.Index[str]", name: str) -> Losses:
        """Return means of a column over the targets."""
        values = self.column(rows, names, name)
        return Losses(values.mean(axis=0), self.draws(len(names)) @ values / len(names))

    def mean(self, values: Floats, note: str) -> Estimate:
        """Return the mean of (targets,) values, with its bootstrap over targets."""
        n = len(values)
        return bootstrapped(float(values.mean()), self.draws(n) @ values / n, n, note)

    def disagreement(self, rows: Sequence[int], names: "pd.Index[str]") -> Losses:
        """Return the pooled disagreement on R, resampled over targets × images.

        Raises:
            Unmeasured: There are no held-out images.
        """
        flipped, heldout = (self.column(rows, names, name) for name in ("flipped", "heldout"))
        if (heldout.max(axis=0) <= 0).any():
            raise Unmeasured("no held-out images")
        return Losses(flipped.sum(axis=0) / heldout.sum(axis=0), self._resampled(rows, names))

    def _resampled(self, rows: Sequence[int], names: "pd.Index[str]") -> Floats:
        """Return (resamples, rows) samples of the pooled disagreement on R."""
        if not self.resamples:
            return np.empty((0, len(rows)))
        cache, key = self._samples, tuple(str(name) for name in names)
        if key not in cache:  # drawing the images takes longest: once for the whole sweep
            records = self.only(self.rows)
            targets = records.targets[records.targets["target_id"].isin(names)]
            flips = records.flips[records.flips["target_id"].isin(names)]
            records = replace(records, targets=targets, flips=flips)
            cache[key] = specificity_samples(records, self.resamples)
        return np.stack([cache[key][row] for row in rows], axis=1)

    def labelled(self, label: str, layers: Sequence[str]) -> pd.DataFrame:
        """Return the rows of this study under a label, at the judged κ and on these layers.

        Raises:
            Unmeasured: There are none.
        """
        rows, kappa = self.records.rows, self.kappa
        for name in STUDY:
            rows = rows[rows[name].eq(self.scope.key[name])]
        rows = rows[rows["attack"].eq(label) & rows["kappa"].eq(kappa)]
        rows = rows[rows["layers"].isin(layers)]
        if rows.empty:
            raise Unmeasured(f"no attack {label!r} at κ {level(kappa)}")
        return rows

    def only(self, rows: Sequence[int]) -> Records:
        """Return the records of these rows, under their numbers."""
        stored = self.records
        frames = {"targets": stored.targets, "flips": stored.flips, "scores": stored.scores}
        frames = {name: frame[frame["row"].isin(rows)] for name, frame in frames.items()}
        return replace(stored, rows=stored.rows.loc[sorted(set(rows))], **frames)

    def cell(self, row: int, detector: str) -> Cell:
        """Return the scores of a detector on a row.

        Raises:
            Unmeasured: There are none.
        """
        if (row, detector) not in self.analysis.cells:
            raise Unmeasured(f"no scores of {detector!r} for every row")
        return self.analysis.cells[row, detector]

    @property
    def rows(self) -> list[int]:
        """All rows of the sweep."""
        return [row for levels in self.scope.levels.values() for row in levels.values()]

    @cached_property
    def _samples(self) -> dict[tuple[str, ...], dict[int, Floats]]:
        return {}

    @cached_property
    def decided(self) -> pd.DataFrame:
        """`decide` of the sweep's rows at the false-positive rate of the rules."""
        fpr, rows = self.rules.test.fpr, set(self.rows)
        if self.analysis.fpr == fpr:
            decisions = self.analysis.decisions
            return decisions[decisions["row"].isin(rows)]
        return decide((cell for (row, _), cell in self.analysis.cells.items() if row in rows), fpr)

    @cached_property
    def audited(self) -> pd.DataFrame:
        """The judged lines of the audit about the ends of this sweep.

        They are over the targets of all victims of the recipe: the 90th percentile of the few
        targets of one victim is their largest ratio.
        """
        table, keys = self.analysis.table(AUDIT_OVER_VICTIMS), [*STUDY[:2], "kappa", "attack"]
        lines = table[["dataset", "victim"]].eq([self.scope.key[n] for n in STUDY[:2]]).all(axis=1)
        if not lines.any():
            table, keys = self.analysis.table(AUDIT), [*STUDY, "kappa", "attack"]
        ends = [
            self.records.rows.loc[levels[phi], keys]
            for levels in self.scope.levels.values()
            for phi in PURE
            if phi in levels
        ]
        if table.empty or not ends:
            return table.iloc[:0]
        return table[table["bound"].notna()].merge(pd.DataFrame(ends, columns=keys), on=keys)


def decided(
    of: Evidence, detector: str, rows: Sequence[int], names: "pd.Index[str]", quantity: str
) -> Floats:
    """Return (targets, rows) of "flagged" or "rank" of a detector.

    Raises:
        Unmeasured: A score is missing.
    """
    table = of.decided[of.decided["detector"].eq(detector) & of.decided["row"].isin(rows)]
    wide = table.pivot(index="target_id", columns="row", values=quantity)
    wide = wide.reindex(index=names, columns=list(rows))
    if wide.isna().any(axis=None):
        raise Unmeasured(f"no scores of {detector!r} for every row and target")
    return wide.to_numpy(dtype=np.float64)

"""What a claim is judged on: the rows of one sweep, and their resampled losses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.part import Unmeasured
from evil_twins.bench.analysis.claims.rules import Rules
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.any_of import with_any
from evil_twins.bench.analysis.tables.audit import AUDIT
from evil_twins.bench.analysis.tables.decisions import Cell, cells, decisions
from evil_twins.bench.analysis.tables.records import STUDY, Records
from evil_twins.bench.analysis.tables.samples import specificity_samples
from evil_twins.bench.analysis.tables.text import short

Floats = NDArray[np.float64]
PURE = {0.0: "Poisoning", 1.0: "PGD"}


class Losses(NamedTuple):
    """A loss of several rows over the same targets.

    Attributes:
        value: (rows,) the loss.
        samples: (resamples, rows) of it, all rows under the same draws.
    """

    value: Floats
    samples: Floats


@dataclass(frozen=True)
class Scope:
    """One sweep along φ at every κ: what the ten claims are about.

    Attributes:
        key: Values of STUDY, attack, layers.
        levels: κ -> φ -> number of the row, pure attacks included.
    """

    key: Mapping[str, Any]
    levels: Mapping[float, Mapping[float, int]]

    def row(self, kappa: float, phi: float) -> int:
        """The number of a row.

        Raises:
            Unmeasured: It was not run.
        """
        found = self.levels.get(kappa, {}).get(phi)
        if found is None:
            what = PURE.get(phi, f"φ {short(phi)}")
            raise Unmeasured(f"{what} was not run at κ {short(kappa)}")
        return found


@dataclass(frozen=True)
class Evidence:
    """The records of a suite and one sweep in them.

    Attributes:
        records: The records, with the OR of all detectors.
        scope: The sweep.
        rules: The rules.
        after: The same sweep against the victim re-trained, if it was run.
    """

    records: Records
    scope: Scope
    rules: Rules
    after: "Evidence | None" = None

    def reached(self, rows: Sequence[int]) -> "pd.Index[str]":
        """The targets at κ under every one of the rows, sorted.

        Raises:
            Unmeasured: There are none.
        """
        there = self.records.targets
        there = there[there["row"].isin(rows) & there["at_kappa"]]
        counts = there["target_id"].value_counts()
        names: pd.Index[str] = pd.Index(sorted(counts.index[counts == len(set(rows))]))
        if names.empty:
            raise Unmeasured("no target is at κ in every row")
        return names

    def column(self, rows: Sequence[int], names: "pd.Index[str]", name: str) -> Floats:
        """(targets, rows) values of a column of the targets."""
        some = self.records.targets[self.records.targets["row"].isin(rows)]
        wide = some.pivot(index="target_id", columns="row", values=name)
        return wide.loc[names, list(rows)].to_numpy(dtype=np.float64)

    def draws(self, n: int, stream: int = 0) -> Floats:
        """(resamples, n) how often each of n units is drawn."""
        return stats.draws(n, stream, self.rules.test.resamples)

    def means(self, rows: Sequence[int], names: "pd.Index[str]", name: str) -> Losses:
        """Means of a column over the targets."""
        values = self.column(rows, names, name)
        return Losses(values.mean(axis=0), self.draws(len(names)) @ values / len(names))

    def disagreement(self, rows: Sequence[int], names: "pd.Index[str]") -> Losses:
        """Pooled disagreement on R, resampled over targets × images.

        Raises:
            Unmeasured: There are no held-out images.
        """
        known, key = self._samples, tuple(names)
        if key not in known:  # drawing the images takes longest: once for the whole sweep
            some = self.only(self.rows)
            some = replace(
                some,
                targets=some.targets[some.targets["target_id"].isin(names)],
                flips=some.flips[some.flips["target_id"].isin(names)],
            )
            known[key] = specificity_samples(some, self.rules.test.resamples)
        samples = known[key]
        if set(rows) - samples.keys():
            raise Unmeasured("no held-out images")
        flipped, heldout = (self.column(rows, names, name) for name in ("flipped", "heldout"))
        pooled = np.stack([samples[row] for row in rows], axis=1)
        return Losses(flipped.sum(axis=0) / heldout.sum(axis=0), pooled)

    def labelled(self, label: str, layers: Sequence[str]) -> pd.DataFrame:
        """The rows of this study under a label, at the κ that is judged and on these layers.

        Raises:
            Unmeasured: There are none.
        """
        rows, kappa = self.records.rows, self.rules.primary.kappa
        for name in STUDY:
            rows = rows[rows[name].eq(self.scope.key[name])]
        rows = rows[
            rows["attack"].eq(label) & rows["kappa"].eq(kappa) & rows["layers"].isin(layers)
        ]
        if rows.empty:
            raise Unmeasured(f"no attack {label!r} at κ {short(kappa)}")
        return rows

    def only(self, rows: Sequence[int]) -> Records:
        """The records of these rows alone, under their numbers."""
        given = self.records
        parts = {name: getattr(given, name) for name in ("targets", "flips", "scores")}
        parts = {name: part[part["row"].isin(rows)] for name, part in parts.items()}
        return replace(given, rows=given.rows.loc[sorted(set(rows))], **parts)

    def cell(self, row: int, detector: str) -> Cell:
        """The scores of a detector on a row.

        Raises:
            Unmeasured: There are none.
        """
        some = self.only([row])
        some = replace(some, scores=some.scores[some.scores["detector"] == detector])
        for found in cells(some):
            return found
        raise Unmeasured(f"no scores of {detector!r} for every row")

    @property
    def rows(self) -> list[int]:
        """Every row of the sweep."""
        return [row for levels in self.scope.levels.values() for row in levels.values()]

    @cached_property
    def _samples(self) -> dict[tuple[str, ...], dict[int, Floats]]:
        return {}

    @cached_property
    def decided(self) -> pd.DataFrame:
        """`decisions` of the sweep's rows at the false-positive rate of the rules."""
        return decisions(self.only(self.rows), self.rules.test.fpr)

    @cached_property
    def audited(self) -> pd.DataFrame:
        """The judged lines of the audit that are about the ends of this sweep."""
        found = Analysis(self.records, add_any=False).table(AUDIT)
        ends = [
            self.records.rows.loc[levels[phi], [*STUDY, "kappa", "attack"]]
            for levels in self.scope.levels.values()
            for phi in PURE
            if phi in levels
        ]
        if found.empty or not ends:
            return found.iloc[:0]
        keys = [*STUDY, "kappa", "attack"]
        return found[found["bound"].notna()].merge(pd.DataFrame(ends, columns=keys), on=keys)


def decided(
    of: Evidence, detector: str, rows: Sequence[int], names: "pd.Index[str]", what: str
) -> Floats:
    """(targets, rows) of "flagged" or "rank" of a detector.

    Raises:
        Unmeasured: A score is missing.
    """
    mine = of.decided[of.decided["detector"].eq(detector) & of.decided["row"].isin(rows)]
    wide = mine.pivot(index="target_id", columns="row", values=what)
    wide = wide.reindex(index=names, columns=list(rows))
    if wide.isna().any(axis=None):
        raise Unmeasured(f"no scores of {detector!r} for every row and target")
    return wide.to_numpy(dtype=np.float64)


def gather(records: Records, rules: Rules) -> Iterator[Evidence]:
    """The evidence of every sweep along φ, head-only ones first.

    A study without such a sweep still gives evidence, without levels: its claims are undecided.

    Args:
        records: The records; the detector "any" is added here.
        rules: The rules.
    """
    told = {label for rule in rules.claims.values() for label in rule.labels.values()}
    found: dict[tuple[Any, ...], dict[float, dict[float, int]]] = {}
    for family in Analysis(records, add_any=False).sweeps:
        key = family.key
        if family.along != "phi" or family.norm != rules.sweep.norm or key["attack"] in told:
            continue
        levels = {level: row for row, level in family.line()}
        name = (*(key[one] for one in STUDY), key["attack"], key["layers"])
        found.setdefault(name, {})[float(key["kappa"])] = levels
    for study in records.rows[STUDY].drop_duplicates().itertuples(index=False, name=None):
        if not any(name[: len(STUDY)] == study for name in found):
            found[(*study, "", rules.primary.layers)] = {}
    primary = (rules.primary.layers, rules.primary.attack)
    every = with_any(records)
    for name in sorted(found, key=lambda one: ((one[-1], one[-2]) != primary, one)):
        scope = Scope(dict(zip([*STUDY, "attack", "layers"], name, strict=True)), found[name])
        yield Evidence(every, scope, rules)

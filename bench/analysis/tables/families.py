"""Attack families: the rows of one sweep between their two pure endpoints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.tables.frames import lines, matching
from evil_twins.bench.analysis.tables.records import STUDY, Records

PGD = "pgd"
POISONING = "poisoning"
IMC = "imc"

FAMILY = [*STUDY, "attack", "method", "layers", "kappa"]


@dataclass(frozen=True)
class Family:
    """One sweep.

    Attributes:
        key: Values of FAMILY.
        along: "phi" or "lam", the swept parameter.
        norm: "linf" or "l2": the norm of its fidelity loss, and a column of the targets.
        rows: (row, level) by rising level, without endpoints.
        pgd: Row of the pure input attack at the same kappa in that norm, or None.
        poisoning: Row of the pure model attack on the same layers, or None.
    """

    key: dict[str, Any]
    along: str
    norm: str
    rows: tuple[tuple[int, float], ...]
    pgd: int | None
    poisoning: int | None

    def line(self) -> list[tuple[int, float]]:
        """Return all rows by rising fidelity loss, as (row, phi or lam), with endpoints if run.

        Along phi the levels of the endpoints are 0 and 1. Along lam the weight of the fidelity
        loss falls from infinity (Poisoning) to 0 (PGD).
        """
        first, last = (0.0, 1.0) if self.along == "phi" else (float("inf"), 0.0)
        inner = [(row, level) for row, level in self.rows if level not in (first, last)]
        inner = inner if self.along == "phi" else inner[::-1]
        return [*self._end(self.poisoning, first), *inner, *self._end(self.pgd, last)]

    def _end(self, row: int | None, level: float) -> list[tuple[int, float]]:
        """Return the endpoint, or else rows of the sweep itself at its level."""
        if row is not None:
            return [(row, level)]
        return [(swept, value) for swept, value in dict(self.rows).items() if value == level]

    def is_of(self, study: dict[str, Any]) -> bool:
        """Return whether the sweep belongs to a study."""
        return all(self.key[name] == study[name] for name in STUDY)


def _endpoint(rows: pd.DataFrame, values: dict[str, Any]) -> int | None:
    """Return the row of a pure attack; of several, the one that is labelled by its method."""
    fits = matching(rows, values)
    named = rows[fits & rows["attack"].eq(values["method"])]
    pure = named if len(named) else rows[fits]
    return None if pure.empty else int(pure.index[0])


def families(records: Records) -> Iterator[Family]:
    """Find every sweep along phi and along lam, in the order of the rows."""
    rows = records.rows.assign(norm=records.norms)
    joint = rows[rows["method"].eq(IMC)]
    for along in ("phi", "lam"):
        swept = joint[joint[along].notna()]
        if along == "lam":
            swept = swept[swept["phi"].isna()]
        for values, levels in swept.groupby(FAMILY, dropna=False, sort=True):
            key = dict(zip(FAMILY, values, strict=True))
            norm = str(levels["norm"].iloc[0])
            shared = {name: key[name] for name in (*STUDY, "kappa")}
            ordered = lines(levels.sort_values(along).reset_index(names="row"))
            yield Family(
                key=key,
                along=along,
                norm=norm,
                rows=tuple((int(line["row"]), float(line[along])) for line in ordered),
                pgd=_endpoint(rows, shared | {"method": PGD, "norm": norm}),
                poisoning=_endpoint(rows, shared | {"method": POISONING, "layers": key["layers"]}),
            )


def sweeps(families: Sequence[Family]) -> list[Family]:
    """Drop each family of one level that has a longer one with the same layers, κ and norm.

    Such a row varies the sweep at one place, for instance by another exit: it is no curve.
    """

    def place(family: Family) -> tuple[object, ...]:
        return (*(family.key[k] for k in (*STUDY, "layers", "kappa")), family.along, family.norm)

    curves = {place(family) for family in families if len(family.rows) > 1}
    return [family for family in families if len(family.rows) > 1 or place(family) not in curves]
